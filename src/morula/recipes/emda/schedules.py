"""Learning rates as the published code has them, and how a budget of steps is shared among stages."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["one_cycle", "shares", "stairs"]


def one_cycle(base: float, step: int, steps: int) -> float:
    """Half a cosine from base / 25 up to base over 30 % of the steps, then one down to base / 250,000.

    >>> [round(one_cycle(1.0, step, 100), 3) for step in (0, 30, 65, 100)]
    [0.04, 1.0, 0.5, 0.0]
    """
    top = 0.3 * steps
    if step < top:
        return _between(base / 25, base, step / top)
    return _between(base, base / 25e4, min(1.0, (step - top) / max(steps - top, 1e-9)))


def stairs(base: float, step: int, every: int, factor: float = 0.9) -> float:
    """Multiplied by `factor` after `every` steps, again and again.

    >>> stairs(1.0, 11, 5) == 0.9 ** 2
    True
    """
    return base * factor ** (step // every)


def shares(steps: int, parts: Sequence[float]) -> list[int]:
    """`steps` shared in proportion to `parts`, each stage with one step at least.

    >>> shares(10, [1, 1, 2]), shares(2, [1, 1, 1])
    ([2, 3, 5], [1, 1, 1])
    """
    ends = [round(steps * sum(parts[: number + 1]) / sum(parts)) for number in range(len(parts))]
    return [max(1, end - start) for start, end in zip([0, *ends], ends, strict=False)]


def _between(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
