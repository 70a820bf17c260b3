"""The networks by name, each from stacks `(b, 1, z, y, x)` to logits of that size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from morula.core.errors import UsageError
from morula.engine import LoadReport, Weights, WeightsInfo, read_tensors
from morula.nets import InflatedUNet3d, ResidualUNet3d, SliceViT, UPerHead
from morula.recipes.vit3d.config import Vit3dConfig
from morula.recipes.vit3d.pretrained import load_convnet, load_vit

__all__ = [
    "SliceSegmenter",
    "encoder_of",
    "load_encoder",
    "network_of",
    "rates",
    "step_of",
    "told_of_weights",
]

_WIDTHS = (20, 32, 48)  # of the 3D U-Net, about as much work as the inflated network


class SliceSegmenter(nn.Module):
    """The published network: a transformer on a window of slices, a head that maps the middle one.

    Args:
        vit: a transformer of timm.
        config: its `depth` is the window, its `head` how many channels the head has.
    """

    def __init__(self, vit: nn.Module, config: Vit3dConfig) -> None:
        super().__init__()
        count = len(list(vit.get_submodule("blocks").children()))
        taps = (3, 5, 7, 11) if count == 12 else tuple((count * quarter) // 4 - 1 for quarter in range(1, 5))
        self.encoder = SliceViT(vit, config.depth, config.inflation, taps)
        self.head = UPerHead(self.encoder.width, config.head, self.encoder.patch)

    def forward(self, volume: Tensor) -> Tensor:
        """Logits of every slice, windows clamped at both ends; while training of the middle one alone."""
        depth = volume.shape[2]
        middles = [depth // 2] if self.training else range(depth)
        return torch.stack([self._slice(volume, middle) for middle in middles], dim=2)

    def _slice(self, volume: Tensor, middle: int) -> Tensor:
        reach = self.encoder.slices // 2
        numbers = torch.arange(middle - reach, middle + reach + 1).clamp(0, volume.shape[2] - 1)
        return self.head(self.encoder(volume[:, :, numbers.to(volume.device)]))


def network_of(config: Vit3dConfig) -> nn.Module:
    """An untrained network; torch's generator decides its weights.

    It stays in torch's own layout: with channels last the bf16 backward pass of narrow volumes may read
    memory that nobody wrote (torch 2.15 on CPUs).

    Raises:
        UsageError: timm has no such transformer, it is no plain one, the U-Net is less deep, or a crop is
            too small or does not fit patches.
    """
    if config.network == "inflated":
        _no_smaller(config.crop, _LEVELS)
        return InflatedUNet3d(config.inflation, depth=config.depth)
    if config.network == "unet":
        if config.depth > 3:
            raise UsageError("depth", f"{config.depth}, but the 3D U-Net has 3 at most", "give 1 or 3")
        made = ResidualUNet3d(
            1, 1, _WIDTHS, norm="group", stride=(1, 2, 2), pool=(1, 2, 2),
            kernel=(config.depth, 3, 3), deep=config.depth,
        )  # fmt: skip
        nn.init.constant_(made.out.bias, _RARE)  # pyright: ignore[reportArgumentType]
        return made
    made = SliceSegmenter(_vit(config.vit), config)
    _no_smaller(config.crop, 2 * made.encoder.patch)
    if any(edge % made.encoder.patch for edge in config.crop[1:]):
        found = f"{config.crop[1]} x {config.crop[2]} pixels with patches of {made.encoder.patch}"
        raise UsageError("crop", found, "give y and x multiples of the patch")
    return made


def _vit(name: str) -> nn.Module:
    import timm  # slow to import, and the other networks do not need it
    from timm.layers import PatchEmbed  # pyright: ignore[reportPrivateImportUsage]

    fix = "choose one such as vit_small_patch16_224, or another network"
    if not timm.is_model(name) or not name.startswith(("vit_", "test_vit")):
        raise UsageError("vit", f"timm has no vision transformer {name!r}", fix)
    made: Any = timm.create_model(name, pretrained=False)
    plain = type(made) is timm.models.VisionTransformer and type(made.patch_embed) is PatchEmbed
    if not plain or made.cls_token is None or made.pos_embed is None:
        found = f"{name!r} is no plain transformer with a class token and learned positions"
        raise UsageError("vit", found, fix)
    return made


def _no_smaller(crop: tuple[int, int, int], least: int) -> None:
    if min(crop[1:]) < least:
        found = f"{crop[1]} x {crop[2]} pixels, too few for this network"
        raise UsageError("crop", found, f"give y and x of {least} at least")


_RARE = -4.0  # logit of the foreground before training: a neuron fills little of its stack


def encoder_of(network: nn.Module) -> nn.Module:
    """The part that natural-image weights fill; of the 3D U-Net, which has no such weights, the encoder."""
    return network.get_submodule("encoder")


def load_encoder(network: nn.Module, config: Vit3dConfig) -> LoadReport | None:
    """Fills the encoder with the weights that the config names, if any, and tells the fate of each tensor.

    Raises:
        DataError: they cannot be read or do not fit.
        UsageError: the network is the 3D U-Net, or a transformer whose images were scaled as Caffe's.
    """
    if not config.weights:
        return None
    encoder: Any = encoder_of(network)
    if config.network == "unet":
        found = "the 3D U-Net takes no natural-image weights"
        raise UsageError("weights", found, "leave weights out, or choose network inflated or slice-vit")
    path = Path(config.weights)
    if config.network == "slice-vit":
        if config.scaling == "caffe":
            found = "caffe, as whose images no vision transformer's were scaled"
            raise UsageError("scaling", found, "give imagenet (DINO, DINOv2) or half (most of timm)")
        return load_vit(encoder, path, config.inflation, config.scaling)
    return load_convnet(encoder, path, config.inflation, config.scaling)


def told_of_weights(config: Vit3dConfig) -> dict[str, str]:
    """What tells weights from others that later lie under the same name; empty where the config names none.

    Raises:
        DataError: they cannot be read.
    """
    if not config.weights:
        return {}
    path = Path(config.weights)
    return {"tensors": Weights(read_tensors(path), WeightsInfo(path.name, kind="encoder")).fingerprint}


def step_of(network: nn.Module) -> int:
    """What the edges of a tile along y and x must be multiples of."""
    return network.encoder.patch if isinstance(network, SliceSegmenter) else _LEVELS


_LEVELS = 16


def rates(network: nn.Module, config: Vit3dConfig) -> list[dict[str, Any]]:
    """Groups of parameters for the optimiser: encoder and the rest, each with and without weight decay.

    Where the config's `layer_decay` is not 1, every block of the encoder has groups of its own.
    """
    later = _later_blocks(encoder_of(network))
    shares: dict[tuple[bool, float], list[Tensor]] = {}
    for each in filter(lambda each: each.requires_grad, network.parameters()):
        inside = id(each) in later
        share = config.encoder_lr * config.layer_decay ** later[id(each)] if inside else 1.0
        shares.setdefault((not inside, share), []).append(each)
    return [
        group
        for (_, share), ours in sorted(shares.items(), key=lambda item: item[0])
        for group in _by_decay(ours, share, config.weight_decay)
    ]


def _later_blocks(encoder: nn.Module) -> dict[int, int]:
    """How many blocks of the encoder come after a parameter, by the parameter's id."""
    if isinstance(encoder, SliceViT):
        blocks = list(encoder.blocks)
        ends = {id(each): 0 for each in encoder.norm.parameters()}
    else:
        blocks, ends = list(encoder.children()), {}
    later = {id(each): len(blocks) for each in encoder.parameters()} | ends
    for number, block in enumerate(reversed(blocks)):
        later |= {id(each): number for each in block.parameters()}
    return later


def _by_decay(parameters: Iterable[Tensor], rate: float, decay: float) -> list[dict[str, Any]]:
    """Biases and scales do not decay."""
    listed = list(parameters)
    wide = [each for each in listed if each.ndim > 1]
    narrow = [each for each in listed if each.ndim <= 1]
    pairs = ((wide, decay), (narrow, 0.0))
    return [{"params": part, "weight_decay": each, "share": rate} for part, each in pairs if part]
