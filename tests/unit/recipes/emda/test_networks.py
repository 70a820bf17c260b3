from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.recipes.emda.config import EmdaConfig, Strategy
from morula.recipes.emda.networks import (
    AttentionUNet,
    AttentionYNet,
    CutGenerator,
    DamtNet,
    FeatureDiscriminator,
    LabelDiscriminator,
    PatchDiscriminator,
    PatchHeads,
    ResidualUNet,
    draw_positions,
)
from morula.recipes.emda.segmenter import network_of, segment

pytestmark = pytest.mark.usefixtures("seeded")


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def without_gradient(module: nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_attention_unet_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert count(AttentionUNet()) == 1_985_061


def test_attention_ynet_has_the_published_number_of_parameters_in_each_part() -> None:
    with torch.device("meta"):
        network = AttentionYNet()
    assert count(network) == 10_199_558
    parts = (network.encoder, network.bottleneck, network.segmentation, network.reconstruction)
    assert [count(part) for part in parts] == [1_171_680, 3_539_968, 3_223_397, 2_264_513]


def test_cut_networks_have_the_parameters_of_their_layout() -> None:
    generator, discriminator = CutGenerator(), PatchDiscriminator()
    edge = 2 * 49 * 64 + 64 + 1
    resampling = 9 * 2 * (64 * 128 + 128 * 256) + 128 + 256 + 128 + 64
    assert count(generator) == edge + resampling + 9 * 2 * (256 * 256 * 9 + 256) == 11_365_633
    assert count(discriminator) == 16 * (64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 961 == 2_762_689


def test_damt_net_has_the_parameters_of_its_layout() -> None:
    with torch.device("meta"):
        network, labels, features = DamtNet(), LabelDiscriminator(), FeatureDiscriminator()
    widths = [1, 64, 128, 256, 512, 1024]
    pairs = list(pairwise(widths))
    encoder = sum(9 * (a * b + b * b) + 2 * b for a, b in pairs)
    decoder = sum(a * b + a + 9 * (2 * a * a + a * a) + 2 * a for a, b in pairs[1:])
    painter = sum(9 * (b * a + a * a) + 2 * a for a, b in pairs[1:])
    assert count(network) == encoder + decoder + painter + (64 + 1) * 3
    assert count(labels) == 16 * (2 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 64 + 128 + 256 + 512 + 1
    full = 48 * 64 * 64 * 288 + 288 + 288 * 144 + 144 + 144 * 2 + 2
    assert count(features) == 9 * (64 * 48 + 2 * 48 * 48) + 3 * 48 + full


@pytest.mark.parametrize("shape", [(33, 33), (64, 50), (81, 131)])
def test_residual_unet_takes_any_size(shape: tuple[int, int]) -> None:
    network = ResidualUNet(sections=3, width=4)
    assert network(torch.zeros(1, 3, *shape)).shape == (1, 1, *shape)


def test_every_parameter_of_every_segmenter_gets_a_gradient() -> None:
    image = torch.rand(2, 1, 64, 64)
    for network in (AttentionUNet(4), ResidualUNet(width=4), AttentionYNet(4), DamtNet(4)):
        outputs = network(image)
        maps = outputs if isinstance(outputs, tuple) else (outputs,)
        sum((m - 1).square().mean() for m in maps).backward()
        assert without_gradient(network) == []
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_segmenters_give_logits_and_not_probabilities() -> None:
    for network in (AttentionUNet(4), AttentionYNet(4), DamtNet(4)):
        head = {"AttentionUNet": "segmentation.head", "AttentionYNet": "segmentation.head"}
        last = network.get_submodule(head.get(type(network).__name__, "classify"))
        with torch.no_grad():
            last.bias.copy_(torch.tensor([5.0, -5.0])[-last.bias.numel() :])
            segment = getattr(network, "segment", network)
            assert float(segment(torch.zeros(1, 1, 32, 32)).mean()) < -4


def test_the_maps_are_as_large_as_the_image() -> None:
    image = torch.rand(1, 1, 48, 80)
    assert AttentionUNet(2)(image).shape == image.shape
    assert [m.shape for m in AttentionYNet(2)(image)] == [image.shape] * 2
    assert [m.shape[1] for m in DamtNet(4)(image)] == [1, 4, 2]
    assert {m.shape[-2:] for m in DamtNet(4)(image)} == {(48, 80)}
    assert CutGenerator(4, 3)(image).shape == image.shape


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (AttentionUNet(2), (40, 48)),
        (AttentionYNet(2), (48, 40)),
        (ResidualUNet(width=2), (32, 64)),
        (DamtNet(2), (48, 33)),
        (DamtNet(2), (16, 32)),
        (CutGenerator(2, 3), (30, 32)),
        (PatchDiscriminator(2), (31, 64)),
        (LabelDiscriminator(1, 2), (64, 31)),
        (FeatureDiscriminator(32, 1, 4), (32, 40)),
    ],
)
def test_sizes_that_cannot_be_halved_are_refused(network: nn.Module, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"not {shape[0]} x {shape[1]}"):
        network(torch.zeros(1, 1, *shape))


def test_segment_is_what_forward_says_about_the_mask() -> None:
    image = torch.rand(1, 1, 32, 32)
    ynet, damt = AttentionYNet(2).eval(), DamtNet(2).eval()
    torch.testing.assert_close(ynet.segment(image), ynet(image)[1])
    torch.testing.assert_close(damt.segment(image).sigmoid()[:, 0], damt(image)[2].softmax(dim=1)[:, 1])


def test_the_gate_scales_the_decoders_feature_and_not_the_skip() -> None:
    gate = AttentionUNet(2).segmentation.gates[-1]
    u, skip = torch.rand(1, 2, 4, 4), torch.rand(1, 2, 4, 4)
    scale = gate(u, skip) / u
    torch.testing.assert_close(scale[:, :1], scale[:, 1:])
    assert bool(((scale > 0) & (scale < 1)).all())
    assert not torch.allclose(gate(u, skip), gate(u, 3 * skip))


def test_weights_start_as_in_keras() -> None:
    network = AttentionUNet()
    weight = network.bottleneck[0].weight.detach()
    expected = (2 / (9 * 128)) ** 0.5
    assert float(weight.std()) == pytest.approx(expected, rel=0.01)
    assert float(weight.abs().max()) <= 2 * expected / 0.8796
    assert all(
        float(p.detach().abs().sum()) == 0 for name, p in network.named_parameters() if name.endswith("bias")
    )


def test_the_published_dropout_is_per_level_and_of_whole_channels_in_the_ynet() -> None:
    unet = [m.p for m in AttentionUNet(2).modules() if isinstance(m, nn.Dropout)]
    ynet = [m.p for m in AttentionYNet(2).modules() if isinstance(m, nn.Dropout2d)]
    assert unet == [0.1, 0.1, 0.2, 0.2, 0.3, 0.2, 0.2, 0.1, 0.1]
    assert ynet == [*unet, 0.2, 0.2, 0.1, 0.1]


def test_a_frozen_part_keeps_its_weights_and_lets_gradients_through() -> None:
    network = AttentionYNet(2)
    network.encoder.requires_grad_(False)
    network.reconstruction.requires_grad_(False)
    network.segment(torch.rand(1, 1, 32, 32)).sum().backward()
    frozen = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is None}
    assert frozen == {"encoder", "reconstruction"}


