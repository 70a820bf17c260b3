"""How sure an object is: foreground within, background around it, and a high centre.

What is all foreground and nothing else, be it a nucleus or debris, has no edge that the network sees; an
object that background surrounds on all sides does. All of it is sums over pixels, so that parts of an image
add up to what the whole image gives.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from morula.core.types import Array
from morula.post import rims

__all__ = ["object_scores", "rim_width", "scores_of", "sum_of", "sums_of"]

_RIM = 0.25  # of the median diameter
_LEAST = 2.0  # pixels


def object_scores(labels: Array, inside: Array, height: Array, diameter: float) -> Array:
    """The score of each object 1..N: `(N,)` in [0, 1].

    Args:
        labels: `(y, x)`.
        inside: `(y, x)` foreground probability.
        height: `(y, x)` centre distance.
        diameter: of the median object, in pixels.
    """
    count = int(labels.max(initial=0))
    around = rims(labels, rim_width(diameter))
    return scores_of(sums_of(labels, around, count, inside, height))


def rim_width(diameter: float) -> float:
    """Pixels around an object in which there should be background.

    Args:
        diameter: of the median object, in pixels.
    """
    return max(_LEAST, _RIM * diameter)


def sum_of(labels: Array, count: int, values: Array) -> Array:
    """What values `(y, x)` add up to in the objects 1..count."""
    return np.bincount(labels.ravel(), weights=values.ravel(), minlength=count + 1)[1:]


def sums_of(labels: Array, around: Array, count: int, inside: Array, height: Array) -> dict[str, Array]:
    """What a part of an image adds to the areas and scores of the objects 1..count.

    Args:
        labels: `(y, x)`.
        around: `(y, x)` their rims.
        count: of the objects.
        inside: `(y, x)` foreground probability.
        height: `(y, x)` centre distance.
    """
    top = np.zeros(count + 1)
    np.maximum.at(top, labels, height)
    return {
        "area": np.bincount(labels.ravel(), minlength=count + 1)[1:],
        "inside": sum_of(labels, count, inside),
        "rim": np.bincount(around.ravel(), minlength=count + 1)[1:],
        "spilled": sum_of(around, count, inside),
        "top": top[1:],
    }


def scores_of(sums: Mapping[str, Array]) -> Array:
    """Mean foreground within, times mean background around, times the root of the highest centre distance.

    An object without a rim, as others enclose it, is not blamed for that.

    Args:
        sums: of `sums_of`, over all parts.
    """
    within = sums["inside"] / np.maximum(sums["area"], 1)
    without = 1 - sums["spilled"] / np.maximum(sums["rim"], 1)
    top = np.sqrt(np.clip(sums["top"].astype(np.float32), 0, 1))
    return np.clip(within * without * top, 0, 1)
