"""The main job: a folder of images becomes labels, tables, scores and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morula.core.errors import UsageError
from morula.core.files import remove_partial, write_json
from morula.core.hashing import fingerprint
from morula.core.types import Record, Segmentation, VoxelSize
from morula.data import made_with, write_labels, write_swc
from morula.metrics import instance_scores
from morula.recipes import RECIPES, Predictor, load_recipe
from morula.workflows.large import segment_large
from morula.workflows.neurons import LabelOffset, StoredAxes
from morula.workflows.plan import Plan, plan
from morula.workflows.predict import identities, open_model, segment
from morula.workflows.report import LEFT_OUT, report
from morula.workflows.trace_masks import mask_scores
from morula.workflows.tracing import tree_scores
from morula.workflows.train import train_plan
from morula.workflows.volume_scores import volume_scores

if TYPE_CHECKING:
    from rich.console import Console

    from morula.engine import Existing, Run

__all__ = ["RunResult", "run", "run_plan"]

_COMPARED = 32  # images on which the controls are run; more would cost time and change little


@dataclass(frozen=True)
class RunResult:
    """What a run left on disk.

    Attributes:
        path: the run's folder.
        recipe: the recipe that was used.
        images: stem -> number of objects.
        scores: measure -> mean over the labelled images; None without labels.
        warnings: what the user has to know before using the result.
    """

    path: Path
    recipe: str
    images: dict[str, int]
    scores: dict[str, float] | None
    warnings: tuple[str, ...]

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.path / "report" / "index.html"

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "run": str(self.path),
            "recipe": self.recipe,
            "objects": sum(self.images.values()),
            "images": self.images,
            "scores": self.scores,
            "report": str(self.report),
            "warnings": list(self.warnings),
        }


def run(
    images: str | Path,
    *,
    labels: str | Path | None = None,
    source: str | Path | None = None,
    source_labels: str | Path | None = None,
    out: str | Path | None = None,
    recipe: str | None = None,
    preset: str | None = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    voxel: VoxelSize = None,
    source_voxel: VoxelSize = None,
    label_offset: LabelOffset = None,
    axes: StoredAxes = None,
    label_suffix: str | None = None,
    skip_bad: bool = False,
    existing: Existing = "continue",
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    seed: int = 0,
    console: Console | None = None,
) -> RunResult:
    """Plans, trains, predicts, compares with controls, scores where there are labels, and reports.

    Args:
        images: an image or a folder of images.
        labels: see `morula.data.load_records`. Labels of some of the images train (recipe cupre); labels of
            all measure the result and train nothing (recipe psm). `recipe` decides otherwise. Of a volume of
            neurons they are those of a block, which train (see `morula.data.load_block`).
        source: volumes of another domain to learn from; the images are volumes then, too.
        source_labels: labels of the source.
        out: the run's folder; `runs/<date>-<recipe>-<name>` by default.
        recipe: a recipe to use instead of the one that the plan chooses.
        preset: the recipe's preset to start from, `best` by default.
        config: TOML file with changes, such as `morula plan` writes.
        assignments: `key=value` texts that change the config last.
        voxel: size of a pixel or voxel in nm, in place of what the files say; `unknown` where nobody knows.
        source_voxel: the same of the source.
        label_offset: first voxel of a labelled block in its volume, z, y, x.
        axes: order of the axes in the files of a volume and its labelled block, where it is not `zyx`.
        label_suffix: what the name of an SWC file has behind the name of its stack.
        skip_bad: leave unreadable images out instead of refusing all.
        existing: `continue` a run that is there, `resume` (refuse if none is) or `overwrite`.
        device: `auto`, `cpu`, `cuda` or `mps`.
        devices: processes on a machine that train together, each with a device of its own. All but the first
            return when the training is over, with a result without images.
        nodes: machines.
        seed: all randomness follows from it.
        console: where progress goes; silent by default.

    Raises:
        DataError: an image or a label cannot be used.
        UsageError: a wrong option, config key, or an output folder that holds something else, an input,
            or a prediction that somebody changed.
        TrainingError: a loss is not finite.
        ResourceError: the disk is full.
    """
    made = plan(
        images,
        labels=labels,
        source=source,
        source_labels=source_labels,
        recipe=recipe,
        preset=preset,
        config=config,
        assignments=assignments,
        voxel=voxel,
        source_voxel=source_voxel,
        label_offset=label_offset,
        axes=axes,
        label_suffix=label_suffix,
        skip_bad=skip_bad,
    )
    return run_plan(
        made,
        out=out,
        existing=existing,
        device=device,
        devices=devices,
        nodes=nodes,
        seed=seed,
        console=console,
    )


def run_plan(
    made: Plan,
    *,
    out: str | Path | None = None,
    existing: Existing = "continue",
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    seed: int = 0,
    console: Console | None = None,
) -> RunResult:
    """The same from a plan; see `run` for the arguments."""
    trained = train_plan(
        made,
        out=out,
        existing=existing,
        device=device,
        devices=devices,
        nodes=nodes,
        seed=seed,
        console=console,
    )
    path = trained.path
    if not trained.leads:
        return RunResult(path, made.recipe, {}, None, made.warnings)
    measured = replace(made, records=_without_training_labels(made))
    records, predictions = measured.records, path / "predictions"
    remove_partial(predictions)
    _refuse_changed([predictions / record.id for record in records])
    model, wanted = open_model(path, device), identities(path, records)
    counts = segment_large(model, records, predictions, wanted, console)
    small = [record for record in records if record.id not in counts]
    for record, found in segment(model, small, predictions, wanted, console):
        counts[record.id] = len(found.scores)
        scored, scores = path / "scores" / f"{record.id}.json", _scores_of(record, found)
        if scores is not None:
            write_json(scored, scores)
        elif record.box is None:  # of labels that were given once; those of a block the recipe keeps
            scored.unlink(missing_ok=True)
        if record.trace is not None:
            write_swc(path / "scores" / f"{record.id}.swc", record.trace(), comments=["unit: voxels"])
    _compare(measured, small, path)
    _score_checkpoints(measured, trained)
    report(path)
    return RunResult(path, made.recipe, counts, _mean_scores(path), made.warnings)


def _refuse_changed(predictions: Sequence[Path]) -> None:
    """Refuses to replace what somebody may have corrected."""
    changed = next((each for each in predictions if each.exists() and made_with(each) is None), None)
    if changed is not None:
        found = "nothing shows that this prediction is still as the run wrote it"
        fix = "move it elsewhere if somebody corrected it, else remove it, and repeat the command"
        raise UsageError(changed, found, fix)


def _without_training_labels(made: Plan) -> tuple[Record, ...]:
    """The images with the labels that may measure the result: none that it was trained on."""
    if not RECIPES[made.recipe].learns:
        return made.records
    return tuple(replace(record, labels=None) for record in made.records)


def _scores_of(record: Record, found: Segmentation) -> dict[str, float] | None:
    if record.trace is not None and found.tree is not None:
        truth, voxel = record.trace(), record.image.voxel
        return {**tree_scores(found.tree, truth, voxel), **mask_scores(found.labels, truth, voxel)}
    if record.labels is None or record.box is not None:
        return None  # a recipe that learns from a block of the volume keeps scores of its validation part
    score = volume_scores if found.labels.ndim == 3 else instance_scores
    return score(found.labels, record.labels())


def _compare(made: Plan, small: Sequence[Record], path: Path) -> None:
    """Runs the controls on some of the images, keeps their labels, and scores them where there is truth.

    Args:
        made: with all records.
        small: those that fit in memory; the controls have no other way.
        path: of the run.
    """
    kept = {record.id for record in small}
    large = [record.id for record in made.records if record.id not in kept]
    if large:
        write_json(path / "controls" / LEFT_OUT, large)
    if not small:
        return
    records = _compared(small)
    controls = load_recipe(made.recipe).controls(records, made.config)
    for name, control in controls.items():
        _run_control(control, records, path / "controls" / name)


def _compared(records: Sequence[Record]) -> Sequence[Record]:
    """Some of the images, evenly spread over the set; those that can be scored come before the others."""
    known = [record.id for record in records if record.labels is not None or record.trace is not None]
    rest = [record.id for record in records if record.id not in set(known)]
    chosen = {*_evenly(known, _COMPARED), *_evenly(rest, _COMPARED - len(known))}
    return [record for record in records if record.id in chosen]


def _evenly(names: Sequence[str], count: int) -> list[str]:
    """So many of them, evenly spread; all where there are no more."""
    places = np.linspace(0, len(names) - 1, max(0, min(count, len(names))))
    return [names[int(place)] for place in places.round()]


def _score_checkpoints(made: Plan, trained: Run) -> None:
    """Mean IoU of all that the model was chosen from, where there is truth; for the report alone."""
    from morula.engine import read_json

    labelled = [record for record in made.records if record.labels is not None]
    path, truth = (trained.path / "checkpoints" / name for name in ("scores.json", "truth.json"))
    if not labelled or (path.exists() and truth.exists() and read_json(truth) == _marks(labelled)):
        return
    found = load_recipe(made.recipe).checkpoints(trained.path, trained.fabric)
    if found:
        write_json(path, {name: _mean_iou(model, labelled) for name, model in found.items()})
        write_json(truth, _marks(labelled))


def _marks(records: Sequence[Record]) -> dict[str, str]:
    """What tells the labels of each image from others."""
    return {record.id: fingerprint(record.labels()) for record in records if record.labels is not None}


def _mean_iou(model: Predictor, records: Sequence[Record]) -> float:
    scores = [_scores_of(record, model(record.image)) for record in records]
    return float(np.mean([row["iou"] for row in scores if row is not None]))


def _run_control(control: Predictor, records: Sequence[Record], folder: Path) -> None:
    remove_partial(folder)
    table: dict[str, dict[str, float]] = {}
    for record in records:
        found = control(record.image)
        write_labels(folder / f"{record.id}.tif", found.labels)
        if (scores := _scores_of(record, found)) is not None:
            table[record.id] = scores
    write_json(folder / "scores.json", table)


def _mean_scores(path: Path) -> dict[str, float] | None:
    from morula.engine import read_json

    rows = [read_json(file) for file in sorted((path / "scores").glob("*.json"))]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} if rows else None
