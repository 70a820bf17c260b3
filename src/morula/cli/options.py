"""Options that several verbs share, each said once."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from morula.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from morula.core.types import Voxel

__all__ = [
    "Axes",
    "Config",
    "Device",
    "Devices",
    "DryRun",
    "ExecutorName",
    "Images",
    "Json",
    "LabelOffset",
    "LabelSuffix",
    "Labels",
    "Natural",
    "Nodes",
    "Out",
    "Overwrite",
    "PixelSize",
    "Preset",
    "Quiet",
    "RecipeImages",
    "RecipeName",
    "Resume",
    "Root",
    "RunFolder",
    "Seed",
    "Set",
    "SkipBad",
    "Source",
    "SourceLabels",
    "SourceVoxelSize",
    "StartWeights",
    "VoxelSize",
    "Workers",
    "console",
    "existing",
    "is_store",
    "join_sizes",
    "known_size",
    "label_offset",
    "place",
    "rank",
    "recipe_images",
    "starting",
    "voxel",
    "voxel_size",
]


class DeviceName(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


Images = Annotated[
    Path,
    typer.Argument(
        help="An image or a volume (`file.h5:/key`, too), or a folder of them.", show_default=False
    ),
]
RecipeImages = Annotated[
    list[Path],
    typer.Argument(
        metavar="[RECIPE] IMAGES",
        help="An image or a volume (`file.h5:/key`, too), or a folder of them; a recipe may stand before it.",
        show_default=False,
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `morula run` or `train` made.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="Label images by stem, COCO JSON, Aperio XML, or a folder of PNGs per image. Labels of some "
        "images train; labels of all of them measure, unless --recipe cupre is given. Of a volume: labels of "
        "a block of its neurons, which train. Of stacks: SWC traces, which train."
    ),
]
LabelOffset = Annotated[
    str | None, typer.Option(metavar="Z Y X", help="First voxel of a labelled block in its volume.")
]
Axes = Annotated[
    Literal["zyx", "zxy", "yzx", "yxz", "xzy", "xyz"] | None,
    typer.Option(help="Order of the axes in the files of a volume and its labels, where it is not zyx."),
]
StartWeights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="Run or file of weights to start from, in the place of pre-training. Recipe cupre, presets "
        "paper, goes on to pre-train from them, and takes the word coco for torchvision's Mask R-CNN. A run "
        "of recipe vit3d is applied with `predict`.",
    ),
]
LabelSuffix = Annotated[
    str | None, typer.Option(help="What an SWC file has behind the name of its stack, such as _gold.")
]
Root = Annotated[str | None, typer.Option(metavar="Z Y X", help="Where the neuron begins, in voxels.")]
Source = Annotated[
    Path | None, typer.Option(help="Labelled volumes of another domain to learn from (recipe emda).")
]
SourceLabels = Annotated[
    Path | None, typer.Option(help="Labels of the source: > 0 is mitochondrion; a file or a folder.")
]
Natural = Annotated[
    Path | None,
    typer.Option(help="COCO JSON of natural images for pre-training (recipe cupre, presets paper)."),
]
VoxelSize = Annotated[
    str | None,
    typer.Option(
        metavar="Z Y X|unknown",
        help="Edges of a voxel in nm, in place of what the files say; `unknown` where nobody knows.",
    ),
]
SourceVoxelSize = Annotated[
    str | None, typer.Option(metavar="Z Y X|unknown", help="The same of the source volumes.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder for the results; runs/DATE-RECIPE-NAME without it."),
]
Preset = Annotated[
    str | None,
    typer.Option(help="What the config starts from; the recipe's page says what each is."),
]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="Recipe; chosen from the images by default.")
]
Config = Annotated[Path | None, typer.Option(help="TOML file with changes, such as `morula plan` writes.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one config key; repeatable.")
]
Workers = Annotated[
    int, typer.Option(min=1, help="How many work at once, each a process, on a volume of any size.")
]
ExecutorName = Annotated[
    str | None,
    typer.Option("--executor", help="inline, threads, processes, local, or dask://host:port of a scheduler."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Measure a part; print the grid, the disk and the time it takes.")
]
Device = Annotated[DeviceName, typer.Option(help="Where to compute.")]
Devices = Annotated[
    int,
    typer.Option(min=1, help="Processes that train together on a machine, a GPU each where there are GPUs."),
]
Nodes = Annotated[int, typer.Option(min=1, help="Machines that train together, under torchrun or srun.")]
Seed = Annotated[int, typer.Option(min=0, help="All randomness follows from it.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out; refuse if there is none.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out instead of stopping.")]
PixelSize = Annotated[
    float | None, typer.Option(min=1e-3, help="Edge of a pixel in nm, in place of what the files say.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object last.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


def console(quiet: bool) -> Console:
    """Where progress goes: standard error, so that standard output stays for results."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet)


def is_store(out: Path, workers: int, executor: str | None, dry_run: bool) -> bool:
    """Whether the result is to be a store, which is made block by block.

    Raises:
        UsageError: options of blocks without a store to write.
    """
    if out.suffix.lower() == ".zarr":
        return True
    if workers > 1 or executor is not None or dry_run:
        found = "--workers, --executor and --dry-run are for volumes of any size"
        raise UsageError("--out", found, "let --out end with .ome.zarr, or leave them out")
    return False


