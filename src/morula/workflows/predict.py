"""From a trained run and new images to labels and tables; the run's folder is all it needs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morula.core.errors import DataError, UsageError
from morula.core.hashing import fingerprint
from morula.core.types import Record, Segmentation, Volume, VoxelSize
from morula.data import load_records, load_volumes, made_with, read_prediction, write_prediction
from morula.data.folder import first_of
from morula.data.traced import check_sections
from morula.recipes import RECIPES, Predictor, load_recipe
from morula.workflows.blocks import weights_of
from morula.workflows.large import segment_large
from morula.workflows.neurons import StoredAxes, check_contents, check_new, resized, say
from morula.workflows.plan import words
from morula.workflows.report import report_prediction
from morula.workflows.tracing import check_sizes, looks_inverted, rooted

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Predicted", "identities", "open_model", "predict", "recipe_of", "segment"]


@dataclass(frozen=True)
class Predicted:
    """What a prediction left on disk.

    Attributes:
        out: the folder that holds one folder per image.
        images: stem -> number of objects.
        skipped: what was wrong with the images that were left out.
    """

    out: Path
    images: dict[str, int]
    skipped: tuple[str, ...] = ()

    @property
    def report(self) -> Path:
        """The page that shows the images."""
        return self.out / "report.html"

    @property
    def objects(self) -> int:
        """How many objects were found in all images."""
        return sum(self.images.values())

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        whole = {"out": str(self.out), "objects": self.objects, "images": self.images}
        whole["report"] = str(self.report)
        return {**whole, "skipped": list(self.skipped)} if self.skipped else whole


def predict(
    run: str | Path,
    images: str | Path,
    *,
    out: str | Path,
    voxel: VoxelSize = None,
    axes: StoredAxes = None,
    root: Sequence[float] | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    console: Console | None = None,
) -> Predicted:
    """Segments new images with a trained run: `out/<stem>/` gets labels, tables and outlines.

    `out/report.html` shows the images of this call. What the same model made of the same image before stays
    as it is: a command that was stopped goes on when it is repeated.

    Args:
        run: a folder that `morula run` or `morula train` made.
        images: an image or a folder of images.
        out: folder for the results.
        voxel: size of a pixel or voxel in nm, in place of what the files say. Recipe emda takes volumes of
            unknown size to be like those that the run was made for.
        axes: order of the axes in the files of volumes, where it is not `zyx`; labels are written as `zyx`.
        root: where the neuron of a single stack begins, z, y, x in voxels, for recipes that trace; found
            where it is not given.
        skip_bad: leave unreadable images out instead of refusing all.
        overwrite: replace earlier predictions.
        device: `auto`, `cpu`, `cuda` or `mps`.
        console: where progress goes; silent by default.

    Raises:
        DataError: the run is not finished, an image cannot be used, or its voxels are of another shape.
        UsageError: another prediction is there already, axes or a root are given where they should not be, or
            the order of axes or sizes is in doubt.
        ResourceError: the disk is full.
    """
    run, out = Path(run), Path(out)
    model = open_model(run, device)
    records, bad, doubts = _records(run, Path(images), voxel, axes, skip_bad=skip_bad)
    say(console, doubts)
    if hasattr(model, "traced"):
        check_sizes(records, voxel)
    if root is not None:
        model = rooted(model, root, records)
    wanted = identities(run, records, root)
    for name, identity in wanted.items():
        if (out / name).exists() and not overwrite and made_with(out / name) != identity:
            found = "another prediction is there already"
            raise UsageError(out / name, found, "choose another --out, or add --overwrite")
    counts = segment_large(model, records, out, wanted, console)
    rest = [record for record in records if record.id not in counts]
    counts |= {record.id: len(found.scores) for record, found in segment(model, rest, out, wanted, console)}
    left = [f"Left out: {error}" for error in bad]
    command = _command(run, Path(images), out, words(voxel, axes=axes, skip_bad=skip_bad), root)
    report_prediction(run, out, records, [*left, *doubts], command)
    return Predicted(out, counts, tuple(map(str, bad)))


def _command(run: Path, images: Path, out: Path, told: Sequence[str], root: Sequence[float] | None) -> str:
    place = () if root is None else ("--root", *(f"{each:g}" for each in root))
    return shlex.join(["morula", "predict", str(run), str(images), "--out", str(out), *told, *place])


def _records(
    run: Path, images: Path, voxel: VoxelSize, axes: StoredAxes, *, skip_bad: bool
) -> tuple[list[Record], list[DataError], list[str]]:
    """The images that can be read, what is wrong with others, and doubts about them."""
    name = recipe_of(run)
    if axes is not None and not RECIPES[name].block:
        found = f"a run of recipe {name} takes no volumes whose axes could be in another order"
        raise UsageError("--axes", found, "leave it out")
    if not RECIPES[name].volumes:
        records, bad = load_records(images, skip_bad=skip_bad, voxel=voxel)
        return records, bad, []
    records, bad = load_volumes(images, skip_bad=skip_bad, voxel=voxel, stored=axes or "zyx")
    checks = (check_sections, check_contents) if RECIPES[name].traces else (check_contents,)
    records, bad = _sound(records, bad, checks, skip_bad=skip_bad)
    if RECIPES[name].traces:
        stacks = [record.image for record in records]
        return (
            records,
            bad,
            [told for each in stacks for told in (*resized(run, each), *looks_inverted(each))],
        )
    checked = records if RECIPES[name].block else []
    return records, bad, [doubt for record in checked for doubt in check_new(run, record.image, axes)]


def _sound(
    records: Sequence[Record],
    bad: Sequence[DataError],
    checks: Sequence[Callable[[Volume], None]],
    *,
    skip_bad: bool,
) -> tuple[list[Record], list[DataError]]:
    """The volumes that pass all checks, and what is wrong with the others.

    Raises:
        DataError: a bad volume (without `skip_bad`), or no good one.
    """
    good, errors = list[Record](), list(bad)
    for record in records:
        try:
            for check in checks:
                check(record.image)
        except DataError as error:
            errors.append(error)
        else:
            good.append(record)
    if errors and not (skip_bad and good):
        raise first_of(errors, len(records) + len(bad)) from errors[0]
    return good, errors


def recipe_of(run: Path) -> str:
    """The name of the recipe that made a run.

    Raises:
        DataError: the folder is not a run, or one of no known recipe.
    """
    from morula.engine import read_json

    name = read_json(run / "run.json").get("recipe", "")
    if name not in RECIPES:
        found = f"the recipe {name!r} is unknown"
        raise DataError(run / "run.json", found, "restore the file, or train again")
    return name


def open_model(run: Path, device: str = "auto") -> Predictor:
    """What segments images, loaded from a run's folder.

    Raises:
        DataError: there is no finished model in it.
    """
    from morula.engine import launch, read_json

    recipe = recipe_of(run)
    if not (run / "model" / "model.json").exists():
        if not (run / "plan.json").exists():
            fix = f"train on it first: morula train {recipe} VOLUME --weights {run}"
            raise DataError(run, "it is a pre-training, which leaves weights and no model", fix)
        raise DataError(run, "its training is not finished", "repeat the command that started it; it goes on")
    config = read_json(run / "config.json")
    return load_recipe(recipe).load(run, launch(device, config.get("precision", "bf16-mixed")))


def identities(run: Path, records: Sequence[Record], root: Sequence[float] | None = None) -> dict[str, str]:
    """What the prediction of each image follows from, by its id: the model, the image, and Morula's version.

    Args:
        run: a finished run.
        records: the images.
        root: where a traced neuron begins, if that was said.
    """
    model = [weights_of(run), version("morula"), root]
    return {record.id: fingerprint(model, record.image.fingerprint) for record in records}


def segment(
    model: Predictor,
    records: Sequence[Record],
    out: Path,
    wanted: Mapping[str, str],
    console: Console | None,
) -> Iterator[tuple[Record, Segmentation]]:
    """Segments one image after the other and writes each; memory holds one at a time.

    A prediction that is there and is what is wanted (see `identities`) is read, not made again.
    """
    from rich.console import Console

    from morula.engine import progress

    with progress(console or Console(quiet=True), "predict", len(records)) as advance:
        for record in records:
            folder = out / record.id
            if made_with(folder) == wanted[record.id]:
                found = read_prediction(folder)
            else:
                found = model(record.image)
                write_prediction(folder, found, record.image, made=wanted[record.id])
            yield record, found
            advance({"objects": float(len(found.scores))})
