"""Networks."""

from morula.nets.unet import Norm, UNet2d

__all__ = ["Norm", "UNet2d"]
