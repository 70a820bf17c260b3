"""Which image sizes a network takes."""

from __future__ import annotations

from torch import Tensor

__all__ = ["require_sides"]


def require_sides(image: Tensor, *, multiple: int = 1, at_least: int = 1) -> None:
    """Refuses an image `(b, c, y, x)` whose sides a network cannot halve as often as it must.

    Raises:
        ValueError: a side is no multiple of `multiple`, or below `at_least`.
    """
    y, x = image.shape[-2:]
    if min(y, x) < at_least or y % multiple or x % multiple:
        wanted = f"multiples of {multiple}" if multiple > 1 else "pixels"
        raise ValueError(f"image sides must be {wanted}, at least {at_least}, not {y} x {x}: pad the image")
