"""Weights that learned from natural images, brought into the encoders for stacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from morula.core.errors import DataError
from morula.engine import LoadReport, Weights, WeightsInfo, read_tensors
from morula.nets import Inflation, dino_name, fitting

__all__ = ["Scaling", "load_convnet", "load_vit"]

Scaling = Literal["imagenet", "half", "caffe"]
"""How the images were scaled that the weights learned from: torchvision's way, to between -1 and 1 (mean and
deviation .5, as many transformers of timm), or Caffe's (blue first)."""

_FIRST = "features.0"
_SCALINGS: Mapping[Scaling, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "caffe": ((103.939 / 255, 116.779 / 255, 123.68 / 255), (1.0, 1.0, 1.0)),
}


def load_convnet(
    encoder: nn.Sequential, path: Path, how: Inflation, scaling: Scaling = "imagenet"
) -> LoadReport:
    """Fills the inflated SqueezeNet; grey values in [0, 1] then do what equal colours did.

    What its images were scaled by goes into the first kernel. For `caffe` the biases are divided by 255 in
    place of multiplying grey values by it: the features are the same, 255 times smaller.

    Raises:
        DataError: the file cannot be read, or is of another network.
    """
    tensors = read_tensors(path)
    if scaling == "caffe":
        tensors = {name: each / 255 if name.endswith(".bias") else each for name, each in tensors.items()}
    weight, bias = f"{_FIRST}.weight", f"{_FIRST}.bias"
    if weight in tensors and bias in tensors:
        tensors = _for_grey(tensors, weight, bias, scaling)
    places = {_flat(name, encoder): name for name, _ in encoder.named_parameters()}
    told = Weights(tensors, WeightsInfo(path.name, kind="encoder")).load_into(
        encoder, rename=places.get, inflate=fitting(how)
    )
    return _complete(told, path)


def load_vit(encoder: nn.Module, path: Path, how: Inflation, scaling: Scaling = "imagenet") -> LoadReport:
    """Fills a `SliceViT` from a checkpoint of DINO, DINOv2 or timm; grey values in [0, 1] then do what equal
    colours did. What its images were scaled by goes into the patch embedding.

    Raises:
        DataError: the file cannot be read, or is of another network.
    """
    tensors = read_tensors(path)
    kernel = next((name for name in tensors if name.endswith("patch_embed.proj.weight")), None)
    if kernel is not None:
        shape = tuple(tensors[kernel].shape)
        if len(shape) != 4 or shape[1] != 3:
            found = f"its {kernel} of shape {shape} is not for patches of colour images"
            raise DataError(path, found, "name weights of a vision transformer for images")
        bias = kernel.replace(".weight", ".bias")
        tensors.setdefault(bias, torch.zeros(shape[0]))  # CLIP's has none
        tensors = _for_grey(tensors, kernel, bias, scaling)
    told = Weights(tensors, WeightsInfo(path.name, kind="encoder")).load_into(
        encoder, rename=dino_name, inflate=fitting(how)
    )
    return _complete(told, path)


def _for_grey(tensors: Mapping[str, Tensor], weight: str, bias: str, scaling: Scaling) -> dict[str, Tensor]:
    """The same network for images in [0, 1] from which nothing was taken off."""
    mean, spread = (torch.tensor(each) for each in _SCALINGS[scaling])
    found = dict(tensors)
    kernel = found[weight].float() / spread[:, None, None]
    found[bias] = found[bias].float() - kernel.sum((2, 3)) @ mean
    found[weight] = kernel
    return found


def _flat(name: str, encoder: nn.Sequential) -> str:
    """`features.<layer>...`, as torchvision names what is `<stage>.<layer>...` here."""
    stage, layer, rest = name.split(".", 2)
    before = sum(len(cast(nn.Sequential, encoder[number])) for number in range(int(stage)))
    return f"features.{before + int(layer)}.{rest}"


def _complete(told: LoadReport, path: Path) -> LoadReport:
    if told.missing:
        found = f"{len(told.missing)} tensors of the encoder are not in it, {told.missing[0]} for one"
        raise DataError(path, found, "name weights of the encoder that the config chooses")
    return told