@pytest.mark.parametrize("network", [AttentionUNet(16), ResidualUNet(width=16), CutGenerator(16, 3)])
def test_the_networks_work_in_bfloat16(network: nn.Module) -> None:
    image = torch.rand(1, 1, 64, 64).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(image)
    out.float().square().mean().backward()
    assert bool(torch.isfinite(out).all())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_the_generator_encodes_at_the_published_layers() -> None:
    generator, image = CutGenerator(4, 9), torch.rand(1, 1, 32, 32)
    seen: dict[int, Tensor] = {}
    for number in (0, 4):
        generator.blocks[number].register_forward_hook(
            lambda _module, _inputs, out, number=number: seen.update({number: out})
        )
    features = generator.encode(image)
    assert [f.shape[1] for f in features] == list(generator.feature_channels) == [1, 8, 16, 16, 16]
    assert [f.shape[-1] for f in features] == [38, 32, 16, 8, 8]
    torch.testing.assert_close(features[3], seen[0])
    torch.testing.assert_close(features[4], seen[4])


def test_the_generator_resamples_without_aliasing() -> None:
    network = PatchDiscriminator(1)
    for convolution in network.convolutions:
        nn.init.zeros_(convolution.weight)
    with torch.no_grad():
        network.convolutions[0].weight[0, 0, 1, 1] = 1
    seen: list[Tensor] = []
    network.convolutions[1].register_forward_hook(lambda _module, inputs, _out: seen.append(inputs[0]))
    image = torch.rand(1, 1, 33, 33)
    network(image)
    kernel = torch.tensor([1.0, 2.0, 1.0])[:, None] * torch.tensor([1.0, 2.0, 1.0]) / 16
    padded = F.pad(image[:, :, :32, :32], (1, 1, 1, 1), mode="reflect")
    torch.testing.assert_close(seen[0], F.conv2d(padded, kernel[None, None], stride=2))


