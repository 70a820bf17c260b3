"""From an image to nuclei with a trained ResUNet34."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from skimage import measure
from torch import Tensor

from morula.core.types import Array, Segmentation
from morula.recipes.psm.paper.fields import at_least, blend
from morula.recipes.psm.paper.networks import ResUNet34
from morula.recipes.psm.paper.pseudo import channels_first

__all__ = ["foreground", "normalise", "segmentation"]

_MULTIPLE, _TILE, _OVERLAP = 32, 1024, 128


def normalise(images: Tensor) -> Tensor:
    """(x / 255 - 0.5) / 0.5.

    >>> normalise(torch.tensor([0.0, 255.0])).tolist()
    [-1.0, 1.0]
    """
    return (images / 255 - 0.5) / 0.5


def foreground(network: ResUNet34, image: Array) -> Array:
    """The probability of nuclei, `(y, x)` float32; one softmax.

    The image is reflected up to a multiple of 32 pixels, and beyond 1024 pixels cut into tiles that overlap.

    Args:
        network: on any device; left in evaluation mode.
        image: `(y, x, 3)` RGB uint8.
    """
    network.eval()
    device = next(network.parameters()).device

    @torch.no_grad()
    def look(tile: Array) -> Array:
        logits = network(normalise(channels_first(tile).to(device))[None])
        return logits.softmax(dim=1)[0, 1].cpu().numpy()

    height, width = image.shape[:2]
    if max(height, width) > _TILE:
        return blend(at_least(image, _TILE, _TILE), _TILE, _OVERLAP, look)[:height, :width]
    whole = at_least(image, -(-height // _MULTIPLE) * _MULTIPLE, -(-width // _MULTIPLE) * _MULTIPLE)
    return look(whole)[:height, :width]


def segmentation(probability: Array) -> Segmentation:
    """Nuclei as published: more likely than not, components of 8 neighbours, nothing removed or filled.

    Args:
        probability: `(y, x)` of the foreground; its mean over a nucleus is the nucleus's score.
    """
    labels: Array = np.asarray(measure.label(probability > 0.5, connectivity=2))
    count = int(labels.max(initial=0))
    scores = np.asarray(ndimage.mean(probability, labels, np.arange(1, count + 1)), np.float64)
    return Segmentation(labels.astype(np.int32), scores, ("nucleus",) * count, {"foreground": probability})
