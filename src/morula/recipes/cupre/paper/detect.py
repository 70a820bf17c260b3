"""Objects of an image of any size, from a detector that sees it in tiles."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from morula.core.types import Array, Segmentation, Volume
from morula.data.modality import modality
from morula.post import paste_masks
from morula.recipes.cupre.paper.images import normalised
from morula.tasks.cells.decode import classes_of

__all__ = ["Found", "PaperPredictor", "detect"]

_TILE, _HALO = 512, 96  # pixels; an object is taken from the tile in which its centre lies
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


class PaperPredictor:
    """A fine-tuned detector, ready for new images.

    Args:
        network: in evaluation mode.
        device: where it is.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device

    def __call__(self, volume: Volume) -> Segmentation:
        """Objects, scores, classes and a map of the scores, of one 2D image."""
        image = volume.read_yxc()
        found = detect(self._network, normalised(image), self._device)
        labels, drawn = paste_masks(found.boxes, found.masks.astype(np.float32), image.shape[:2])
        scores = found.scores[drawn].astype(np.float64)
        certainty = np.concatenate([[0.0], scores])[labels].astype(np.float32)
        classes = classes_of(image, labels, modality(image))
        return Segmentation(labels, scores, classes, {"certainty": certainty})
