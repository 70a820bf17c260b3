"""Which few images to label: draws that are balanced over strata, and nested, so that budgets compare."""

from __future__ import annotations

from collections.abc import Mapping

from morula.core.rng import Rng

__all__ = ["few_shot", "few_shot_order"]


def few_shot_order(strata: Mapping[str, str], rng: Rng) -> list[str]:
    """All images in an order whose every beginning has the strata's shares as nearly as whole images allow.

    Each place goes to the stratum with the largest quotient n / (2 k + 1) of its n images and the k that
    have a place already (Webster, or Sainte-Laguë); within a stratum chance decides. So a rare stratum gets
    its first place when half an image of it is due.

    Args:
        strata: image id -> its modality, cell type or whatever the draw should be balanced over.
        rng: one order a stream; neither the order of `strata` nor the size of a draw changes it.

    >>> strata = {"a": "bright", "b": "dark", "c": "dark", "d": "dark", "e": "dark"}
    >>> [strata[name] for name in few_shot_order(strata, Rng(0))]
    ['dark', 'dark', 'bright', 'dark', 'dark']
    """
    waiting: dict[str, list[str]] = {}
    for name in sorted(strata):
        waiting.setdefault(strata[name], []).append(name)
    totals = {stratum: len(names) for stratum, names in waiting.items()}
    for stratum, names in waiting.items():
        shuffled = rng.child(stratum).at(0).permutation(len(names))
        waiting[stratum] = [names[place] for place in shuffled]
    order: list[str] = []
    placed = dict.fromkeys(sorted(totals), 0)
    for _ in strata:
        left = [stratum for stratum in placed if placed[stratum] < totals[stratum]]
        due = max(left, key=lambda stratum: totals[stratum] / (2 * placed[stratum] + 1))
        order.append(waiting[due][placed[due]])
        placed[due] += 1
    return order


def few_shot(strata: Mapping[str, str], count: int, rng: Rng) -> list[str]:
    """`count` images to label; a smaller draw of the same stream is part of a larger one.

    Args:
        strata: image id -> stratum, see `few_shot_order`.
        count: how many, 0 or more.
        rng: one draw a stream.

    Raises:
        ValueError: there are fewer images than `count`, or it is negative.

    >>> images = {f"cell{i}": "phase contrast" for i in range(9)}
    >>> set(few_shot(images, 2, Rng(1))) < set(few_shot(images, 5, Rng(1)))
    True
    """
    if not 0 <= count <= len(strata):
        raise ValueError(f"{count} images cannot be drawn from {len(strata)}")
    return few_shot_order(strata, rng)[:count]