def existing(resume: bool, overwrite: bool) -> Literal["continue", "resume", "overwrite"]:
    """What to do with a run that is there.

    Raises:
        UsageError: both flags are given.
    """
    if resume and overwrite:
        raise UsageError("--resume --overwrite", "they contradict each other", "give one of them")
    return "resume" if resume else "overwrite" if overwrite else "continue"


def join_sizes(arguments: Sequence[str]) -> list[str]:
    """Command-line words with the three numbers after a size or a place as one word.

    >>> join_sizes(["run", "a.tif", "--voxel-size", "45", "4.6", "4.6", "--out", "r"])
    ['run', 'a.tif', '--voxel-size', '45 4.6 4.6', '--out', 'r']
    """
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        joined.append(rest.pop(0))
        if joined[-1] in {"--voxel-size", "--source-voxel-size", "--label-offset", "--root"}:
            size = list(takewhile(_is_number, rest[:3]))
            rest = rest[len(size) :]
            joined += [" ".join(size)] if size else []
    return joined


def starting(
    assignments: Sequence[str] | None, weights: Path | None, natural: Path | None = None
) -> list[str]:
    """The changes of the config, with what training starts from among them: weights, natural images.

    >>> starting(["steps=3"], None, Path("instances.json"))
    ['steps=3', 'natural="instances.json"']
    """
    given = {"weights": weights, "natural": natural}
    paths = [f"{key}={json.dumps(str(path))}" for key, path in given.items() if path is not None]
    return [*(assignments or ()), *paths]


def voxel(pixel_size: float | None, text: str | None = None) -> Voxel | Literal["unknown"] | None:
    """A square pixel of this edge in nm, or what `voxel_size` makes of `text`.

    Raises:
        UsageError: both are given, or one is no size.
    """
    from morula.core.types import Voxel

    if pixel_size is None:
        return voxel_size("--voxel-size", text)
    if text is not None:
        raise UsageError("--pixel-size --voxel-size", "they say the same thing", "give one of them")
    try:
        return Voxel(y=pixel_size, x=pixel_size)
    except ValueError as error:
        raise UsageError("--pixel-size", f"{pixel_size} is not a size", "give a length in nm") from error


def voxel_size(option: str, text: str | None) -> Voxel | Literal["unknown"] | None:
    """Three lengths z, y, x in nm, or the word `unknown`.

    Raises:
        UsageError: the text is something else.
    """
    from morula.core.types import Voxel

    if text is None:
        return None
    if text.strip().lower() == "unknown":
        return "unknown"
    try:
        z, y, x = (float(part) for part in text.replace(",", " ").split())
        return Voxel(y=y, x=x, z=z)
    except ValueError as error:
        raise UsageError(
            option, f"{text!r} is not a size", "give three lengths Z Y X in nm, or the word unknown"
        ) from error


def known_size(option: str, text: str | None) -> Voxel | None:
    """Three lengths z, y, x in nm.

    Raises:
        UsageError: the text is something else, the word `unknown` too.
    """
    size = voxel_size(option, text)
    if size == "unknown":
        raise UsageError(option, "here the size must be known", "give Z Y X in nm, or leave it out")
    return size


def place(option: str, text: str | None) -> tuple[float, float, float] | None:
    """A point z, y, x.

    Raises:
        UsageError: the text is something else.
    """
    if text is None:
        return None
    try:
        z, y, x = (float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(option, f"{text!r} is not a point", "give three numbers Z Y X") from error
    return z, y, x


def label_offset(text: str | None) -> tuple[int, int, int] | None:
    """The first voxel of a labelled block, z, y, x.

    Raises:
        UsageError: the text is something else than three whole numbers.
    """
    found = place("--label-offset", text)
    if found is None:
        return None
    if any(each != int(each) for each in found):
        raise UsageError("--label-offset", f"{text!r} is not a voxel", "give three whole numbers Z Y X")
    z, y, x = map(int, found)
    return z, y, x


def recipe_images(words: Sequence[Path], recipe: str | None) -> tuple[str | None, Path]:
    """The recipe and the images among the arguments `[RECIPE] IMAGES`; one word alone is the images.

    Raises:
        UsageError: too many words, the first of two is no recipe, or --recipe names another one.
    """
    from morula.recipes import RECIPES

    *before, images = words
    if not before:
        return recipe, images
    named = str(before[0])
    if len(before) > 1 or named not in RECIPES:
        found = f"{' '.join(map(str, words))!r} is not a recipe and one file or folder"
        raise UsageError(
            "[RECIPE] IMAGES", found, f"recipes are {', '.join(RECIPES)}; more images need a folder"
        )
    if recipe not in (None, named):
        raise UsageError("RECIPE --recipe", f"{named} and {recipe} contradict each other", "give one of them")
    return named, images


def rank() -> int:
    """The number of this process among those that train together; 0 if it is alone."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # of torchrun, Fabric and srun
    return next((int(found) for name in names if (found := os.environ.get(name, "")).isdecimal()), 0)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
