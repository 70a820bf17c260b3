"""Networks."""

from morula.nets.cascade import CascadeHeads, CascadeStage
from morula.nets.inflate import (
    Conv3dOfSlices,
    Inflation,
    fitting,
    inflate_kernel,
    inflated,
    resize_positions,
)
from morula.nets.inflated_unet3d import InflatedUNet3d, squeezenet_stages
from morula.nets.mala3d import Mala3d
from morula.nets.mask_rcnn import (
    DOMAINS,
    Backbone,
    DomainNorm2d,
    Layout,
    mask_rcnn,
    replace_predictors,
    use_domain,
)
from morula.nets.residual_unet3d import Norm3d, ResidualUNet3d
from morula.nets.slice_vit import SliceViT, UPerHead, dino_name
from morula.nets.unet import UNet2d
from morula.nets.unetr3d import Unetr3d

__all__ = [
    "DOMAINS",
    "Backbone",
    "CascadeHeads",
    "CascadeStage",
    "Conv3dOfSlices",
    "DomainNorm2d",
    "InflatedUNet3d",
    "Inflation",
    "Layout",
    "Mala3d",
    "Norm3d",
    "ResidualUNet3d",
    "SliceViT",
    "UNet2d",
    "UPerHead",
    "Unetr3d",
    "dino_name",
    "fitting",
    "inflate_kernel",
    "inflated",
    "mask_rcnn",
    "replace_predictors",
    "resize_positions",
    "squeezenet_stages",
    "use_domain",
]
