"""What can be changed in recipe psm, and its presets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from morula.core.config import Config

__all__ = ["PsmConfig", "best", "fast", "smoke"]


class PsmConfig(Config):
    """Recipe psm: label-free cells in 2D images."""

    preset: str = Field(default="best", description="name of the preset this started from")
    diameter: float = Field(
        default=22.0, gt=4, description="pixels to which the median object is brought by rescaling"
    )
    activation_steps: int = Field(
        default=60, ge=0, description="steps of the self-supervised activation network"
    )
    clusters: int = Field(default=4, ge=2, le=8, description="components of the mixture over the data set")
    steps: int = Field(
        default=800,
        ge=1,
        description="steps of the first training; at most 280 in IHC and phase contrast",
    )
    round_steps: int = Field(
        default=200,
        ge=1,
        description="steps of each self-training round; at most 140 in IHC and phase contrast",
    )
    rounds: int = Field(
        default=2,
        ge=0,
        description="self-training rounds, if nine in ten images are of one kind, not fluorescence",
    )
    batch: int = Field(default=8, ge=1, description="crops in one step")
    crop: int = Field(default=192, ge=32, multiple_of=16, description="edge of a crop, in rescaled pixels")
    lr: float = Field(default=3e-3, gt=0, description="largest learning rate")
    momentum: float = Field(default=0.98, ge=0, lt=1, description="of the moving average that is the teacher")
    images: int = Field(default=160, ge=1, description="images to train on at most, drawn at random")
    widths: tuple[int, ...] = Field(default=(32, 64, 96, 128), description="channels of the U-Net per level")
    augment_test: bool = Field(default=True, description="average four turned and mirrored predictions")
    precision: Literal["bf16-mixed", "32-true"] = Field(default="bf16-mixed", description="of the networks")


def best() -> PsmConfig:
    """The default: about 13 minutes on one core for 26 crops of 512 px (benchmarks/psm)."""
    return PsmConfig()


def fast() -> PsmConfig:
    """A first look: under two minutes on two cores for one image of 512 px."""
    return PsmConfig(
        preset="fast", activation_steps=20, steps=120, round_steps=40, rounds=1, batch=4, augment_test=False
    )


def smoke() -> PsmConfig:
    """The shortest way through all stages, in seconds; good for a test of the plumbing, not for science."""
    return PsmConfig(
        preset="smoke",
        activation_steps=4,
        steps=60,
        round_steps=10,
        rounds=1,
        batch=4,
        crop=96,
        widths=(16, 32, 48),
        augment_test=False,
    )
