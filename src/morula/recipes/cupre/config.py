"""What can be changed in recipe cupre, and its presets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from morula.core.config import Config

__all__ = ["CupreConfig", "presets"]


class CupreConfig(Config):
    """Recipe cupre: cells in 2D images, of which a few have labels."""

    preset: str = Field(default="best", description="name of the preset this started from")
    natural: str = Field(
        default="", description="COCO JSON of natural images; only preset paper learns from them"
    )
    weights: str = Field(default="", description="weights of a detector; only preset paper starts from them")
    normalise: bool = Field(
        default=True, description="bring all images to one look (density) and their objects to one size"
    )
    diameter: float = Field(
        default=22.0, gt=4, description="pixels to which the median object is brought by rescaling"
    )
    unlabelled: float = Field(
        default=0.5, ge=0, lt=1, description="share of the crops that come from images without labels"
    )
    few: int = Field(
        default=20,
        ge=0,
        description="labelled images up to which all others teach, beyond which only kinds nobody labelled",
    )
    trust: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="IoU with the labelled pixels of a kind from which pseudo labels teach that kind as well",
    )
    paste: float = Field(
        default=0.5, ge=0, le=1, description="share of the labelled crops that get objects of another one"
    )
    steps: int = Field(default=450, ge=1, description="steps of the first training")
    round_steps: int = Field(default=150, ge=1, description="steps of each round with the teacher's labels")
    rounds: int = Field(default=0, ge=0, description="rounds in which the teacher labels the other images")
    batch: int = Field(default=8, ge=1, description="crops in one step")
    crop: int = Field(default=192, ge=32, multiple_of=16, description="edge of a crop, in rescaled pixels")
    lr: float = Field(default=3e-3, gt=0, description="largest learning rate")
    momentum: float = Field(default=0.98, ge=0, lt=1, description="of the moving average that is the teacher")
    images: int = Field(
        default=160, ge=1, description="images without labels to learn from at most, drawn at random"
    )
    budgets: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(0, 1, 2, 5, 10),
        description="numbers of labels to learn from as well, for a curve in the report that tells whether "
        "more labels pay; () for none",
    )
    budget_steps: int = Field(default=90, ge=1, description="steps for each point of that curve")
    budget_draws: int = Field(default=1, ge=1, description="times that the curve is drawn and averaged")
    widths: tuple[int, ...] = Field(default=(32, 64, 96, 128), description="channels of the U-Net per level")
    augment_test: bool = Field(default=True, description="average four turned and mirrored predictions")
    precision: Literal["bf16-mixed", "32-true"] = Field(default="bf16-mixed", description="of the networks")


def presets() -> dict[str, CupreConfig]:
    """The named configs, `best` first; `scratch` is what the labels alone give, without any of the rest."""
    return {
        "best": CupreConfig(),
        "fast": CupreConfig(preset="fast", steps=100, batch=4, budgets=(), augment_test=False),
        "scratch": CupreConfig(preset="scratch", normalise=False, unlabelled=0.0, paste=0.0, budgets=()),
        "smoke": CupreConfig(
            preset="smoke",
            steps=60,
            rounds=1,
            round_steps=10,
            budget_steps=10,
            batch=4,
            crop=96,
            widths=(16, 32, 48),
            augment_test=False,
        ),
    }
