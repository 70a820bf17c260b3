"""True and false positives, and the ratios that every detection score is made of."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counts", "ratio"]


@dataclass(frozen=True)
class Counts:
    """How many objects, points or pixels were found, invented and missed.

    Nothing expected and nothing found is a perfect answer: every ratio is 1. Otherwise a ratio without a
    denominator (precision without predictions, recall without truth) is 0.

    Attributes:
        tp: true positives, found and expected.
        fp: false positives, found but not expected.
        fn: false negatives, expected but not found.

    >>> counts = Counts(tp=3, fp=1, fn=2)
    >>> counts.precision, counts.recall, counts.ap
    (0.75, 0.6, 0.5)
    >>> Counts(0, 0, 0).f1, Counts(0, 0, 4).precision
    (1.0, 0.0)
    """

    tp: int
    fp: int
    fn: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """TP / (TP + FP): the share of the predictions that is right."""
        return self.tp / self.predicted if self.predicted else float(self.expected == 0)

    @property
    def recall(self) -> float:
        """TP / (TP + FN): the share of the truth that is found."""
        return self.tp / self.expected if self.expected else float(self.predicted == 0)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN): the Dice coefficient where pixels are counted."""
        return ratio(2 * self.tp, self.predicted + self.expected)

    @property
    def ap(self) -> float:
        """TP / (TP + FP + FN): "average precision" in the cell literature, the Jaccard index of pixels."""
        return ratio(self.tp, self.predicted + self.fn)

    @property
    def predicted(self) -> int:
        """TP + FP: how many were predicted."""
        return self.tp + self.fp

    @property
    def expected(self) -> int:
        """TP + FN: how many there are in truth."""
        return self.tp + self.fn


def ratio(part: float, whole: float) -> float:
    """`part / whole`, and 1 where the whole is nothing at all (prediction and truth are both empty).

    >>> ratio(1, 4), ratio(0, 0)
    (0.25, 1.0)
    """
    return float(part) / float(whole) if whole else 1.0
