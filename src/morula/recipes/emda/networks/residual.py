"""The backbone of the preset `best`: residual blocks, true skips, normalisation, a wide field of view."""

from __future__ import annotations

from torch import Tensor

from morula.nets import UNet2d
from morula.recipes.emda.networks.sides import require_sides

__all__ = ["ResidualUNet"]


class ResidualUNet(UNet2d):
    """`UNet2d` with five levels (1/2 to 1/32 of the resolution), each twice as wide as the one above.

    Args:
        sections: consecutive sections given as channels.
        width: channels of the first level.
    """

    def __init__(self, sections: int = 1, width: int = 16) -> None:
        super().__init__(sections, 1, [width * 2**level for level in range(5)], narrow=True)

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(b, 1, y, x)`, float32, of an image `(b, sections, y, x)` of any size from 33.

        Raises:
            ValueError: a side is below 33 pixels, so that the last level would be a single pixel.
        """
        require_sides(image, at_least=33)
        return super().forward(image)
