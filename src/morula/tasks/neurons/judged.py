"""Scores of the validation part: with borders and without, and of neurons that no training has a part in."""

from __future__ import annotations

from morula.blockwise.grid import relative
from morula.blockwise.join import grown
from morula.core.affinities import Affinities
from morula.core.types import Array
from morula.metrics import ignore_border, neuron_scores
from morula.tasks.neurons.block import Part
from morula.tasks.neurons.label_free import grey_affinities, grey_decoder
from morula.tasks.neurons.settings import Decode

__all__ = ["BORDER", "bordered", "grey_scores"]

BORDER = 2.0
"""Pixels of a section: what is this near to a true border counts in one half of the scores alone."""

_KEPT = ("voi", "voi_split", "voi_merge", "are")
_CONTEXT = 48  # voxels, four times what grey values are compared over


def bordered(labels: Array, truth: Array) -> dict[str, float]:
    """Scores without voxels near borders, whose place annotators differ about; the names end in `_border`.

    Papers differ in whether they leave them out, and the scores with that (as `morula evaluate --border`).

    Args:
        labels: found, `(z, y, x)`.
        truth: shaped like `labels`, 0 where nothing is scored.

    Returns:
        Nothing where no voxel is that far from a border.
    """
    inside = ignore_border(truth, BORDER)
    if not inside.any():
        return {}
    scores = neuron_scores(labels, inside)
    return {f"{name}_border": scores[name] for name in _KEPT}


def grey_scores(image: Array, part: Part, decode: Decode, *, isotropic: bool) -> dict[str, float]:
    """What the control, a watershed of the grey values, scores on a part, by the names of the result.

    Args:
        image: the whole volume `(z, y, x)`, as `grey` gives it.
        part: with its labels.
        decode: of the decoder; the control's threshold is fixed.
        isotropic: whether z is an axis like the others.
    """
    wide = grown(part.box, image.shape, (_CONTEXT if isotropic else 0, _CONTEXT, _CONTEXT))
    around = grey_affinities(image[wide], isotropic=isotropic)
    inside = Affinities(around.values[:, *relative(part.box, wide)], around.offsets)
    labels = grey_decoder(decode, isotropic=isotropic)(inside).labels
    return {**neuron_scores(labels, part.labels), **bordered(labels, part.labels)}
