"""Source and target as the networks see them: 8 bit, at a common pixel size, and no label of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch.nn import functional as F

from morula.blockwise import sample
from morula.core.errors import DataError, UsageError
from morula.core.hashing import fingerprint
from morula.core.types import Array, ArraySource, Record, Volume
from morula.data.masks import to_mask
from morula.metrics import equal_gaps
from morula.recipes.emda.scale import estimate_scale

__all__ = [
    "Domain",
    "Domains",
    "as_bytes",
    "depth_nm",
    "domains_of",
    "grey_range",
    "pixel_nm",
    "resample",
    "stretched",
]

_TAILS = (0.001, 0.999)  # quantiles between which grey values that are not 8 bit become so
_SURE = 0.5  # confidence of a scale by texture; volumes of one kind and instrument have more
_LEAST = 48  # pixels; the least side of a section, resampled or not, that a network can learn from


@dataclass(frozen=True)
class Domain:
    """Volumes of one domain at the common pixel size.

    Attributes:
        images: each `(z, y, x)` uint8.
        masks: each `(z, y, x)` uint8, 0 or 1; none for the target, whose labels nobody may read.
        zooms: common pixels per stored pixel, one a volume.
        stored_nm: edge of a stored pixel of each volume; none where they are not known.
        depth_nm: from one section to the next, the most where volumes differ; None where it is not known.
    """

    images: tuple[Array, ...]
    masks: tuple[Array, ...]
    zooms: tuple[float, ...]
    stored_nm: tuple[float, ...] = ()
    depth_nm: float | None = None


@dataclass(frozen=True)
class Domains:
    """Where labels are, and where they are wanted.

    Attributes:
        source: with masks.
        target: without.
        common: whether both were brought to one pixel size.
        pixel_nm: edge of a common pixel; None where nobody knows, or there is none.
        ratio: target pixels per source pixel, as edges, where it was estimated from the images.
        stored: the target's volumes as stored, where its zoom is a guess that the segmenter has to better.
    """

    source: Domain
    target: Domain
    common: bool
    pixel_nm: float | None = None
    ratio: float | None = None
    stored: tuple[Array, ...] = ()

    @property
    def gaps(self) -> tuple[int, int]:
        """Sections from one to another of the source and of the target that are equally far apart."""
        return equal_gaps(self.source.depth_nm, self.target.depth_nm)

    @property
    def pixel_areas(self) -> tuple[float | None, float | None]:
        """Of a pixel of the source and of the target as the network sees them, in nm^2; None if not known.

        Both are 1 where one pixel size was found that nobody knows in nm.
        """
        if self.common:
            area = (self.pixel_nm or 1.0) ** 2
            return area, area
        ours, theirs = (
            float(np.mean(each.stored_nm)) ** 2 if each.stored_nm else None
            for each in (self.source, self.target)
        )
        return ours, theirs

    def zoomed(self, zoom: float) -> Domains:
        """The same with another zoom of the first target volume, which is no guess any more.

        The others get the same, or in proportion to their pixels where the sizes are known.
        """
        known = self.target.stored_nm
        zooms = tuple(zoom * (size / known[0]) for size in known) or (zoom,) * len(self.stored)
        return replace(
            self,
            target=replace(self.target, images=tuple(map(resample, self.stored, zooms)), zooms=zooms),
            pixel_nm=known[0] / zoom if known else self.pixel_nm,
            ratio=zoom / float(np.mean(self.source.zooms)),
            stored=(),
        )


def domains_of(records: Sequence[Record], *, harmonise: bool, edge: float) -> Domains:
    """Reads all volumes and brings them to one pixel size.

    Args:
        records: of both domains; those of the source with labels, those of the target without.
        harmonise: resample; otherwise every pixel is taken as it is.
        edge: of a common pixel in nm. Where the source does not know its size, its pixels are taken for it.

    Raises:
        UsageError: there is no source, or a target record carries labels.
        DataError: a source without labels or mitochondria, a black target, a volume in both domains,
            sections too small to learn from, or volumes of one domain of which only some have a pixel size.
    """
    source = [record for record in records if record.domain == "source"]
    target = [record for record in records if record.domain == "target"]
    _check_roles(source, target)
    masks = tuple(_mask(record) for record in source)
    _check_masks(source, masks)
    pixels = tuple(as_bytes(record.image) for record in source)
    wanted = tuple(as_bytes(record.image) for record in target)
    _check_contents(source, target, pixels, wanted)
    ours = Domain(pixels, masks, (1.0,) * len(source), _sizes(source), _depth(source))
    theirs = Domain(wanted, (), (1.0,) * len(target), _sizes(target), _depth(target))
    if not harmonise:
        _check_sides(source, pixels)
        _check_sides(target, wanted)
        return Domains(ours, theirs, common=False)
    _check_sizes("--source-voxel-size", source)
    _check_sizes("--voxel-size", target)
    zooms = tuple(size / edge for size in ours.stored_nm) or ours.zooms
    learned = replace(
        ours,
        images=tuple(map(resample, pixels, zooms)),
        masks=tuple(resample(mask * 255, zoom) // 128 for mask, zoom in zip(masks, zooms, strict=True)),
        zooms=zooms,
    )
    if ours.stored_nm and theirs.stored_nm:
        ends = tuple(size / edge for size in theirs.stored_nm)
        resampled = replace(theirs, images=tuple(map(resample, wanted, ends)), zooms=ends)
        return Domains(learned, resampled, common=True, pixel_nm=edge)
    asked = Domains(learned, theirs, common=True, pixel_nm=edge if ours.stored_nm else None, stored=wanted)
    zoom, sure = _guess(learned.images[0], wanted[0])
    return asked.zoomed(zoom) if sure else replace(asked.zoomed(zoom), stored=wanted)


def _guess(source: Array, target: Array) -> tuple[float, bool]:
    """Zoom of the target by its texture, and whether that can be trusted; 1 where it cannot."""
    try:
        found = estimate_scale(source, target)
    except ValueError:
        return 1.0, False
    return (found.factor, True) if found.confidence >= _SURE else (1.0, False)


def pixel_nm(volume: Volume) -> float | None:
    """Edge of a pixel in the section plane: the geometric mean of y and x, None where it is not known."""
    return None if volume.voxel is None else float(np.sqrt(volume.voxel.area))


def depth_nm(volume: Volume) -> float | None:
    """From one section to the next; None where it is not known."""
    return None if volume.voxel is None else volume.voxel.z


def as_bytes(volume: Volume) -> Array:
    """Grey values `(z, y, x)` uint8 of a whole volume: `stretched` over its `grey_range`."""
    array = volume.read()
    stack = array if array.ndim == 3 else array[None]
    return stretched(stack, grey_range(stack))


def grey_range(volume: ArraySource) -> tuple[float, float]:
    """The grey values that become 0 and 255: 8 bit stay, other types have their 0.1 and 99.9 % quantiles."""
    if volume.dtype == np.uint8:
        return 0.0, 255.0
    low, high = np.quantile(sample(volume), _TAILS)
    return float(low), float(high)


def stretched(stack: Array, between: tuple[float, float]) -> Array:
    """Any part of a volume as uint8, voxel for voxel as in the whole; 8 bit as stored.

    Args:
        stack: of any shape.
        between: of `grey_range`.
    """
    if stack.dtype == np.uint8:
        return stack
    low, high = between
    unit = (stack.astype(np.float32) - low) / max(high - low, 1e-6)
    return np.round(np.clip(unit, 0, 1) * 255).astype(np.uint8)


def resample(stack: Array, zoom: float) -> Array:
    """Sections `(z, y, x)` uint8 enlarged by `zoom`, linearly, smoothed before they shrink.

    Raises:
        DataError: a section would become too small to learn from.
    """
    height, width = (round(length * zoom) for length in stack.shape[1:])
    if min(height, width) < _LEAST:
        found = f"sections of {stack.shape[1]} x {stack.shape[2]} pixels would shrink to {height} x {width}"
        raise DataError("--voxel-size", found, "check both voxel sizes, or add --set harmonise=false")
    if (height, width) == stack.shape[1:]:
        return stack
    found = np.empty((len(stack), height, width), np.uint8)
    for section, small in zip(stack, found, strict=True):
        grey = torch.from_numpy(section.astype(np.float32))[None, None]
        scaled = F.interpolate(grey, size=(height, width), mode="bilinear", antialias=zoom < 1)
        small[...] = scaled[0, 0].round().clamp(0, 255).to(torch.uint8).numpy()
    return found


def _mask(record: Record) -> Array:
    """`(z, y, x)` uint8 of a source record that has labels."""
    assert record.labels is not None
    labels = record.labels()
    return to_mask(labels if labels.ndim == 3 else labels[None], where=record.image.uri)


def _sizes(records: Sequence[Record]) -> tuple[float, ...]:
    """Edges of the stored pixels in nm; none where one is not known."""
    known = tuple(size for record in records if (size := pixel_nm(record.image)) is not None)
    return known if len(known) == len(records) else ()


def _depth(records: Sequence[Record]) -> float | None:
    known = (depth_nm(record.image) for record in records)
    return max((depth for depth in known if depth is not None), default=None)


def _check_sizes(option: str, records: Sequence[Record]) -> None:
    bare = sum(pixel_nm(record.image) is None for record in records)
    if 0 < bare < len(records):
        found = f"{bare} of {len(records)} volumes have no pixel size, the others have"
        raise DataError(option, found, "give it, or keep volumes of unknown size in a run of their own")


def _check_sides(records: Sequence[Record], stacks: Sequence[Array]) -> None:
    for record, stack in zip(records, stacks, strict=True):
        if min(stack.shape[1:]) < _LEAST:
            found = f"sections of {stack.shape[1]} x {stack.shape[2]} pixels"
            raise DataError(record.image.uri, found, f"give sections of {_LEAST} x {_LEAST} pixels or more")


def _check_roles(source: Sequence[Record], target: Sequence[Record]) -> None:
    if not source:
        raise UsageError(
            "--source", "recipe emda learns from labels elsewhere", "add --source and its labels"
        )
    if not target:
        raise UsageError("--source", "there is no target volume", "name the volumes to segment")
    seen = next((record for record in target if record.is_labelled), None)
    if seen is not None:
        found = f"labels of the target {seen.id} could be read while training"
        raise UsageError("--labels", found, "pass the target without labels; scores are made afterwards")
    bare = next((record for record in source if not record.is_labelled), None)
    if bare is not None:
        raise DataError(bare.image.uri, "the source volume has no labels", "give them with --source-labels")


def _check_masks(source: Sequence[Record], masks: Sequence[Array]) -> None:
    for record, mask in zip(source, masks, strict=True):
        if mask.shape != record.image.spatial_shape and mask.shape[1:] != record.image.spatial_shape:
            found = f"labels of shape {mask.shape} for a volume {record.image.spatial_shape}"
            raise DataError(record.image.uri, found, "give labels of the same size")
    if not any(mask.any() for mask in masks):
        where = source[0].image.uri
        raise DataError(where, "no voxel of the source's labels is above 0", "check --source-labels")


def _check_contents(
    source: Sequence[Record], target: Sequence[Record], pixels: Sequence[Array], wanted: Sequence[Array]
) -> None:
    for record, stack in zip(target, wanted, strict=True):
        if not stack.any():
            raise DataError(record.image.uri, "every voxel is black", "give a volume that shows something")
    ours, theirs = ([fingerprint(stack) for stack in stacks] for stacks in (pixels, wanted))
    for (a, one), (b, other) in product(zip(ours, source, strict=True), zip(theirs, target, strict=True)):
        if a == b:
            found = f"the same voxels as the source {one.image.uri}"
            raise DataError(other.image.uri, found, "give another volume as source, or as target")
