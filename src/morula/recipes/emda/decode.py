"""From a segmenter to mitochondria: tiles that overlap, eight views, the stored pixel size, 3D objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy import ndimage as ndi
from torch import Tensor
from torch.nn import functional as F

from morula.core.types import Array, Segmentation
from morula.metrics import equal_gaps, iou
from morula.post import clean, components

__all__ = ["Cleaning", "probability", "restore", "segmentation", "tune_cleaning"]

_TILE, _OVERLAP = 768, 96  # pixels; the overlap covers most of what a network sees around a pixel
_MULTIPLE = 32  # what the deepest network halves a side by
_VIEWS = tuple(product(range(4), (False, True)))
_SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)  # of the median object of the source, as the least volume


@dataclass(frozen=True)
class Cleaning:
    """What becomes of a foreground mask.

    Attributes:
        smallest: least volume of an object, in common pixels times sections.
        window: of the median along z, in sections; 1 changes nothing.
        depth_nm: from one to the next of the sections that both are tuned on; None where it is not known.
    """

    smallest: float = 0.0
    window: int = 1
    depth_nm: float | None = None

    def at(self, depth_nm: float | None) -> Cleaning:
        """The same for sections that are deeper or thinner: the least object is as large in nm.

        No median where one section is as deep as two or more: what shows in it alone may well be an object.

        Args:
            depth_nm: from one section to the next; None where it is not known, and nothing changes.
        """
        if depth_nm is None or self.depth_nm is None:
            return self
        _, deeper = equal_gaps(depth_nm, self.depth_nm)
        window = self.window if deeper == 1 else 1
        return Cleaning(self.smallest * self.depth_nm / depth_nm, window, depth_nm)


@torch.no_grad()
def probability(
    segmenter: Callable[[Tensor], Tensor], stack: Array, device: torch.device, *, augment: bool
) -> Array:
    """Foreground probability `(z, y, x)` float32 of sections at the common pixel size.

    Args:
        segmenter: image `(b, 1, y, x)` in [0, 1] to logits `(b, 1, y, x)`, in evaluation mode.
        stack: `(z, y, x)` uint8.
        device: where the segmenter is.
        augment: average over the eight turned and mirrored views.
    """
    views = _VIEWS if augment else _VIEWS[:1]
    return np.stack([_section(segmenter, section, device, views) for section in stack])


def restore(maps: Array, shape: tuple[int, ...]) -> Array:
    """Maps `(z, y, x)` float32 at the stored size of their sections, linearly.

    Args:
        maps: at the common pixel size.
        shape: stored, `(z, y, x)`.
    """
    if maps.shape == shape:
        return maps
    large = [
        F.interpolate(torch.from_numpy(section)[None, None], size=shape[-2:], mode="bilinear")[0, 0]
        for section in maps
    ]
    return torch.stack(large).numpy()


def tune_cleaning(maps: Sequence[Array], masks: Sequence[Array], depth_nm: float | None = None) -> Cleaning:
    """The least object volume and the median along z that fit the source's labels best.

    The mildest of equally good ones. The window stays 1 unless a wider one wins clearly, for sections of the
    target may be thicker.

    Args:
        maps: foreground probability of the source volumes.
        masks: their labels, non-zero = mitochondrion.
        depth_nm: from one section of theirs to the next; None where it is not known.
    """
    volumes = np.concatenate([np.bincount(components(mask).ravel())[1:] for mask in masks])
    median = float(np.median(volumes)) if len(volumes) else 0.0
    best, top = Cleaning(depth_nm=depth_nm), -1.0
    for window, share in product((1, 3), _SHARES):
        trial = Cleaning(share * median, window, depth_nm)
        cleaned = [clean(each > 0.5, window=window, smallest=trial.smallest) for each in maps]
        fit = float(np.mean([iou(found, mask) for found, mask in zip(cleaned, masks, strict=True)]))
        if fit > top + (0.01 if window > best.window else 0.001):
            best, top = trial, fit
    return best


def segmentation(maps: Array, shape: tuple[int, ...], cleaning: Cleaning) -> Segmentation:
    """Numbered mitochondria at the stored pixel size, each with its mean probability as a score.

    Args:
        maps: foreground probability at the common pixel size, `(z, y, x)`.
        shape: of the stored volume, `(z, y, x)` or `(y, x)`.
        cleaning: of the foreground, at the stored depth of the sections.
    """
    stored = shape if len(shape) == 3 else (1, *shape)
    large = restore(maps, stored)
    area = stored[1] * stored[2] / (maps.shape[1] * maps.shape[2])
    mask = clean(large > 0.5, window=cleaning.window, smallest=cleaning.smallest * area)
    labels = components(mask)
    ids = np.arange(1, int(labels.max(initial=0)) + 1)
    scores = np.clip(np.asarray(ndi.mean(large, labels, ids)), 0, 1) if len(ids) else np.zeros(0)
    shaped = labels.reshape(shape)
    return Segmentation(shaped, scores, ("mitochondrion",) * len(ids), {"foreground": large.reshape(shape)})


def _section(
    segmenter: Callable[[Tensor], Tensor],
    section: Array,
    device: torch.device,
    views: Sequence[tuple[int, bool]],
) -> Array:
    """One section from its tiles, each weighted down towards its edge."""
    image = torch.from_numpy(section.astype(np.float32))[None, None].to(device) / 255
    height, width = section.shape
    total, weights = torch.zeros(height, width), torch.zeros(height, width)
    for y, x in product(_spans(height), _spans(width)):
        tile = _padded(image[:, :, y, x])
        found = sum((_viewed(segmenter, tile, *view) for view in views), torch.zeros(1, device=device))
        size = y.stop - y.start, x.stop - x.start
        weight = _ramp(size[0])[:, None] * _ramp(size[1])
        total[y, x] += (found / len(views))[0, 0, : size[0], : size[1]].float().cpu() * weight
        weights[y, x] += weight
    return (total / weights).numpy()


def _viewed(segmenter: Callable[[Tensor], Tensor], image: Tensor, turns: int, mirror: bool) -> Tensor:
    view = torch.rot90(image, turns, (2, 3))
    maps = torch.sigmoid(segmenter(view.flip(3) if mirror else view).float())
    return torch.rot90(maps.flip(3) if mirror else maps, -turns, (2, 3))


def _spans(length: int) -> Iterator[slice]:
    """Equal pieces of at most `_TILE` pixels that overlap by `_OVERLAP` or more."""
    if length <= _TILE:
        yield slice(0, length)
        return
    count = -(-(length - _OVERLAP) // (_TILE - _OVERLAP))
    for start in np.linspace(0, length - _TILE, count).round().astype(int).tolist():
        yield slice(start, start + _TILE)


def _ramp(length: int) -> Tensor:
    """Weight along one axis: 1 inside, falling to nearly 0 over the overlap."""
    place = torch.arange(length, dtype=torch.float32) + 0.5
    return (torch.minimum(place, length - place) / _OVERLAP).clamp(max=1.0)


def _padded(tile: Tensor) -> Tensor:
    """Sides that every network takes; the image goes on mirrored."""
    height, width = tile.shape[-2:]
    down, right = -height % _MULTIPLE, -width % _MULTIPLE
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(tile, (0, right, 0, down), mode=mode)
