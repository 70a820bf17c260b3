"""Networks."""

from morula.nets.residual_unet3d import Norm3d, ResidualUNet3d
from morula.nets.unet import Norm, UNet2d

__all__ = ["Norm", "Norm3d", "ResidualUNet3d", "UNet2d"]
