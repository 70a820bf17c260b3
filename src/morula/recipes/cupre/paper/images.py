"""Cells and natural images as the detector sees them: mean about 0, deviation about 1, three channels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from morula.core.errors import DataError
from morula.core.rng import Rng
from morula.core.types import Array
from morula.data import open_volume
from morula.data.coco import CocoImage, read_coco
from morula.recipes.cupre.batches import Example, cut, paste
from morula.tasks.cells.batches import resample
from morula.tasks.cells.decode import to_shape

__all__ = ["NaturalImages", "Scenes", "cell_example", "cell_scenes", "jitter", "normalised", "targets_of"]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of natural images
_BOUND = 10.0  # deviations; a few lit pixels shall not rule a step
_FRAME = 1.4  # shorter edge of a natural image over that of its crop
_SMALLEST = 9  # pixels of an object that is learned from


class Scenes(NamedTuple):
    """Images `(3, y, x)` and what is in them: boxes `(n, 4)`, labels `(n,)`, masks `(n, y, x)`."""

    images: list[Tensor]
    targets: list[dict[str, Tensor]]


class NaturalImages:
    """Natural images with objects of many categories, read when they are needed.

    Args:
        path: COCO JSON; the images lie beside it, or in a folder `images` or of the JSON file's name.

    Attributes:
        categories: numbers in the file; class k of the detector is category k - 1 of these.

    Raises:
        DataError: the file is no COCO, has no object, or an image is missing.
    """

    def __init__(self, path: Path) -> None:
        self._entries = [entry for entry in read_coco(path).values() if entry.segmentations]
        if not self._entries:
            raise DataError(path, "no image has an object", "give COCO instance annotations")
        self._files = [_file_of(path, entry) for entry in self._entries]
        self.categories = sorted({number for entry in self._entries for number in entry.categories})

    def __len__(self) -> int:
        return len(self._entries)

    def scenes(self, rng: Rng, index: int, *, batch: int, size: int) -> Scenes:
        """Batch `index`: crops of `size` pixels, turned by nothing but a mirror.

        Raises:
            DataError: an image cannot be read, or is not of the size that the file says.
        """
        draw = rng.at(index)
        cut_out = [self._crop(int(draw.integers(len(self))), draw, size) for _ in range(batch)]
        return Scenes([image for image, _ in cut_out], [target for _, target in cut_out])

    def _crop(self, place: int, draw: np.random.Generator, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        entry, path = self._entries[place], self._files[place]
        pixels = open_volume(path).read_yxc()
        labels, categories = entry.instances()
        if pixels.shape[:2] != labels.shape:
            found = f"{pixels.shape[:2]} pixels, where the annotations have {labels.shape}"
            raise DataError(path, found, "give the images that were annotated")
        shorter = min(labels.shape)
        edge = min(shorter, max(1, round(shorter / _FRAME * float(np.exp(draw.uniform(-0.35, 0.35))))))
        y, x = (int(draw.integers(length - edge + 1)) for length in labels.shape)
        flip = slice(None, None, -1 if draw.random() < 0.5 else 1)
        part = _three(pixels[y : y + edge, x : x + edge][:, flip]).astype(np.float32) / 255
        colours = (part - np.array(_MEAN)[:, None, None]) / np.array(_STD)[:, None, None]
        inside = to_shape(labels[y : y + edge, x : x + edge][:, flip], (size, size))
        known = np.array([0, *(self.categories.index(number) + 1 for number in categories)])
        return resample(colours, size)[0], targets_of(inside, known)


def normalised(image: Array) -> Array:
    """A picture of cells `(y, x, c)`, any grey levels, as `(3, y, x)` float32 of mean 0 and deviation 1."""
    pixels = _three(image.astype(np.float32))
    scaled = (pixels - pixels.mean()) / max(float(pixels.std()), 1e-6)
    return np.clip(scaled, -_BOUND, _BOUND).astype(np.float32)


def cell_example(kind: str, image: Array, labels: Array) -> Example:
    """A labelled image `(y, x, c)` to cut crops from.

    Args:
        kind: modality; objects are pasted between images of one kind.
        image: `(y, x, c)`.
        labels: `(y, x)`.
    """
    return Example(kind, normalised(image), (labels > 0)[None].astype(np.float16), labels)


def cell_scenes(
    examples: Sequence[Example], rng: Rng, index: int, *, batch: int, size: int, pasted: float
) -> Scenes:
    """Batch `index` of labelled crops, some with objects of another crop, varied in contrast and focus."""
    draw = rng.at(index)
    images: list[Tensor] = []
    targets: list[dict[str, Tensor]] = []
    for _ in range(batch):
        host = examples[int(draw.integers(len(examples)))]
        crop = cut(host, draw, size)
        if draw.random() < pasted:
            alike = [each for each in examples if each.kind == host.kind]
            crop = paste(crop, cut(alike[int(draw.integers(len(alike)))], draw, size), draw)
        images.append(torch.from_numpy(jitter(crop.image, draw)))
        targets.append(targets_of(crop.labels))
    return Scenes(images, targets)


def jitter(image: Array, draw: np.random.Generator) -> Array:
    """Contrast, brightness, gamma and noise of `(3, y, x)` vary; cells have no hue to rely on."""
    bent = np.sign(image) * np.abs(image) ** draw.uniform(0.75, 1.3)
    noise = draw.standard_normal(image.shape, dtype=np.float32) * draw.uniform(0, 0.1)
    return (bent * draw.uniform(0.7, 1.4) + draw.normal(0, 0.2) + noise).astype(np.float32)


def targets_of(labels: Array, classes: Array | None = None) -> dict[str, Tensor]:
    """Boxes, classes and masks of the objects of a label image `(y, x)`; specks are left out.

    Args:
        labels: 0 = background.
        classes: of each label, class 0 for none; all are class 1 by default.
    """
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    ids = np.flatnonzero(areas >= _SMALLEST)
    masks = labels[None] == ids[:, None, None]
    rows, columns = masks.any(axis=2), masks.any(axis=1)
    starts = columns.argmax(axis=1), rows.argmax(axis=1)
    ends = (
        columns.shape[1] - columns[:, ::-1].argmax(axis=1),
        rows.shape[1] - rows[:, ::-1].argmax(axis=1),
    )
    boxes = np.stack([*starts, *ends], axis=1).astype(np.float32)
    named = np.ones(len(ids), dtype=np.int64) if classes is None else classes[ids].astype(np.int64)
    return {
        "boxes": torch.from_numpy(boxes),
        "labels": torch.from_numpy(named),
        "masks": torch.from_numpy(masks.astype(np.uint8)),
    }


def _three(image: Array) -> Array:
    """`(3, y, x)`: colours as they are, anything else as grey."""
    grey = image if image.shape[-1] == 3 else np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.moveaxis(grey, -1, 0)


def _file_of(path: Path, entry: CocoImage) -> Path:
    name = Path(entry.file_name)
    folders = (path.parent, path.parent / "images", path.with_suffix(""))
    for candidate in (folder / each for folder in folders for each in (name, name.name)):
        if candidate.is_file():
            return candidate
    found = f"the image {entry.file_name!r} is neither beside the file nor in `images`"
    raise DataError(path, found, "put the natural images into a folder `images` beside it")
