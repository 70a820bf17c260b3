"""What can be changed in recipe dbmim, and its presets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from morula.core.config import Config
from morula.recipes.dbmim.masks import Drawn
from morula.recipes.dbmim.policy import Credit
from morula.tasks.neurons import Decode, Finetune, Network, SelfTraining, Size

__all__ = ["DbmimConfig", "Learned", "Pretrain", "presets"]

Learned = Literal["learned", "strategy"]
"""The policies that learn."""


class Pretrain(Config):
    """Restoring patches that are hidden."""

    steps: int = Field(default=600, ge=0, description="of pre-training; 0 starts fine-tuning from scratch")
    batch: int = Field(default=4, ge=1, description="crops in one step")
    crop: Size = Field(default=(48, 48, 48), description="voxels of a crop, z, y, x")
    patch: Size | Literal["auto"] = Field(
        default="auto", description="voxels hidden together; auto takes 8 8 8, and 4 16 16 of thick sections"
    )
    ratio: float = Field(default=0.75, gt=0, lt=1, description="part of the patches that is hidden")
    mask: Drawn | Learned = Field(
        default="edge",
        description="how patches are chosen; learned is the multi-agent policy, strategy the choice of a "
        "ratio and of how much goes by edges",
    )
    voxels: float = Field(default=1.0, ge=0, description="lambda 1, weight of the voxels")
    hog: float = Field(default=0.1, ge=0, description="lambda 2, weight of the histograms of gradients")
    lr: float = Field(default=1e-3, gt=0, description="largest learning rate")
    policy_lr: float = Field(default=5e-4, gt=0, description="learning rate of the policy")
    entropy: float = Field(default=0.01, ge=0, description="beta, what keeps the policy from certainty")
    credit: Credit = Field(
        default="patch", description="reward of each patch, or one for all patches of a crop, as published"
    )


class DbmimConfig(Config):
    """Recipe dbmim: pre-train on the volume, learn affinities from its labelled block, segment it all."""

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


def presets() -> dict[str, DbmimConfig]:
    """All named configs, `best` first.

    `best` trains itself after that, without labels. The others do not: `random`, `block`, `rl` and `strategy`
    differ in the mask alone; `mae`, the plain masked autoencoder, and `edge` restore voxels alone.
    """
    return {
        "best": DbmimConfig(self_training=SelfTraining()),
        "mae": DbmimConfig(preset="mae", pretrain=Pretrain(mask="random", hog=0.0)),
        "edge": DbmimConfig(preset="edge", pretrain=Pretrain(mask="edge", hog=0.0)),
        "random": DbmimConfig(preset="random", pretrain=Pretrain(mask="random")),
        "block": DbmimConfig(preset="block", pretrain=Pretrain(mask="block")),
        "rl": DbmimConfig(preset="rl", pretrain=Pretrain(mask="learned")),
        "strategy": DbmimConfig(preset="strategy", pretrain=Pretrain(mask="strategy")),
        "scratch": DbmimConfig(preset="scratch", pretrain=Pretrain(steps=0)),
        "smoke": _smoke(),
        "paper": _paper(),
    }


def _smoke() -> DbmimConfig:
    """Everything once, in seconds; the mask is learned, which has the most parts."""
    small: dict[str, Any] = {"steps": 6, "batch": 1, "crop": (8, 32, 32)}
    return DbmimConfig(
        preset="smoke",
        network=Network(widths=(8, 12)),
        pretrain=Pretrain(**small, patch=(4, 4, 4), mask="learned"),
        self_training=SelfTraining(steps=12, rounds=2),
        finetune=Finetune(**small),
        decode=Decode(thresholds=5, tile=(16, 64, 64), mirrors=1),
    )


def _paper() -> DbmimConfig:
    """Numbers of the public code, of several versions as README.md lists, with the policy; for a GPU."""
    return DbmimConfig(
        preset="paper",
        network=Network(backbone="unetr", geometry="sections", offsets="nearest"),
        pretrain=Pretrain(
            steps=1_000_000, batch=8, crop=(32, 160, 160), patch=(4, 16, 16), ratio=0.85, mask="learned",
            credit="sample", lr=2e-5, voxels=0.1, hog=1.0,
        ),
        finetune=Finetune(
            steps=200_000, batch=4, crop=(32, 160, 160), lr=1e-4, optimiser="plain-adam", loss="mse",
            augment="flips", average=0.0,
        ),
        decode=Decode(
            linkage="median-of-maxima", borders="network", tile=(32, 160, 160), overlap=0.5, mirrors=1
        ),
    )  # fmt: skip
