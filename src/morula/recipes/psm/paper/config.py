"""Hyper-parameters of the published system; the defaults are those of the authors' public code."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from morula.core.config import Config

__all__ = [
    "PROXIES",
    "Activation",
    "Clustering",
    "Defects",
    "Downstream",
    "Final",
    "PaperConfig",
    "Proxy",
    "Voronoi",
    "paper",
    "paper_small",
]

Proxy = Literal["similarity", "contrastive", "random_rotate", "simsiam", "mean_value"]
PROXIES: tuple[Proxy, ...] = get_args(Proxy)

_STEPS = "optimiser steps; leave out to train whole epochs"


class Activation(Config):
    """Stage 1, the activation network and its proxy task, and stage 2, the maps read from it."""

    network: str = Field(
        default="res2net101_26w_4s", description="timm ResNet-like network that has a layer1"
    )
    proxy: Proxy = Field(default="similarity", description=f"self-supervised task: {', '.join(PROXIES)}")
    margin: float = Field(
        default=10.0, ge=0, description="hinge of the contrastive task, in units of squared output"
    )
    epochs: int = Field(default=100, ge=0, description="passes over the images, each without one fold of ten")
    steps: int | None = Field(default=None, ge=0, description=f"{_STEPS}; 0 is the untrained-network control")
    batch: int = Field(default=1, ge=1, description="crops per step; 1 for similarity, 4 for the other tasks")
    lr: float = Field(default=1e-4, gt=0, description="learning rate of Adam, constant")

    @model_validator(mode="after")
    def _contrast_needs_two(self) -> Activation:
        if self.proxy == "contrastive" and self.batch < 2:
            raise ValueError("the contrastive task needs activation.batch of 2 or more (published: 4)")
        return self


class Clustering(Config):
    """Stage 3, from a map to a pseudo-mask."""

    clusters: int = Field(default=3, ge=2, description="K of K-means")
    beta: float = Field(default=1.0, ge=0, description="weight of the image beside the coloured map")
    attempts: int = Field(default=10, ge=1, description="K-means restarts; the most compact result is kept")
    iterations: int = Field(default=20, ge=1, description="most updates of the centres in one attempt")
    eps: float = Field(
        default=0.5, ge=0, description="stop when no centre moves further, in grey levels of 255"
    )
    fit_pixels: int = Field(default=262_144, ge=3, description="most pixels that the centres are fitted to")
    smallest: int = Field(
        default=200, ge=0, description="objects with fewer pixels are removed from the pseudo-mask"
    )
    holes: int = Field(default=64, ge=0, description="holes with fewer pixels are filled in the pseudo-mask")


class Downstream(Config):
    """Stage 4 (and 6), how a ResUNet34 is trained."""

    pretrained: bool = Field(
        default=False,
        description="start from ImageNet weights as the authors do; off, because those were trained with "
        "manual labels and are not shipped",
    )
    epochs: int = Field(default=100, ge=1, description="passes over the images")
    steps: int | None = Field(default=None, ge=1, description=_STEPS)
    batch: int = Field(default=4, ge=1, description="crops per step")
    lr: float = Field(default=1e-4, gt=0, description="learning rate of Adam")
    milestone: int = Field(
        default=200, ge=1, description="epoch from which the learning rate is multiplied by gamma"
    )
    gamma: float = Field(
        default=0.5, gt=0, le=1, description="factor on the learning rate after the milestone"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="channel dropout in the decoder")


class Voronoi(Config):
    """Stage 5, from second-stage probabilities to points and cell borders."""

    blur: int = Field(default=13, ge=1, description="width of the Gaussian blur in pixels, odd")
    threshold: float = Field(
        default=0.5, ge=0, lt=1, description="blurred probability below which there is no peak"
    )
    min_distance: int = Field(default=6, ge=1, description="smallest distance of two peaks in pixels")
    exclude_border: int = Field(default=3, ge=0, description="no peaks this close to the border, in pixels")
    merge: float = Field(
        default=20.0, ge=0, description="peaks closer than this become one point, pixels in L1"
    )
    disc: int = Field(default=2, ge=0, description="radius in pixels of the disc that marks a point")

    @model_validator(mode="after")
    def _blur_is_odd(self) -> Voronoi:
        if self.blur % 2 == 0:
            raise ValueError("voronoi.blur must be odd, such as 13")
        return self


class Final(Downstream):
    """Stage 6, the final network."""

    voronoi_weight: float = Field(
        default=1.5, ge=0, description="weight of the points and borders in the loss"
    )


class Defects(Config):
    """Defects of the published code, reproduced while true.

    Its choice of the best epoch by the score on labelled *test* images is never reproduced: it needs labels.
    """

    input_scale_mismatch: bool = Field(
        default=True,
        description="train the activation network on 0-255 and read maps at 0-1; off: 0-255 in both",
    )
    double_softmax: bool = Field(
        default=True, description="softmax before log-softmax, which caps probabilities at 0.731; off: once"
    )
    noop_size_filter: bool = Field(
        default=True,
        description="the small-object filter takes the whole mask for one object; off: each object",
    )
    colour_rule: bool = Field(
        default=True,
        description="add the map in BGR to the image in RGB, nuclei = smallest channel 0 + channel 1; "
        "off: both in RGB, nuclei = most stain (haematoxylin, darkness, or light in fluorescence)",
    )
    sign_ambiguity: bool = Field(
        default=True, description="leave maps that are high outside nuclei as they are; off: flip those"
    )
    centre_crop: bool = Field(
        default=True,
        description="use the centre crop of each image only; off: random crops, maps of whole images",
    )
    random_points: bool = Field(
        default=True,
        description="fewer than 4 points are replaced by 4 random ones; off: keep what was found",
    )


class PaperConfig(Config):
    """Preset `paper` of recipe psm."""

    preset: Literal["paper", "paper-small"] = Field(
        default="paper", description="name that a saved run is read by"
    )
    crop: int = Field(default=512, ge=64, multiple_of=32, description="edge of the square crops in pixels")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        default="32-true", description="numbers used in training"
    )
    activation: Activation = Field(default_factory=lambda: Activation())
    clustering: Clustering = Field(default_factory=lambda: Clustering())
    second: Downstream = Field(default_factory=lambda: Downstream())
    voronoi: Voronoi = Field(default_factory=lambda: Voronoi())
    final: Final = Field(default_factory=lambda: Final())
    defects: Defects = Field(default_factory=lambda: Defects())


def paper() -> PaperConfig:
    """The published system at full size; made for a GPU."""
    return PaperConfig()


def paper_small() -> PaperConfig:
    """The same algorithm for two CPU cores: a shallower activation network, smaller crops, fewer steps."""
    return PaperConfig(
        preset="paper-small",
        crop=256,
        activation=Activation(network="res2net50_26w_4s", steps=200),
        second=Downstream(steps=200),
        final=Final(steps=300),
    )
