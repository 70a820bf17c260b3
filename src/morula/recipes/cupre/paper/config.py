"""What can be changed in the presets that follow the publication."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from morula.core.config import Config
from morula.nets import Backbone, Layout

__all__ = ["Objective", "PaperConfig", "paper", "paper_small"]

Objective = Literal["amt2", "detect", "contrast", "sequence", "sum", "none"]
"""Of pre-training: AMT2, and what it is compared with."""


class PaperConfig(Config):
    """Recipe cupre, presets `paper`: AMT2 pre-training, then Mask R-CNN from a few labels.

    Of the publication only the abstract could be read: the numbers are ours, from the papers it builds on.
    """

    preset: str = Field(default="paper", description="name of the preset this started from")
    natural: str = Field(
        default="", description="COCO JSON of natural images; without it, momentum contrast alone"
    )
    weights: str = Field(
        default="",
        description="run or file with weights of a Mask R-CNN to start from, or coco for torchvision's, "
        "which are downloaded once",
    )
    backbone: Backbone = Field(default="resnet50", description="residual network of the detector")
    width: int = Field(default=256, ge=8, description="channels of the pyramid and of the heads")
    layout: Layout = Field(
        default="v1",
        description="of neck and heads: torchvision's first Mask R-CNN, or its second",
    )
    cascade: bool = Field(
        default=False, description="refine boxes in three stages, which learn from ever better ones"
    )
    detections: int = Field(default=1000, ge=1, description="objects found in one tile at most")
    regions: int = Field(
        default=512, ge=4, description="proposals of an image that boxes and masks learn from"
    )
    objective: Objective = Field(
        default="amt2",
        description="of pre-training: steps A and B in turn (amt2), B alone (detect), A alone (contrast), "
        "B in the first half and A in the second (sequence), both losses in one step (sum), or none",
    )
    iterations: int = Field(default=20000, ge=1, description="of pre-training")
    views: int = Field(default=128, ge=2, description="pairs of views of cells in step A")
    view: int = Field(default=224, ge=32, multiple_of=32, description="edge of a view in pixels")
    parts: int = Field(default=8, ge=1, description="parts of a batch in which keys are normalised")
    queue: int = Field(default=4096, ge=1, description="keys that queries are compared with")
    dim: int = Field(default=128, ge=2, description="length of a key")
    momentum: float = Field(default=0.999, ge=0, le=1, description="of the encoder of the keys")
    temperature: float = Field(default=0.2, gt=0, description="of the contrastive loss")
    contrast_lr: float = Field(default=0.01, gt=0, description="largest learning rate of step A")
    natural_batch: int = Field(default=8, ge=1, description="natural images in step B")
    natural_crop: int = Field(default=480, ge=64, description="edge of a crop of a natural image")
    detect_lr: float = Field(default=0.01, gt=0, description="largest learning rate of step B")
    steps: int = Field(default=3000, ge=1, description="of fine-tuning")
    batch: int = Field(default=8, ge=1, description="crops in a step of fine-tuning")
    crop: int = Field(default=256, ge=64, description="edge of a crop of a labelled image")
    paste: float = Field(
        default=0.5, ge=0, le=1, description="share of the crops that get objects of another one"
    )
    lr: float = Field(default=0.005, gt=0, description="largest learning rate of fine-tuning")
    taught: int = Field(
        default=0, ge=0, description="crops without labels in a step, which a mean teacher labels; 0: none"
    )
    certain: float = Field(
        default=0.7, gt=0, le=1, description="score from which on an object of the teacher's is learned"
    )
    average: float = Field(default=0.99, ge=0, lt=1, description="momentum of the mean teacher")
    images: int = Field(default=5000, ge=1, description="images without labels to learn from at most")
    augment_test: bool = Field(
        default=True, description="merge what is found in eight turned and mirrored copies of an image"
    )
    precision: Literal["32-true"] = Field(default="32-true", description="of the networks")


def paper() -> PaperConfig:
    """For a GPU, hours."""
    return PaperConfig()


def paper_small() -> PaperConfig:
    """For a CPU: a small network and few steps."""
    return PaperConfig(
        preset="paper-small", backbone="resnet18", width=64, regions=128, iterations=200, views=16, view=96,
        parts=4, queue=256, momentum=0.99, natural_batch=2, natural_crop=192, steps=200, batch=2, crop=192,
        images=160, augment_test=False,
    )  # fmt: skip
