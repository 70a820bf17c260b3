"""From a folder of images to a recipe, a config, and the reasons for both."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.config import Config, parse_assignments, to_toml
from morula.core.errors import DataError, UsageError
from morula.core.files import write_text
from morula.core.types import Record, Voxel, VoxelSize
from morula.data import is_traced, load_records, load_traced
from morula.data.hdf5 import split_key
from morula.data.labels import refuse_mask
from morula.data.listing import of_kinds, visible
from morula.data.modality import modality
from morula.data.ome_zarr import absent_chunks
from morula.data.open import IMAGE_SUFFIXES, VOLUME_SUFFIXES
from morula.recipes import RECIPES
from morula.workflows.adaptation import load_domains, survey_domains, why_adapt
from morula.workflows.configured import configured, read_changes
from morula.workflows.neurons import (
    NEURONS,
    LabelOffset,
    StoredAxes,
    is_volume,
    load_neurons,
    survey_neurons,
    why_neurons,
)
from morula.workflows.tracing import TRACED, check_sizes, refuse_trained, survey_traced, why_traced

__all__ = ["Plan", "plan", "words"]

_SURVEYED = 64  # images looked at; a folder of thousands needs no more to be known


@dataclass(frozen=True, eq=False)
class Plan:
    """What will be done with which images, and why.

    Attributes:
        images: the folder or file.
        labels: ground truth, if any.
        records: the images that can be read.
        source: labelled volumes of another domain to learn from, if any.
        source_labels: their labels.
        sources: the source volumes that can be read.
        recipe: name of the recipe.
        preset: name of the preset that `config` started from.
        config: the recipe's config.
        facts: what the images are: number, modality, sizes, labels, pixel size; JSON values.
        reasons: why this recipe, one sentence each.
        warnings: what the user has to know before using the result.
        told: the words of the command line that say how the images are to be read.
    """

    images: Path
    labels: Path | None
    records: tuple[Record, ...]
    source: Path | None
    source_labels: Path | None
    sources: tuple[Record, ...]
    recipe: str
    preset: str
    config: Config
    facts: Mapping[str, Any]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    told: tuple[str, ...] = ()

    def to_toml(self) -> str:
        """The plan as TOML that can be edited and given to `--config`."""
        why = "".join(f"# {line}\n" for line in (*self.reasons, *self.warnings))
        head = f'recipe = "{self.recipe}"\npreset = "{self.preset}"\n'
        return f"# Plan for {self.images}\n{why}{head}\n[config]\n{to_toml(self.config, table='config')}"

    def save(self, path: Path) -> None:
        """Writes `to_toml`.

        Raises:
            UsageError: the file exists.
        """
        if path.exists():
            raise UsageError(path, "the file exists", "choose another --out, or delete it first")
        write_text(path, self.to_toml())

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "images": str(self.images),
            "labels": None if self.labels is None else str(self.labels),
            "source": None if self.source is None else str(self.source),
            "source_labels": None if self.source_labels is None else str(self.source_labels),
            "recipe": self.recipe,
            "preset": self.preset,
            "config": self.config.model_dump(mode="json"),
            "facts": dict(self.facts),
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "told": list(self.told),
        }


def plan(
    images: str | Path,
    *,
    labels: str | Path | None = None,
    source: str | Path | None = None,
    source_labels: str | Path | None = None,
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
) -> Plan:
    """Reads every image once and chooses a recipe for them.

    Args:
        images: an image or a folder of images. A folder of sections is one volume where a voxel size with z,
            an offset, an order of axes, or labels that are a stack say so.
        labels: ground truth (see `morula.data.load_records`, with a source `morula.data.load_volumes`); of a
            single volume the labels of a block of it (`morula.data.load_block`); of stacks SWC files
            of traced neurons (`morula.data.load_traced`).
        source: volumes of another domain, with labels; with them the images are volumes, too.
        source_labels: labels of the source.
        recipe: a recipe to use instead of the one chosen.
        preset: the recipe's preset to start from; `best` where neither this nor `config` says.
        config: TOML file with changes; `recipe` and `preset` in it count, too.
        assignments: `key=value` texts that change the config last.
        voxel: size of a pixel or voxel in nm, in place of what the files say; `unknown` where nobody knows.
        source_voxel: the same of the source.
        label_offset: first voxel of a labelled block in its volume, z, y, x.
        axes: order of the axes in the files of a volume and its labelled block, where it is not `zyx`.
        label_suffix: what the name of an SWC file has behind the name of its stack.
        skip_bad: leave unreadable images out instead of refusing all.

    Raises:
        DataError: an image or a label cannot be used.
        UsageError: an unknown recipe, preset or config key.
    """
    images, labels = Path(images), None if labels is None else Path(labels)
    recipe, preset, changes = read_changes(config, recipe, preset)
    weights = parse_assignments(assignments).get("weights", changes.get("weights"))
    refuse_trained(weights, images, words(voxel, skip_bad=skip_bad))
    deep = axes is not None or label_offset is not None or (isinstance(voxel, Voxel) and voxel.z is not None)
    chosen = recipe or _told_by_roles(images, labels, source, deep=deep)
    settle = partial(configured, preset=preset, changes=changes, assignments=assignments, where=str(config))
    settings = None if chosen is None else settle(chosen)  # a wrong one is refused before images are read
    _check_roles(chosen, source, source_labels, source_voxel)
    _check_block(chosen, label_offset, axes)
    _check_traces(chosen, labels, label_suffix)
    origin = None if source is None else Path(source)
    origin_labels = None if source_labels is None else Path(source_labels)
    if origin is not None:
        target, others, bad = load_domains(
            images, labels, origin, origin_labels, voxel, source_voxel, skip_bad=skip_bad
        )
        assert chosen is not None and settings is not None  # told by the source
        facts = survey_domains(target, others)
        reasons, doubts = why_adapt(facts, settings, asked=recipe is not None)
    elif chosen is not None and RECIPES[chosen].traces:
        assert labels is not None
        suffix = label_suffix or ""
        target, bad = load_traced(images, labels, suffix=suffix, voxel=voxel, skip_bad=skip_bad)
        check_sizes(target, voxel)
        others, facts = [], survey_traced(target)
        reasons, doubts = why_traced(facts, chosen, asked=recipe is not None)
    elif chosen is not None and RECIPES[chosen].block:
        assert settings is not None
        target, others, bad = [load_neurons(images, labels, voxel, label_offset, axes)], [], []
        facts = survey_neurons(target[0], axes)
        reasons, doubts = why_neurons(target[0], facts, chosen, settings, asked=recipe is not None)
    else:
        _refuse_stacks(images)
        target, bad = load_records(images, labels, skip_bad=skip_bad, voxel=voxel)
        others, facts = [], _survey(target, images, labels)
        chosen, reasons = _choose(recipe, facts)
        doubts = _doubts(facts, target)
        if RECIPES[chosen].learns:
            _check_few_labels(facts, labels)
    found = settings or settle(chosen)
    absent = [absent_chunks(each) for each in (labels, origin_labels) if each is not None]
    doubts += tuple(each for each in absent if each is not None)
    warnings = tuple(f"Left out: {error}" for error in bad) + doubts
    return Plan(
        images, labels, tuple(target), origin, origin_labels, tuple(others), chosen, preset, found, facts,
        reasons, warnings, words(voxel, source_voxel, label_offset, axes, label_suffix, skip_bad=skip_bad),
    )  # fmt: skip


def words(
    voxel: VoxelSize,
    source_voxel: VoxelSize = None,
    label_offset: LabelOffset = None,
    axes: StoredAxes = None,
    label_suffix: str | None = None,
    *,
    skip_bad: bool,
) -> tuple[str, ...]:
    """The options of `plan` that say how images are to be read, as the command line has them."""
    return (
        *_size("--voxel-size", voxel),
        *_size("--source-voxel-size", source_voxel),
        *(() if label_offset is None else ("--label-offset", *map(str, label_offset))),
        *(() if axes is None else ("--axes", axes)),
        *(("--label-suffix", label_suffix) if label_suffix else ()),
        *(("--skip-bad",) if skip_bad else ()),
    )


def _size(name: str, size: VoxelSize) -> tuple[str, ...]:
    if size is None:
        return ()
    if not isinstance(size, Voxel):
        return name, size
    if size.z is None:
        return "--pixel-size", f"{size.x:g}"
    return name, f"{size.z:g}", f"{size.y:g}", f"{size.x:g}"


def _check_roles(
    recipe: str | None,
    source: str | Path | None,
    labels: str | Path | None,
    source_voxel: VoxelSize,
) -> None:
    """Refuses a source that the recipe cannot use, or what belongs to a source that is not there."""
    entry = None if recipe is None else RECIPES[recipe]
    if source is not None:
        if entry is not None and (entry.learns or not entry.volumes):
            found = f"recipe {recipe} learns from the images alone"
            found = f"recipe {recipe} learns from a labelled block" if entry.block else found
            raise UsageError("--source", found, "leave --source out, or choose --recipe emda")
        return
    given = [("--source-labels", labels), ("--source-voxel-size", source_voxel)]
    extra = next((name for name, value in given if value is not None), None)
    if extra is not None:
        raise UsageError(extra, "there is no --source it could belong to", "add --source, or leave it out")
    if entry is not None and entry.volumes and not entry.learns:
        found = f"recipe {recipe} learns from labelled volumes of another domain"
        raise UsageError("--recipe", found, "add --source and --source-labels")


def _check_block(recipe: str | None, label_offset: LabelOffset, axes: StoredAxes) -> None:
    """Refuses what belongs to a labelled block where there is none."""
    given = [("--label-offset", label_offset), ("--axes", axes)]
    extra = next((name for name, value in given if value is not None), None)
    if extra is None or (recipe is not None and RECIPES[recipe].block):
        return
    found = "the images are no volume of which a block is labelled"
    found = found if recipe is None else f"recipe {recipe} learns from no labelled block"
    raise UsageError(extra, found, "leave it out, or choose another --recipe")


def _check_traces(recipe: str | None, labels: Path | None, suffix: str | None) -> None:
    """Refuses traces that the recipe cannot use, and a recipe that has none."""
    traces = recipe is not None and RECIPES[recipe].traces
    if traces and (labels is None or not (labels.exists() and is_traced(labels))):
        found = f"recipe {recipe} learns from traced neurons, and no SWC files are named"
        fix = "name an SWC file, or a folder of them; a trained run is applied with `morula predict`"
        raise UsageError("--labels", found, fix)
    if not traces and suffix is not None:
        raise UsageError("--label-suffix", "the labels are no SWC files", "leave it out")


def _told_by_roles(images: Path, labels: Path | None, source: str | Path | None, *, deep: bool) -> str | None:
    """The recipe, where it follows before any image is read; `deep` where the user spoke of a z axis."""
    if source is not None:
        return "emda"
    if labels is None:
        return "psm"
    if labels.exists() and is_traced(labels):
        return TRACED
    return NEURONS if is_volume(images, labels, deep=deep) else None


def _check_few_labels(facts: Mapping[str, Any], labels: Path | None) -> None:
    """Refuses to learn from labels that are not there, or hold nothing."""
    if labels is None:
        found = "recipe cupre learns from a few labelled images, and none are named"
        raise UsageError("--labels", found, "name the labels, or choose --recipe psm, which needs none")
    if not facts["with_objects"]:
        found = f"none of the {facts['labelled']} labelled images has an object"
        raise DataError(labels, found, "label at least one image, or leave --labels out")


def _refuse_stacks(images: Path) -> None:
    """Refuses volumes by their extensions, which no 2D image has."""
    file = split_key(images)[0]
    held = visible(images) if images.is_dir() else [file]
    stacks = of_kinds(held, VOLUME_SUFFIXES)
    if stacks and not of_kinds(stacks, IMAGE_SUFFIXES):
        raise DataError(images, f"no 2D image, but a volume ({stacks[0].name})", _for_stacks(images))


def _for_stacks(images: Path) -> str:
    """What to do with volumes where no labels are named."""
    apply = f"morula predict RUN {shlex.quote(str(images))} --voxel-size Z Y X --out DIR"
    return (
        "give 2D images, one file each; for single neurons name SWC traces with --labels, or apply a trained "
        f"run: {apply}; for all neurons of electron microscopy name the labels of a block with --labels, or "
        f"add --recipe {NEURONS}, which needs none where membranes are dark"
    )


def _survey(records: Sequence[Record], images: Path, labels: Path | None) -> dict[str, Any]:
    volumes = [record.id for record in records if record.image.axes.spatial != "yx"]
    if volumes:
        found = f"this is a volume, axes {_axes(records, volumes[0])}"
        raise DataError(volumes[0], found, _for_stacks(images))
    step = max(1, len(records) // _SURVEYED)
    kinds = Counter(modality(record.image.read_yxc()) for record in records[::step])
    sizes = np.array([record.image.spatial_shape for record in records])
    sized = [record.image.voxel for record in records if record.image.voxel is not None]
    return {
        "images": len(records),
        "dimensions": 2,
        "modality": dict(kinds.most_common()),
        "smallest": sizes.min(axis=0).tolist(),
        "largest": sizes.max(axis=0).tolist(),
        "dtypes": sorted({str(record.image.dtype) for record in records}),
        "labelled": 0 if labels is None else sum(record.is_labelled for record in records),
        "with_objects": sum(map(_shows_objects, records)),
        "pixel_nm": [sized[0].y, sized[0].x] if sized else None,
    }


def _shows_objects(record: Record) -> bool:
    if record.labels is None:
        return False
    labels = record.labels()
    refuse_mask(f"the labels of {record.id}", labels)
    return bool(labels.any())


def _axes(records: Sequence[Record], name: str) -> str:
    return next(record.image.axes.order for record in records if record.id == name)


def _choose(recipe: str | None, facts: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    kinds = ", ".join(f"{name} ({count})" for name, count in facts["modality"].items())
    count = facts["images"]
    several = f"The {count} images are two-dimensional; told from their pixels they are {kinds}."
    reasons = [several if count > 1 else f"The image is two-dimensional; told from its pixels it is {kinds}."]
    chosen = recipe or ("cupre" if 0 < facts["labelled"] < count else "psm")
    if recipe is not None:
        reasons.append(f"Recipe {recipe} was asked for.")
    elif chosen == "cupre":
        reasons.append(f"Some images have labels and others none. Recipe cupre: {RECIPES['cupre'].title}.")
    else:
        reasons.append(f"Recipe psm needs no labels: {RECIPES['psm'].title}.")
    if RECIPES[chosen].learns:
        reasons.append(
            f"It learns from the {facts['with_objects']} labelled image(s) that show objects. These labels "
            "cannot measure it any more; to know the accuracy, keep some aside and use `morula evaluate`."
        )
    elif facts["labelled"]:
        reasons.append(
            f"{facts['labelled']} images have labels; recipe {chosen} uses them to measure, never to train. "
            "To learn from labels, choose --recipe cupre."
        )
    return chosen, tuple(reasons)


def _doubts(facts: Mapping[str, Any], records: Sequence[Record]) -> tuple[str, ...]:
    doubts: list[str] = []
    if len(facts["modality"]) > 1:
        doubts.append("The folder mixes modalities; a run for each kind of image usually does better.")
    if facts["pixel_nm"] is None:
        doubts.append("No pixel size is known: areas are in pixels. Give it with --pixel-size, in nm.")
    sized = sum(record.image.voxel is not None for record in records)
    if 0 < sized < len(records):
        doubts.append(
            f"{sized} of {len(records)} images say how large a pixel is: areas of these are in µm², of the "
            "others in pixels. Give it for all with --pixel-size, in nm."
        )
    if len(records) < 4:
        doubts.append(
            f"Only {len(records)} image(s) to learn from; a dozen or more make the network steadier."
        )
    return tuple(doubts)