def test_patch_heads_give_vectors_of_length_one_at_the_drawn_pixels() -> None:
    features = [torch.rand(2, 3, 5, 7), torch.rand(2, 4, 2, 2)]
    heads = PatchHeads((3, 4), 64)
    positions = draw_positions(features, 9, torch.Generator().manual_seed(0))
    assert [len(p) for p in positions] == [9, 4]
    assert len(set(positions[0].tolist())) == 9
    vectors = heads(features, positions)
    assert [tuple(v.shape) for v in vectors] == [(2, 9, 64), (2, 4, 64)]
    torch.testing.assert_close(vectors[0].norm(dim=-1), torch.ones(2, 9))
    y, x = divmod(int(positions[0][3]), 7)
    alone = F.normalize(heads.heads[0](features[0][1, :, y, x]), dim=0)
    torch.testing.assert_close(vectors[0][1, 3], alone)


def test_discriminators_score_patches_maps_and_crops() -> None:
    image = torch.rand(2, 1, 64, 64)
    assert PatchDiscriminator(2)(image).shape == (2, 1, 6, 6)
    assert LabelDiscriminator(2, 2)(torch.rand(2, 2, 64, 96)).shape == (2, 1, 2, 3)
    features = FeatureDiscriminator(64, 3, 4)(torch.rand(2, 3, 64, 64))
    assert features.shape == (2, 2)
    assert bool(torch.isfinite(features).all())


def test_too_few_blocks_and_odd_crops_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        CutGenerator(4, 2)
    with pytest.raises(ValueError, match="multiple of 8"):
        FeatureDiscriminator(60)


@pytest.mark.parametrize("network", ["residual", "attention"])
@pytest.mark.parametrize("strategy", ["supervised", "cut", "ynet", "damt"])
def test_every_network_takes_the_least_crop_that_can_be_asked_for(strategy: Strategy, network: str) -> None:
    edge = EmdaConfig.model_json_schema()["properties"]["crop"]["minimum"]
    changes = {"strategy": strategy, "network": network, "crop": edge, "width": 16, "generator_width": 4}
    with torch.device("meta"):
        made = network_of(EmdaConfig.model_validate(changes))
        assert segment(made)(torch.zeros(2, 1, edge, edge)).shape[-2:] == (edge, edge)
