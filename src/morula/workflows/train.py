"""From a plan to a trained run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morula.core.errors import MorulaError
from morula.core.files import write_json, write_text
from morula.core.hashing import fingerprint
from morula.core.types import Record, Volume, Voxel, VoxelSize
from morula.data import open_volume
from morula.data.turned import Stored, turned
from morula.data.volumes import as_stack
from morula.recipes import RECIPES, load_recipe
from morula.workflows.inputs import refuse_inside
from morula.workflows.neurons import LabelOffset, StoredAxes
from morula.workflows.plan import Plan, plan
from morula.workflows.processes import refuse_uneven

if TYPE_CHECKING:
    from rich.console import Console

    from morula.engine import Existing, Run

__all__ = ["describe", "reopened", "train", "train_plan"]


def train(
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
) -> Path:
    """Trains on a folder of images and returns the run's folder; see `morula.run` for the arguments.

    Raises:
        DataError: an image or a label cannot be used.
        UsageError: a wrong option, config key, or an output folder that holds something else, or an input.
        TrainingError: a loss is not finite.
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
    return train_plan(
        made,
        out=out,
        existing=existing,
        device=device,
        devices=devices,
        nodes=nodes,
        seed=seed,
        console=console,
    ).path


def train_plan(
    made: Plan,
    *,
    out: str | Path | None = None,
    existing: Existing = "continue",
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    seed: int = 0,
    console: Console | None = None,
) -> Run:
    """Trains by a plan; a run that was stopped goes on, a finished one is left as it is.

    With several processes it returns in each of them; all but the first are done then (`Run.leads`).
    """
    from morula.engine import Run, launch_ranks, surviving

    path = Path(out) if out is not None else default_folder(made)
    begun = [getattr(made.config, key, None) for key in ("weights", "natural")]
    refuse_inside(path, made.images, made.labels, made.source, made.source_labels, *begun)
    refuse_uneven(made.recipe, made.config, devices * nodes)
    precision: Any = getattr(made.config, "precision", "bf16-mixed")
    fabric = launch_ranks(device, precision, devices=devices, nodes=nodes)
    with surviving(fabric):
        run = Run.open(
            path,
            recipe=made.recipe,
            config=made.config.model_dump(mode="json"),
            data=_described(made),
            seed=seed,
            fabric=fabric,
            console=console,
            existing=existing,
        )
        write_json(run.path / "plan.json", made.as_json())
        write_text(run.path / "plan.toml", made.to_toml())
        load_recipe(made.recipe).train(run, _training_records(made), made.config)
        run.close()
    return run


def _described(made: Plan) -> dict[str, Any]:
    """Images by name, with all labels that train; a source is behind `source/`, for it may share a name."""
    ours = {record.id: describe(record) for record in made.records}
    if RECIPES[made.recipe].learns:  # other labels make another run
        for record in made.records:
            ours[record.id]["labels"] = None if record.labels is None else fingerprint(record.labels())
            if record.trace is not None:
                tree = record.trace()
                ours[record.id]["labels"] = fingerprint(tree.points, tree.radius, tree.parent)
    for record in made.sources:
        labels = None if record.labels is None else fingerprint(record.labels())
        ours[f"source/{record.id}"] = {**describe(record), "labels": labels}
    return ours


def _training_records(made: Plan) -> list[Record]:
    """What the recipe gets: beside a labelled source, the target comes without its labels."""
    if not made.sources:
        return [*made.records]
    return [*made.sources, *(replace(record, labels=None) for record in made.records)]


def describe(record: Record) -> dict[str, Any]:
    """What `data.json` says of an image: its source, shape, axes, nm, fingerprint; JSON values.

    Of a labelled block also where it lies.
    """
    image = record.image
    size = image.voxel
    box = {} if record.box is None else {"box": [[each.start, each.stop] for each in record.box]}
    return {
        **box,
        "uri": _absolute(image.uri),
        "shape": list(image.shape),
        "dtype": str(image.dtype),
        "axes": image.axes.order,
        "nm": None if size is None else [size.z, size.y, size.x],
        "fingerprint": image.fingerprint,
        "domain": record.domain,
    }


def _absolute(uri: str) -> str:
    """From wherever a report is made again; addresses of servers stay."""
    return uri if "://" in uri else str(Path(uri).absolute())


def reopened(entry: Mapping[str, Any], stored: Stored = "zyx") -> Volume | None:
    """The image that `describe` described, or None where it was moved since.

    Args:
        entry: of `data.json`.
        stored: the order of the axes in the file of a volume.
    """
    try:
        image = open_volume(Path(entry["uri"]))
    except MorulaError:
        return None
    image = turned(as_stack(image), stored) if entry["axes"] == "zyx" else image
    return replace(image, voxel=_size(entry["nm"]))  # as the command line had it, if it said so


def _size(nm: Sequence[float] | None) -> Voxel | None:
    if nm is None:
        return None
    z, y, x = nm
    return Voxel(z=z, y=y, x=x)


def default_folder(made: Plan) -> Path:
    """`runs/<date>-<recipe>-<name of the images>` below the current folder."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", made.images.resolve().stem).strip("-") or "images"
    return Path("runs") / f"{date.today():%Y-%m-%d}-{made.recipe}-{name}"
