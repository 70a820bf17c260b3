"""What can be changed in recipe vit3d, and its presets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from morula.core.config import Config

__all__ = ["Vit3dConfig", "presets"]


class Vit3dConfig(Config):
    """Recipe vit3d: single neurons in stacks of light microscopy, learned from a few traced ones."""

    preset: str = Field(default="best", description="name of the preset this started from")
    network: Literal["inflated", "slice-vit", "unet"] = Field(
        default="inflated",
        description="inflated SqueezeNet with a 3D decoder, the published ViT on windows, or a 3D U-Net",
    )
    vit: str = Field(default="vit_base_patch16_224", description="name of slice-vit's transformer in timm")
    head: int = Field(default=128, ge=8, multiple_of=8, description="channels of slice-vit's head")
    weights: str = Field(
        default="", description="file with natural-image weights of the encoder; empty to learn from scratch"
    )
    scaling: Literal["imagenet", "half", "caffe"] = Field(
        default="imagenet", description="how the images were scaled that these weights learned from"
    )
    inflation: Literal["center", "average"] = Field(
        default="center", description="where a 2D kernel goes along z: into the middle, or into all slices"
    )
    depth: Literal[1, 3, 5, 7, 9] = Field(
        default=3, description="slices that a kernel sees, odd; 1 is without depth"
    )
    frozen: bool = Field(default=False, description="leave the encoder as it was loaded")
    encoder_lr: float = Field(default=1.0, gt=0, description="learning rate of the encoder, as a part of lr")
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="learning rate of a block of the encoder, as a part of the next one's",
    )
    loss: Literal["tube", "dice-focal"] = Field(
        default="tube", description="cross-entropy, Dice and centre-line recall, or the published loss"
    )
    recall: float = Field(default=0.5, ge=0, description="weight of the centre line's recall")
    steps: int = Field(default=900, ge=1, description="of the training")
    batch: int = Field(default=3, ge=1, description="crops in one step")
    crop: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(16, 96, 96), description="size of a crop, z y x"
    )
    foreground: float = Field(default=0.75, ge=0, le=1, description="part of the crops on the trace")
    clutter: float = Field(
        default=0.5, ge=0, le=1, description="part of the crops into which another one is mixed as background"
    )
    lr: float = Field(default=3e-3, gt=0, description="largest learning rate")
    weight_decay: float = Field(default=1e-3, ge=0, description="of AdamW")
    momentum: float = Field(default=0.98, ge=0, lt=1, description="of the averaged weights")
    views: Literal[1, 2, 4] = Field(default=4, description="mirrored predictions that are averaged")
    precision: Literal["bf16-mixed", "32-true"] = Field(default="bf16-mixed", description="of the networks")


def presets() -> dict[str, Vit3dConfig]:
    """All named configs, `best` first."""
    return {
        "best": Vit3dConfig(),
        "fast": Vit3dConfig(preset="fast", steps=300, views=1),
        "scratch": Vit3dConfig(preset="scratch", network="unet"),
        "smoke": Vit3dConfig(preset="smoke", steps=30, batch=2, crop=(8, 32, 32), views=1),
        "paper": Vit3dConfig(
            preset="paper",
            network="slice-vit",
            depth=5,
            head=768,
            loss="dice-focal",
            steps=25_000,
            batch=8,
            crop=(5, 256, 256),
            clutter=0.0,
            lr=3e-5,
            weight_decay=0.05,
            momentum=0.0,
            views=1,
            precision="32-true",
        ),
    }
