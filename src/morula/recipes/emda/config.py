"""What can be changed in recipe emda, and its presets: one for the default, one for each strategy alone."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from morula.core.config import Config

__all__ = ["Criterion", "EmdaConfig", "Strategy", "presets"]

Strategy = Literal["supervised", "cut", "ssl", "ynet", "damt", "mean-teacher", "inter-section"]
Criterion = Literal["last", "solidity", "composite"]


class EmdaConfig(Config):
    """Recipe emda: mitochondria in an unlabelled target, learned from a labelled source."""

    preset: str = Field(default="best", description="name of the preset this started from")
    strategy: Strategy = Field(default="supervised", description="how the network learns")
    network: Literal["residual", "attention"] = Field(
        default="residual", description="normalised U-Net with true skips, or the published attention U-Net"
    )
    width: int = Field(default=16, ge=8, multiple_of=8, description="channels of the network's first level")
    harmonise: bool = Field(
        default=True, description="resample both domains to one pixel size; estimate it where none is known"
    )
    pixel_nm: float = Field(default=8.0, gt=0, description="edge in nm of a pixel after harmonising")
    augment: Literal["strong", "flips"] = Field(
        default="strong", description="scale, grey values, blur and noise too, or turns and mirrors alone"
    )
    style: Literal["none", "histogram", "histogram-patches", "fourier", "both"] = Field(
        default="both", description="which statistics of the target source crops are given while training"
    )
    style_share: float = Field(default=0.7, ge=0, le=1, description="part of the crops that get them")
    balance: float = Field(
        default=0.5, ge=0, le=1, description="part of the source crops that are centred on a mitochondrion"
    )
    steps: int = Field(default=3000, ge=1, description="of the whole training, all its stages together")
    batch: int = Field(default=6, ge=1, description="source crops in one step")
    target_batch: int = Field(default=4, ge=1, description="target crops in one step, where they take part")
    crop: int = Field(default=160, ge=64, multiple_of=32, description="edge of a crop in pixels")
    lr: float = Field(default=3e-3, gt=0, description="largest learning rate of the segmenter")
    optimiser: Literal["adamw", "sgd"] = Field(
        default="adamw", description="of supervised training; sgd has momentum 0.99 and a constant rate"
    )
    momentum: float = Field(default=0.99, ge=0, lt=1, description="of the averaged weights")
    teacher_weight: float = Field(default=1.0, ge=0, description="of the loss against the teacher's labels")
    teacher_start: float = Field(default=0.3, ge=0, lt=1, description="part of the steps without a teacher")
    sure: tuple[float, float] = Field(
        default=(0.1, 0.7), description="the teacher counts below the first and above the second probability"
    )
    hide: Literal["none", "random", "complementary"] = Field(
        default="random", description="which patches of a target crop the student does not see"
    )
    mix: float = Field(
        default=0.5, ge=0, le=1, description="part of the target crops that get source mitochondria pasted in"
    )
    neighbour_weight: float = Field(
        default=0.1, ge=0, description="of inter-section's loss against what is expected of the next section"
    )
    pretext_share: float = Field(
        default=0.5, gt=0, lt=1, description="part of the steps that precede segmentation in ssl and cut"
    )
    generator_width: int = Field(
        default=16, ge=4, description="channels of cut's generator and discriminator; 64 as published"
    )
    candidates: int = Field(default=10, ge=1, description="checkpoints, evenly spaced, to choose from")
    select: Criterion = Field(default="composite", description="what chooses among them, without labels")
    test_augment: bool = Field(default=True, description="average eight turned and mirrored predictions")
    clean: bool = Field(default=True, description="drop objects too small to be true, by the source's labels")
    precision: Literal["bf16-mixed", "32-true"] = Field(default="bf16-mixed", description="of the networks")


def presets() -> dict[str, EmdaConfig]:
    """All named configs, `best` first."""
    return {
        "best": EmdaConfig(),
        "fast": EmdaConfig(preset="fast", steps=600, candidates=6, test_augment=False),
        "smoke": EmdaConfig(
            preset="smoke",
            steps=40,
            batch=2,
            target_batch=2,
            crop=64,
            width=8,
            candidates=2,
            test_augment=False,
        ),
        "paper": _published("paper", "ynet", width=32, steps=_YNET_STEPS, candidates=100),
        "source-only": _published("source-only", "supervised", network="attention", style="none"),
        "source-only-best": _alone("source-only-best", harmonise=False),
        "harmonise": _alone("harmonise"),
        "hm": _published("hm", "supervised", network="attention", style="histogram", style_share=1.0),
        "fda": _alone("fda", harmonise=False, style="fourier"),
        "cut": _published("cut", "cut", network="attention", style="none"),
        "ssl": _published("ssl", "ssl", network="attention", style="histogram", style_share=1.0),
        "ynet": _published("ynet", "ynet", width=32),
        "damt": _published("damt", "damt", width=64, style="none", crop=512),
        "mean-teacher": _alone("mean-teacher", harmonise=False, strategy="mean-teacher"),
        "inter-section": _alone("inter-section", harmonise=False, strategy="inter-section"),
    }


_YNET_STEPS = 50 * 3600 + 40 * 3600 + 100 * 900  # epochs times iterations of the three published steps


def _alone(preset: str, **changes: Any) -> EmdaConfig:
    """The strong network and augmentation with one thing added, to see what it gives alone."""
    return EmdaConfig.model_validate({"strategy": "supervised", "style": "none", **changes, "preset": preset})


def _published(preset: str, strategy: Strategy, **changes: Any) -> EmdaConfig:
    """The paper's protocol: pixels as they are, turns and mirrors, choice by solidity, no cleaning."""
    common: dict[str, Any] = {
        "harmonise": False,
        "augment": "flips",
        "style": "histogram-patches",
        "style_share": 0.5,
        "balance": 0.0,
        "optimiser": "sgd",
        "lr": 2e-3,
        "batch": {"ynet": 1, "damt": 1}.get(strategy, 6),
        "crop": 256,
        "select": "solidity",
        "test_augment": strategy in {"supervised", "cut"},
        "clean": False,
    }
    return EmdaConfig.model_validate({**common, **changes, "preset": preset, "strategy": strategy})
