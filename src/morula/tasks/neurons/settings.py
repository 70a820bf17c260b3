"""What can be changed in the part that every neuron recipe shares: network, fine-tuning, decoding."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from morula.core.config import Config, override
from morula.post import Linkage

__all__ = ["Decode", "Finetune", "Network", "Optimiser", "SelfTraining", "Size", "laid"]

_TILE = (64, 64, 64)

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Widths = Annotated[tuple[Count, ...], Field(min_length=2)]

Size = tuple[Count, Count, Count]
"""Voxels along z, y, x."""

Optimiser = Literal["adamw", "adam", "plain-adam"]


class Network(Config):
    """The network, fitted to the shape of a voxel: a residual 3D U-Net, UNETR, or MALA's U-Net."""

    backbone: Literal["residual-unet", "unetr", "mala"] = Field(
        default="residual-unet",
        description="unetr is a transformer, mala a wide U-Net, with the keys that begin so; for a GPU",
    )
    widths: Widths = Field(default=(24, 32, 48), description="channels per level of the residual U-Net")
    coarse: bool = Field(
        default=True,
        description="the residual U-Net works at half the resolution in the plane, several times faster",
    )
    norm: Literal["batch", "group"] = Field(
        default="group", description="what normalises the residual U-Net; group for small batches"
    )
    unetr_width: int = Field(default=192, ge=32, multiple_of=32, description="of the tokens")
    unetr_depth: int = Field(default=6, ge=2, description="blocks of the transformer")
    unetr_features: int = Field(default=32, ge=1, description="channels of the finest level of the decoder")
    mala_widths: Widths = Field(default=(12, 60, 300, 1500), description="channels per level of MALA's U-Net")
    geometry: Literal["auto", "isotropic", "sections"] = Field(
        default="auto", description="shape of a voxel; auto tells it from the voxel size"
    )
    offsets: Literal["nearest", "long-range", "mutex"] = Field(
        default="long-range",
        description="affinities that are learned; longer ones teach shape, those of mutex go across, too",
    )


class SelfTraining(Config):
    """Learning, without labels, from neurons of a watershed and then from those that the network finds."""

    steps: int = Field(default=600, ge=0, description="of all rounds together; 0 for none")
    rounds: int = Field(
        default=3, ge=1, le=9, description="after each, neurons are found anew in whole volumes"
    )


class Finetune(Config):
    """Learning affinities from the labelled block."""

    steps: int = Field(default=800, ge=1, description="of fine-tuning")
    batch: int = Field(default=4, ge=1, description="crops in one step")
    crop: Size = Field(default=(48, 48, 48), description="voxels of a crop, z, y, x")
    lr: float = Field(default=3e-3, gt=0, description="largest learning rate")
    optimiser: Optimiser = Field(
        default="adamw",
        description="adam has eps 0.01, decay 1e-6 and amsgrad, as MS-Con's code, plain-adam torch's "
        "defaults; both a constant rate and no clipping",
    )
    loss: Literal["bce", "mse", "malis"] = Field(
        default="bce",
        description="of affinities; bce and mse are balanced, malis (optional, slow, not measured) weights "
        "each by the pairs of voxels it joins or parts, and needs network.offsets = nearest",
    )
    shapes: float = Field(
        default=0.0,
        ge=0,
        description="weight of local shape descriptors, learned beside the affinities; 0 for none",
    )
    widen: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="call voxels near two neurons border; auto does where sections are thicker than pixels",
    )
    augment: Literal["strong", "flips"] = Field(
        default="strong",
        description="grey values, noise, blur and lost sections too, or turns and mirrors alone",
    )
    average: float = Field(
        default=0.99, ge=0, lt=1, description="momentum of the averaged weights; 0 for none"
    )
    budgets: tuple[Share, ...] = Field(
        default=(),
        description="shares of the labels to fine-tune with as well, for a curve in the report that tells "
        "whether more labels pay; each takes as long again",
    )
    validation: float = Field(
        default=0.25, gt=0, lt=0.9, description="part of the block that is kept to tune the threshold"
    )


class Decode(Config):
    """From affinities to neurons."""

    fragments: Literal["auto", "sections", "volume"] = Field(
        default="auto",
        description="watershed in each section or in the volume; auto tells from the voxel size",
    )
    borders: Literal["auto", "network", "grey"] = Field(
        default="auto",
        description="who says where a border lies: the network alone, or the darkest grey values near it; "
        "auto takes grey values where sections are as thin as pixels",
    )
    smoothing: float = Field(default=2.0, ge=0, description="of the distance to borders, in voxels")
    linkage: Linkage = Field(default="mean", description="what of a contact counts when fragments are joined")
    thresholds: int = Field(default=97, ge=2, description="that are tried on the validation part")
    tile: Size | Literal["auto"] = Field(
        default="auto",
        description="voxels predicted at once, z, y, x; auto takes 64 of each, and for unetr the crop of "
        "fine-tuning, whose positions are all that it knows",
    )
    mirrors: Literal[1, 4, 8] = Field(default=4, description="mirror images that a prediction is the mean of")
    overlap: float = Field(default=0.25, ge=0, lt=1, description="part of a tile that its neighbour repeats")

    @property
    def voxels(self) -> Size:
        """Of a tile; where `laid` was not asked, those of a network that convolves."""
        return _TILE if self.tile == "auto" else self.tile


def laid(decode: Decode, network: Network, finetune: Finetune) -> Decode:
    """The same with a tile of some size, for the network that is trained on these crops."""
    tile = finetune.crop if decode.tile == "auto" and network.backbone == "unetr" else decode.voxels
    return override(decode, {"tile": tile})
