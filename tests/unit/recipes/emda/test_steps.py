"""The adversarial strategies' pieces fit together: who learns from which loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from morula.recipes.emda.losses import damt_discriminators, damt_generator, least_squares, patch_nce
from morula.recipes.emda.networks import (
    CutGenerator,
    DamtNet,
    FeatureDiscriminator,
    LabelDiscriminator,
    PatchDiscriminator,
    PatchHeads,
    draw_positions,
)

pytestmark = pytest.mark.usefixtures("seeded")


def learns(module: nn.Module) -> bool:
    gradients = [p.grad for p in module.parameters()]
    assert all(g is None or torch.isfinite(g).all() for g in gradients)
    return any(g is not None and g.abs().sum() > 0 for g in gradients)


def test_a_step_of_damt_teaches_the_generator_first_and_the_discriminators_then() -> None:
    network, by_label, by_feature = DamtNet(8), LabelDiscriminator(2, 2), FeatureDiscriminator(32, 8, 4)
    images = (torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32))
    label = (images[0][:, 0] > 0.5).to(torch.uint8)
    (painted_s, feature_s, logits_s), (painted_t, feature_t, logits_t) = (network(image) for image in images)
    for part in (by_label, by_feature):
        part.requires_grad_(False)
    damt_generator(
        logits_s,
        label,
        (painted_s, painted_t),
        images,
        by_label(logits_t.softmax(dim=1)),
        by_feature(feature_t),
    ).backward()
    assert [learns(part) for part in (network, by_label, by_feature)] == [True, False, False]
    network.zero_grad()
    for part in (by_label, by_feature):
        part.requires_grad_(True)
    maps = [by_label(logits.detach().softmax(dim=1)) for logits in (logits_s, logits_t)]
    features = [by_feature(feature.detach()) for feature in (feature_s, feature_t)]
    sum(damt_discriminators((maps[0], maps[1]), (features[0], features[1]))).backward()
    assert [learns(part) for part in (network, by_label, by_feature)] == [False, True, True]


def test_a_step_of_cut_teaches_generator_and_heads_or_the_discriminator() -> None:
    generator, judge = CutGenerator(4, 3), PatchDiscriminator(4)
    heads = PatchHeads(generator.feature_channels, 64)
    source, target = torch.rand(1, 1, 48, 48) * 2 - 1, torch.rand(1, 1, 48, 48) * 2 - 1
    fake = generator(target)
    (least_squares(judge(fake.detach()), real=False) + least_squares(judge(source), real=True)).backward()
    assert [learns(part) for part in (generator, heads, judge)] == [False, False, True]
    judge.zero_grad()
    judge.requires_grad_(False)
    queries, keys = generator.encode(fake), generator.encode(target)
    positions = draw_positions(keys, 16, torch.Generator().manual_seed(0))
    pairs = zip(heads(queries, positions), heads(keys, positions), strict=True)
    nce = torch.stack([patch_nce(query, key) for query, key in pairs]).mean()
    (least_squares(judge(fake), real=True) + nce).backward()
    assert [learns(part) for part in (generator, heads, judge)] == [True, True, False]
