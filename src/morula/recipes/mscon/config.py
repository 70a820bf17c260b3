"""What can be changed in recipe mscon, and its presets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from morula.core.config import Config
from morula.tasks.neurons import Decode, Finetune, Network, Optimiser, SelfTraining, Size

__all__ = ["Contrast", "MsconConfig", "Pretrain", "presets"]

Contrast = Literal["info-nce", "coded", "none"]


class Pretrain(Config):
    """Consistency of a weak and a strong view, over the pyramid of the decoder's features."""

    steps: int = Field(default=600, ge=0, description="of pre-training; 0 starts fine-tuning from scratch")
    batch: int = Field(default=2, ge=1, description="crops in one step, each seen in two views")
    crop: Size = Field(default=(48, 48, 48), description="voxels of a crop, z, y, x")
    lr: float = Field(default=1e-3, gt=0, description="largest learning rate")
    optimiser: Optimiser = Field(
        default="adamw",
        description="adam has eps 0.01, decay 1e-6 and amsgrad, as published; plain-adam torch's defaults",
    )
    contrast: Contrast = Field(
        default="info-nce", description="true InfoNCE, the loss of the public code, or none"
    )
    temperature: float = Field(default=0.1, gt=0, description="tau of the contrast")
    reconstruction: float = Field(
        default=1.0, ge=0, description="weight of restoring the crop from both views"
    )
    features: float = Field(
        default=0.01, ge=0, description="weight of the distance between pooled features; 1 as published"
    )
    similarity: float = Field(
        default=0.005, ge=0, description="weight of the contrast between the views; 0.1 as published"
    )
    cross: float = Field(
        default=0.005, ge=0, description="weight of the contrast after cross-attention; 0.5 as published"
    )
    pooled: int = Field(
        default=8, ge=2, multiple_of=2, description="edge that features are pooled to; 16 as published"
    )
    channels: Literal["random", "all"] = Field(
        default="random",
        description="a random (k + 1) tenths of the channels of level k, coarsest 0, as published, or all",
    )
    erased: float = Field(default=0.4, ge=0, lt=1, description="part of the strong view that is cut out")


class MsconConfig(Config):
    """Recipe mscon: pre-train on the volume, learn affinities from its labelled block, segment it all."""

    preset: str = Field(default="best", description="name of the preset this started from")
    weights: str = Field(
        default="",
        description="run or file of weights to start from, in the place of pre-training and self-training",
    )
    network: Network = Field(default=Network(), description="")
    pretrain: Pretrain = Field(default=Pretrain(), description="")
    self_training: SelfTraining = Field(default=SelfTraining(steps=0), description="")
    finetune: Finetune = Field(default=Finetune(), description="")
    decode: Decode = Field(default=Decode(), description="")
    precision: Literal["bf16-mixed", "32-true"] = Field(default="bf16-mixed", description="of the networks")


def presets() -> dict[str, MsconConfig]:
    """All named configs, `best` first.

    `best` trains itself without labels; `info-nce` pre-trains with the paper's losses, weighted so that they
    do not swamp the reconstruction, `coded` as its code does; `scratch` is the control with neither.
    """
    return {
        "best": MsconConfig(pretrain=Pretrain(steps=0), self_training=SelfTraining()),
        "info-nce": MsconConfig(preset="info-nce"),
        "scratch": MsconConfig(preset="scratch", pretrain=Pretrain(steps=0)),
        "coded": MsconConfig(
            preset="coded", pretrain=Pretrain(contrast="coded", features=0.0, similarity=0.1, cross=0.5)
        ),
        "smoke": _smoke(),
        "paper": _paper(),
    }


def _smoke() -> MsconConfig:
    """Everything once, in seconds."""
    small: dict[str, Any] = {"steps": 6, "batch": 1, "crop": (8, 32, 32)}
    return MsconConfig(
        preset="smoke",
        network=Network(widths=(8, 12)),
        pretrain=Pretrain(**small, pooled=4, channels="all"),
        self_training=SelfTraining(steps=12, rounds=2),
        finetune=Finetune(**small),
        decode=Decode(thresholds=5, tile=(16, 64, 64), mirrors=1),
    )


def _paper() -> MsconConfig:
    """The published network, losses, optimiser and lengths, with InfoNCE as the paper describes it."""
    return MsconConfig(
        preset="paper",
        network=Network(
            widths=(28, 36, 48, 64, 80),
            coarse=False,
            norm="batch",
            geometry="sections",
            offsets="nearest",
        ),
        pretrain=Pretrain(
            steps=500_000,
            batch=16,
            crop=(18, 160, 160),
            lr=1e-4,
            optimiser="adam",
            features=1.0,
            similarity=0.1,
            cross=0.5,
            pooled=16,
            erased=0.1,
        ),
        finetune=Finetune(
            steps=200_000,
            batch=2,
            crop=(18, 160, 160),
            lr=1e-4,
            optimiser="adam",
            loss="mse",
            augment="flips",
            average=0.0,
        ),
        decode=Decode(
            linkage="median-of-maxima", borders="network", tile=(18, 160, 160), overlap=0.5, mirrors=1
        ),
    )
