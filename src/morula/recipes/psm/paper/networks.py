"""ResUNet34, the network of the second and the final stage."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torchvision.models import ResNet34_Weights, resnet34

from morula.core.errors import UsageError
from morula.core.hashing import file_sha256

__all__ = ["ResUNet34", "imagenet_file", "load_imagenet"]


class ResUNet34(nn.Module):
    """A ResNet-34 encoder with a U-Net decoder, `(b, 3, y, x)` -> logits `(b, classes, y, x)`.

    Skips are the stem (64 channels, stride 2) and layers 1 to 3 (64, 128, 256). Each of four up blocks halves
    the channels with a 2x2 transposed convolution, appends the skip and convolves twice, to the skip's width;
    a last transposed convolution gives the logits. Lineage: Qu et al., MIDL 2019.

    Args:
        classes: channels of the output.
        dropout: of whole channels, after each batch norm of the decoder.
    """

    def __init__(self, classes: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        encoder = resnet34(weights=None)
        self.stem = nn.Sequential(encoder.conv1, encoder.bn1, encoder.relu)
        self.pool = encoder.maxpool
        self.layers = nn.ModuleList([encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4])
        widths = [(512, 256), (256, 128), (128, 64), (64, 64)]
        self.ups = nn.ModuleList(_Up(deep, skip, dropout) for deep, skip in widths)
        self.head = nn.ConvTranspose2d(64, classes, 2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of an image whose sides are multiples of 32, scaled to (x / 255 - 0.5) / 0.5."""
        skips = [self.stem(image)]
        deep = self.pool(skips[0])
        for layer in self.layers:
            deep = layer(deep)
            skips.append(deep)
        deep = skips.pop()
        for up in self.ups:
            deep = up(deep, skips.pop())
        return self.head(deep)


class _Up(nn.Module):
    def __init__(self, deep: int, skip: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(deep, deep // 2, 2, stride=2)
        self.convolve = nn.Sequential(
            *_conv_relu_norm(deep // 2 + skip, skip, dropout), *_conv_relu_norm(skip, skip, dropout)
        )

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        return self.convolve(torch.cat([self.up(deep), skip], dim=1))


def _conv_relu_norm(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
    return [convolution, nn.ReLU(inplace=True), nn.BatchNorm2d(outputs), nn.Dropout2d(dropout)]


def imagenet_file() -> Path:
    """Where torchvision keeps its ImageNet weights of ResNet-34."""
    name = Path(urlparse(ResNet34_Weights.IMAGENET1K_V1.url).path).name
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def load_imagenet(network: ResUNet34, path: Path) -> None:
    """Fills the encoder with torchvision's ImageNet weights; these were trained with manual labels.

    Args:
        network: changed in place.
        path: torchvision's file, whose name ends in the first digits of its SHA-256.

    Raises:
        UsageError: the file is not there, or is not what its name says. Nothing is ever downloaded.
    """
    fix = "leave pretrained=false, or fetch it once where there is a network: python -c " + (
        "'from torchvision.models import resnet34; resnet34(weights=\"IMAGENET1K_V1\")'"
    )
    if not path.exists():
        raise UsageError(path, "pretrained=true needs the ImageNet weights of ResNet-34, not there", fix)
    if not file_sha256(path).startswith(path.stem.rpartition("-")[2]):
        raise UsageError(path, "the ImageNet weights are damaged (another SHA-256 than the name says)", fix)
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in (("conv1", network.stem[0]), ("bn1", network.stem[1])):
        part.load_state_dict(_below(tensors, name))
    for number, layer in enumerate(network.layers, start=1):
        layer.load_state_dict(_below(tensors, f"layer{number}"))


def _below(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")
    }
