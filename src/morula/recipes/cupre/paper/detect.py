"""Objects of an image of any size, from a detector that sees it in tiles."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from morula.core.types import Array, Segmentation, Volume
from morula.data.modality import modality
from morula.post import merge_looks, paste_masks
from morula.recipes.cupre.paper.images import normalised
from morula.tasks.cells.decode import classes_of

__all__ = ["Found", "PaperPredictor", "detect", "detect_turned"]

_TILE, _HALO = 512, 96  # pixels; an object is taken from the tile in which its centre lies
_TURNS = tuple(itertools.product(range(4), (False, True)))  # quarter turns, and mirrored before or not
_LEAST = 0.05  # score of an object, as of a single look
_SLACK = 4.0  # pixels around a tile: its double of the next tile overlaps, and is dropped when pasted


class Found(NamedTuple):
    """Objects, the most certain first.

    Attributes:
        boxes: `(n, 4)` x0, y0, x1, y1.
        scores: `(n,)`.
        masks: `(n, 28, 28)` probabilities over the area of the box.
    """

    boxes: Array
    scores: Array
    masks: Array


@torch.no_grad()
def detect(network: nn.Module, image: Array, device: torch.device) -> Found:
    """Objects of a normalised image `(3, y, x)`.

    Args:
        network: `morula.nets.mask_rcnn` in evaluation mode.
        image: of any size.
        device: where the network is.
    """
    height, width = image.shape[1:]
    parts: list[Found] = []
    for top, left in itertools.product(range(0, height, _TILE), range(0, width, _TILE)):
        y0, x0 = max(top - _HALO, 0), max(left - _HALO, 0)
        tile = image[:, y0 : top + _TILE + _HALO, x0 : left + _TILE + _HALO]
        found = network([torch.from_numpy(np.ascontiguousarray(tile)).to(device)])[0]
        boxes, scores, masks = (found[name].cpu().numpy() for name in ("boxes", "scores", "masks"))
        boxes = boxes + np.array([x0, y0, x0, y0], dtype=np.float32)
        x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
        own = (np.abs(y - top - _TILE / 2) <= _TILE / 2 + _SLACK) & (
            np.abs(x - left - _TILE / 2) <= _TILE / 2 + _SLACK
        )
        parts.append(Found(boxes[own], scores[own], masks[own, 0].astype(np.float16)))
    boxes, scores, masks = (np.concatenate([part[place] for part in parts]) for place in range(3))
    order = np.argsort(-scores, kind="stable")
    return Found(boxes[order], scores[order], masks[order])


def detect_turned(network: nn.Module, image: Array, device: torch.device) -> Found:
    """The same by eight looks: objects of the image turned and mirrored, turned back, and merged.

    As the looks are those of every turned copy of the image, too, the objects of a turned image are the
    turned objects. Scores are means over the looks; what is less certain than a single look tells of is
    dropped.
    """
    looks: list[Found] = []
    for quarters, mirrored in _TURNS:
        view = np.rot90(image[..., ::-1] if mirrored else image, quarters, axes=(1, 2))
        found = _turned_back(detect(network, view, device), quarters, view.shape[1:])
        looks.append(_mirrored(found, image.shape[2]) if mirrored else found)
    boxes, scores, masks = (np.concatenate([look[place] for look in looks]) for place in range(3))
    owners = np.repeat(np.arange(len(looks)), [len(look.scores) for look in looks])
    boxes, masks, scores = merge_looks(boxes, masks, scores, owners, len(looks))
    kept = scores >= _LEAST
    return Found(boxes[kept], scores[kept], masks[kept])


def _turned_back(found: Found, quarters: int, shape: tuple[int, ...]) -> Found:
    """Objects of a view of `shape`, turned clockwise by quarters."""
    height, width = shape
    boxes = found.boxes
    for _ in range(quarters):
        x0, y0, x1, y1 = boxes.T
        boxes = np.stack([height - y1, x0, height - y0, x1], axis=1)
        height, width = width, height
    return Found(boxes, found.scores, np.rot90(found.masks, -quarters, axes=(1, 2)))


def _mirrored(found: Found, width: int) -> Found:
    x0, y0, x1, y1 = found.boxes.T
    return Found(np.stack([width - x1, y0, width - x0, y1], axis=1), found.scores, found.masks[..., ::-1])


class PaperPredictor:
    """A fine-tuned detector, ready for new images.

    Args:
        network: in evaluation mode.
        device: where it is.
        augment: merge what is found in eight turned and mirrored copies.
    """

    def __init__(self, network: nn.Module, device: torch.device, *, augment: bool = False) -> None:
        self._network, self._device = network, device
        self._detect = detect_turned if augment else detect

    def __call__(self, volume: Volume) -> Segmentation:
        """Objects, scores, classes and a map of the scores, of one 2D image."""
        image = volume.read_yxc()
        found = self._detect(self._network, normalised(image), self._device)
        labels, drawn = paste_masks(found.boxes, found.masks.astype(np.float32), image.shape[:2])
        scores = found.scores[drawn].astype(np.float64)
        certainty = np.concatenate([[0.0], scores])[labels].astype(np.float32)
        classes = classes_of(image, labels, modality(image))
        return Segmentation(labels, scores, classes, {"certainty": certainty})
