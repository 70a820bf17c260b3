"""A criterion that ranks segmentations of one set of images without their truth: Morula's composite.

A candidate is compared with source labels (the prior) in what should not change from one tissue or
microscope to the next, and judged by evidence from the images, from other candidates, or from the network
that made it. Every deviation d counts log(1 + (d / tolerance)^2), the negative logarithm of a Cauchy
density: about quadratic below its tolerance, and beyond it so slow that one odd term cannot decide alone.
The score is minus the sum, 0 at best. The published solidity criterion is one of the terms: alone it is
blind to objects that were missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log, log1p
from typing import Any

import numpy as np

from morula.core.types import Array
from morula.metrics.morphology import CrossSections, cross_sections

__all__ = [
    "Packed",
    "Shapes",
    "Term",
    "Verdict",
    "composite",
    "consensus",
    "equal_gaps",
    "normalised_entropy",
    "objections",
    "shapes",
    "with_consensus",
]

SAME_SIZE = log(1.5)
"""Tolerance of cross-section area in nm^2: published means of three sets of mitochondria, from fly to mouse,
lie between 67,000 and 90,000 nm^2, a factor of 1.4."""
SAME_PIXELS = log(2.5)
"""The same in pixels, where the voxel sizes are not known: those of such data differ by up to two."""
SAME_SPREAD = 0.5
"""Tolerance of the standard deviation of log area, which is about 1 for mitochondria and 2 among specks."""
SAME_SOLIDITY = 0.07
"""Tolerance of solidity: smooth against branched mitochondria differ by that much, rough outlines by more."""
SAME_OVERLAP = 1.0
"""Tolerance of the log odds by which a pixel of foreground goes on in the next section."""
FRACTION = 3.0
"""Foreground may be so many times rarer or more frequent than in the source before it counts."""
SAME_FRACTION = log(1.5)
PREDICTABLE, SAME_PREDICTABLE = 0.6, 0.15
"""Kappa above which a mask follows the image well enough ("substantial"): a threshold of it would reach 1."""
EDGE, SAME_EDGE = 0.3, 0.1
"""Contrast of gradients on and off the outline, above which it lies on edges: they are twice as strong."""
UNCERTAIN = 0.3
"""Tolerance of what a perfect candidate has none of: disagreement, entropy, lack of consensus."""
MOST_WRONG = 5.0
"""Objects so many times too large or too small are not the source's objects. Both means of area must say so:
one merger of many objects moves the one, a hundred specks the other."""
CHANCE = 0.1
"""Agreement beyond chance (0) as a part of the possible (1), below which something is taken for noise."""
IMPLAUSIBLE = 100.0
"""Penalty of a candidate with objections: all others rank above it."""
_LARGEST_PENALTY = 10.0


@dataclass(frozen=True)
class Shapes:
    """What is measured of a segmentation, over all its stacks together.

    Attributes:
        count: cross-sections of objects, of more than 10 pixels.
        fraction: of the pixels that are foreground.
        area: geometric mean area in pixels of the cross-section in which a pixel of foreground lies; unlike
            the plain mean it does not follow the number of specks.
        plain_area: geometric mean area in pixels of a cross-section, each counting once.
        pixel_area: of a pixel, in nm^2; None where it is not known.
        spread: standard deviation of the logarithm of the areas.
        solidity: mean over cross-sections, as in `morula.metrics.solidity`.
        overlap: Dice coefficient of each section with the next, or the one that was asked for; None where
            there is none.
    """

    count: int
    fraction: float
    area: float
    plain_area: float
    pixel_area: float | None
    spread: float
    solidity: float
    overlap: float | None


@dataclass(frozen=True)
class Term:
    """One reason of a score.

    Attributes:
        value: what was measured.
        expected: what would count nothing: a value of the prior, or the end of a range.
        penalty: what it takes off the score.
    """

    value: float
    expected: float
    penalty: float


@dataclass(frozen=True)
class Verdict:
    """A candidate's score and its reasons.

    Attributes:
        score: minus the sum of the penalties, 0 at best; higher is better.
        terms: by name.
        objections: why it cannot be a segmentation of such objects; none if it is plausible.
    """

    score: float
    terms: Mapping[str, Term]
    objections: tuple[str, ...] = ()


def shapes(masks: Iterable[Array], *, pixel_area: float | None = None, gap: int = 1) -> Shapes:
    """Measures a segmentation.

    Args:
        masks: stacks `(z, y, x)` or single sections `(y, x)`; non-zero = foreground.
        pixel_area: in nm^2; None where it is not known.
        gap: sections to the one that a section is overlapped with; `equal_gaps` has those to compare with.

    Raises:
        ValueError: there is no mask, or one has fewer than 2 or more than 3 axes.

    >>> two = np.zeros((2, 20, 20), bool)
    >>> two[:, 2:6, 2:6] = True
    >>> found = shapes([two], pixel_area=25.0)
    >>> found.count, round(found.area), found.overlap
    (2, 16, 1.0)
    """
    parts: list[CrossSections] = []
    foreground = pixels = shared = paired = 0
    for mask in masks:
        stack = (mask if mask.ndim == 3 else mask[None]) != 0
        parts.append(cross_sections(stack))
        foreground += int(np.count_nonzero(stack))
        pixels += stack.size
        shared += 2 * int(np.count_nonzero(stack[gap:] & stack[:-gap]))
        paired += int(np.count_nonzero(stack[gap:])) + int(np.count_nonzero(stack[:-gap]))
    if not parts:
        raise ValueError("a segmentation has at least one mask")
    found = CrossSections.pooled(parts)
    some = len(found.area) > 0
    logs = np.log(found.area) if some else np.full(1, -np.inf)
    return Shapes(
        count=len(found.area),
        fraction=foreground / max(pixels, 1),
        area=exp(float(np.average(logs, weights=found.area if some else None))),
        plain_area=exp(float(logs.mean())),
        pixel_area=pixel_area,
        spread=float(logs.std()) if some else 0.0,
        solidity=float(found.solidity.mean()) if some else 0.0,
        overlap=shared / paired if paired else None,
    )


def equal_gaps(ours: float | None, theirs: float | None) -> tuple[int, int]:
    """How many sections of two volumes are equally far: one of the deeper, as many as fit of the other.

    Args:
        ours: from one section to the next, in nm; None where it is not known, and both gaps are 1.
        theirs: the same of the other volume.

    >>> equal_gaps(45.0, 5.0), equal_gaps(8.0, 30.0), equal_gaps(45.0, None)
    ((1, 9), (4, 1), (1, 1))
    """
    if ours is None or theirs is None:
        return 1, 1
    return max(1, round(theirs / ours)), max(1, round(ours / theirs))


def composite(found: Shapes, prior: Shapes, evidence: Mapping[str, float] | None = None) -> Verdict:
    """Scores one segmentation by what it shares with the prior and by further evidence.

    Args:
        found: of the candidate.
        prior: of the source's labels. Areas are compared in nm^2 where both have a `pixel_area`, else in
            pixels.
        evidence: what else is known, by name; unknown names are refused. `predictability` and `edges` from
            `morula.metrics.appearance` (higher is better); `disagreement` of student and teacher (1 - IoU),
            `entropy` from `normalised_entropy`, `dissent` from `consensus` (0 is perfect).

    Raises:
        ValueError: evidence that is not known, or not a finite number.

    >>> one = Shapes(50, 0.06, 3000.0, 2000.0, None, 1.0, 0.94, 0.8)
    >>> half = Shapes(50, 0.06, 1500.0, 1000.0, None, 1.0, 0.94, 0.8)
    >>> composite(one, one).score, round(composite(half, one).score, 2)
    (0.0, -0.45)
    """
    terms = {
        "area": _area(found, prior),
        "spread": _term(found.spread, prior.spread, found.spread - prior.spread, SAME_SPREAD),
        "solidity": _term(found.solidity, prior.solidity, found.solidity - prior.solidity, SAME_SOLIDITY),
        "fraction": _fraction(found.fraction, prior.fraction),
    }
    if found.overlap is not None and prior.overlap is not None:
        short = max(0.0, _log_odds(prior.overlap) - _log_odds(found.overlap))
        terms["overlap"] = _term(found.overlap, prior.overlap, short, SAME_OVERLAP)
    terms |= {name: _evidence_term(name, value) for name, value in (evidence or {}).items()}
    against = objections(found, prior, evidence)
    if against:
        terms["implausible"] = Term(len(against), 0.0, IMPLAUSIBLE)
    return Verdict(_total(terms), terms, against)


def objections(found: Shapes, prior: Shapes, evidence: Mapping[str, float] | None = None) -> tuple[str, ...]:
    """Why a segmentation cannot be one of the prior's objects: empty, all foreground, of wrong size, noise.

    Args:
        found: of the candidate.
        prior: of the source's labels.
        evidence: as in `composite`.

    >>> one = Shapes(50, 0.06, 3000.0, 2000.0, None, 1.0, 0.94, 0.8)
    >>> objections(Shapes(0, 0.0, 0.0, 0.0, None, 0.0, 0.0, None), one)
    ('no object of more than 10 pixels',)
    """
    if found.count == 0:
        return ("no object of more than 10 pixels",)
    against: list[str] = []
    most = max(0.5, min(FRACTION * prior.fraction, 0.95))
    if found.fraction > most:
        against.append(
            f"{found.fraction:.0%} of all pixels are foreground, in the prior {prior.fraction:.1%}"
        )
    in_nm, scale = _scale(found, prior)
    ratio = found.area / prior.area * scale if prior.area > 0 else inf
    plain = found.plain_area / prior.plain_area * scale if prior.plain_area > 0 else inf
    if not any(1 / MOST_WRONG <= each <= MOST_WRONG for each in (ratio, plain)):
        times, word = (ratio, "larger") if ratio > 1 else (1 / ratio, "smaller")
        unit = "in nm^2" if in_nm else "in pixels"
        against.append(f"cross-sections are {times:.1f} times {word} than the source's ({unit})")
    if found.overlap is not None and (found.overlap - found.fraction) < CHANCE * (1 - found.fraction):
        against.append(f"sections overlap by chance only (Dice {found.overlap:.2f})")
    told = evidence or {}
    if told.get("predictability", 1.0) < CHANCE and told.get("edges", 1.0) < CHANCE * EDGE:
        against.append("objects have nothing to do with the image")
    return tuple(against)


@dataclass(frozen=True)
class Packed:
    """Flat masks in bits, an eighth of their memory, unpacked one after the other.

    Attributes:
        bits: of each mask, as `numpy.packbits` gives them.
        size: pixels of each mask.

    >>> [mask.tolist() for mask in Packed([np.packbits([True, False, True])], 3)]
    [[True, False, True]]
    """

    bits: Sequence[Array]
    size: int

    def __iter__(self) -> Iterator[Array]:
        """Each mask `(size,)` bool."""
        return (np.unpackbits(each, count=self.size).view(np.bool_) for each in self.bits)


def consensus(masks: Iterable[Array], weights: Sequence[float]) -> list[float]:
    """How far each candidate is from the weighted majority of the others: 1 - IoU.

    A tie speaks against nobody. Weights from scores that know nothing of the others keep many bad candidates,
    who may well agree, from outvoting few good ones.

    Args:
        masks: one a candidate, of equal shape, gone through twice; non-zero = foreground.
        weights: how much each counts, at least 0; those of 0 are judged but do not judge.

    Returns:
        In [0, 1]; 0 where nobody else has weight, which is no evidence against anyone.

    >>> a, b = np.array([1, 1, 0]), np.array([1, 0, 0])
    >>> consensus([a, a, b], [1, 1, 1]), consensus([a, b, b], [1, 0, 0])
    ([0.0, 0.0, 0.5], [0.0, 0.5, 0.5])
    """
    total: Any = np.float32(0)
    for mask, weight in zip(masks, weights, strict=True):
        total += np.float32(weight) * (mask != 0)
    whole = float(np.sum(weights))
    found: list[float] = []
    for mask, weight in zip(masks, weights, strict=True):
        others = whole - weight
        inside: Array = mask != 0
        lead: Array = total - np.float32(weight) * inside - np.float32(0.5 * others)
        tied: Array = np.abs(lead) <= 1e-5 * max(others, 1e-6)
        majority: Array = (lead > 0) & ~tied | inside & tied
        union = int(np.count_nonzero(majority | inside))
        alike = int(np.count_nonzero(majority & inside)) / union if union else 1.0
        found.append(1.0 - alike if others > 1e-6 * max(whole, 1.0) else 0.0)
    return found


def with_consensus(verdicts: Sequence[Verdict], masks: Iterable[Array]) -> list[Verdict]:
    """The verdicts with the term `dissent` added; plausible candidates vote, the better the more.

    Args:
        verdicts: of each candidate alone.
        masks: of each candidate, of equal shape, gone through twice; `Packed` if they are many.

    >>> one = Shapes(50, 0.06, 3000.0, 2000.0, None, 1.0, 0.94, 0.8)
    >>> alone = [composite(one, one)] * 3
    >>> masks = [np.array([1, 1, 0]), np.array([1, 1, 0]), np.array([0, 1, 1])]
    >>> [round(verdict.score, 2) for verdict in with_consensus(alone, masks)]
    [0.0, 0.0, -1.78]
    """
    best = max((verdict.score for verdict in verdicts), default=0.0)
    weights = [0.0 if verdict.objections else exp((verdict.score - best) / 2) for verdict in verdicts]
    found: list[Verdict] = []
    for verdict, dissent in zip(verdicts, consensus(masks, weights), strict=True):
        terms = {**verdict.terms, "dissent": _evidence_term("dissent", dissent)}
        found.append(Verdict(_total(terms), terms, verdict.objections))
    return found


def normalised_entropy(probability: Array) -> float:
    """Uncertain area as a part of the foreground: summed binary entropy in bits over foreground pixels.

    Args:
        probability: of foreground, any shape, in [0, 1].

    Returns:
        0 where every pixel is certain, at most 1.

    >>> round(normalised_entropy(np.array([1.0, 1.0, 0.5, 0.0])), 3)
    0.333
    """
    p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    bits = float(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).sum())
    return min(1.0, bits / max(int(np.count_nonzero(probability >= 0.5)), 1))


def _evidence_term(name: str, value: float) -> Term:
    if not np.isfinite(value):
        raise ValueError(f"evidence {name!r} must be a finite number, not {value}")
    if name == "predictability":
        return _term(value, PREDICTABLE, max(0.0, PREDICTABLE - value), SAME_PREDICTABLE)
    if name == "edges":
        return _term(value, EDGE, max(0.0, EDGE - value), SAME_EDGE)
    if name in {"disagreement", "entropy", "dissent"}:
        return _term(value, 0.0, value, UNCERTAIN)
    raise ValueError(
        f"{name!r} is no evidence; known are predictability, edges, disagreement, entropy, dissent"
    )


def _fraction(found: float, prior: float) -> Term:
    beyond = max(0.0, abs(_log_ratio(found, prior)) - log(FRACTION))
    return _term(found, min(max(found, prior / FRACTION), prior * FRACTION), beyond, SAME_FRACTION)


def _term(value: float, expected: float, deviation: float, tolerance: float) -> Term:
    return Term(value, expected, min(log1p((deviation / tolerance) ** 2), _LARGEST_PENALTY))


def _area(found: Shapes, prior: Shapes) -> Term:
    in_nm, scale = _scale(found, prior)
    tolerance = SAME_SIZE if in_nm else SAME_PIXELS
    return _term(found.area, prior.area / scale, _log_ratio(found.area * scale, prior.area), tolerance)


def _scale(found: Shapes, prior: Shapes) -> tuple[bool, float]:
    """Whether sizes are known in nm, and what turns the candidate's pixels into the prior's."""
    if found.pixel_area is None or prior.pixel_area is None:
        return False, 1.0
    return True, found.pixel_area / prior.pixel_area


def _log_ratio(a: float, b: float) -> float:
    return log(a / b) if a > 0 and b > 0 else inf


def _log_odds(p: float) -> float:
    kept = min(max(p, 1e-3), 1 - 1e-3)
    return log(kept / (1 - kept))


def _total(terms: Mapping[str, Term]) -> float:
    return 0.0 - sum(term.penalty for term in terms.values())
