from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.models import resnet34

from morula.core.errors import UsageError
from morula.core.hashing import file_sha256
from morula.recipes.psm.paper.networks import ResUNet34, imagenet_file, load_imagenet


def up_parameters(deep: int, skip: int) -> int:
    up = deep * deep // 2 * 4 + deep // 2
    first = (deep // 2 + skip) * skip * 9 + skip
    second = skip * skip * 9 + skip
    return up + first + second + 2 * 2 * skip


def test_its_parameters_are_those_of_the_layout() -> None:
    encoder = 21_797_672 - (512 * 1000 + 1000)  # ResNet-34 without its classifier
    decoder = sum(up_parameters(*widths) for widths in [(512, 256), (256, 128), (128, 64), (64, 64)])
    head = 64 * 2 * 4 + 2
    with torch.device("meta"):
        network = ResUNet34()
    assert sum(p.numel() for p in network.parameters()) == encoder + decoder + head == 24_399_650


def test_logits_are_as_large_as_the_image_and_reach_every_parameter() -> None:
    network = ResUNet34(classes=3)
    logits = network(torch.zeros(1, 3, 64, 96))
    assert logits.shape == (1, 3, 64, 96)
    logits.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_imagenet_weights_that_are_not_there_are_asked_for_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pretrained=false"):
        load_imagenet(ResUNet34(), tmp_path / "resnet34-b627a593.pth")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "resnet34-b627a593.pth"
    file.write_bytes(b"cut short")
    with pytest.raises(UsageError, match="damaged"):
        load_imagenet(ResUNet34(), file)


def test_the_whole_encoder_is_filled(tmp_path: Path) -> None:
    source, network = resnet34(weights=None), ResUNet34()
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    file = tmp_path / f"resnet34-{file_sha256(tmp_path / 'weights.pth')[:8]}.pth"
    (tmp_path / "weights.pth").rename(file)
    load_imagenet(network, file)
    torch.testing.assert_close(network.stem[0].weight, source.conv1.weight)
    torch.testing.assert_close(network.stem[1].running_var, source.bn1.running_var)
    for ours, theirs in zip(
        network.layers, [source.layer1, source.layer2, source.layer3, source.layer4], strict=True
    ):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b)


def test_the_file_is_torchvisions() -> None:
    assert imagenet_file().name == "resnet34-b627a593.pth"
