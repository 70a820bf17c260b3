"""Networks."""

from morula.nets.unet import UNet2d

__all__ = ["UNet2d"]
