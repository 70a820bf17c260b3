from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from morula.losses import soft_dice
from morula.recipes.emda.losses import (
    IGNORE,
    bce,
    bce_dice,
    damt_discriminators,
    damt_generator,
    least_squares,
    patch_nce,
    ynet,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_bce_by_hand_with_an_ignored_and_a_soft_pixel() -> None:
    logits = torch.tensor([[[[0.0, 2.0, 50.0, -1.0]]]])
    label = torch.tensor([[[1.0, 0.0, IGNORE, 0.25]]])
    soft = 0.25 * math.log1p(math.exp(1)) + 0.75 * math.log1p(math.exp(-1))
    expected = (math.log(2) + math.log1p(math.exp(2)) + soft) / 3
    assert float(bce(logits, label)) == pytest.approx(expected, rel=1e-6)


def test_labels_may_be_bytes_and_all_ignored() -> None:
    logits = random(2, 1, 4, 4).requires_grad_()
    label = torch.full((2, 4, 4), IGNORE, dtype=torch.uint8)
    loss = bce_dice(logits, label)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert float(logits.grad.abs().sum()) == 0


def test_dice_is_added_and_ignores_the_same_pixels() -> None:
    logits, label = random(2, 1, 6, 6), (random(2, 6, 6, seed=1) > 0).to(torch.uint8)
    label[:, :2] = IGNORE
    seen = label[:, 2:].float()
    dice = soft_dice(logits[:, 0, 2:].sigmoid(), seen, torch.ones_like(seen))
    expected = F.binary_cross_entropy_with_logits(logits[:, 0, 2:], seen) + 0.5 * dice
    torch.testing.assert_close(bce_dice(logits, label, 0.5), expected)


def test_ynet_loss_counts_the_mask_of_labelled_images_alone() -> None:
    image, reconstructed, logits = (random(2, 1, 4, 4, seed=s) for s in range(3))
    label = (random(2, 4, 4, seed=3) > 0).float()
    labelled = torch.tensor([False, True])
    found = ynet(reconstructed, image, logits, label, labelled, alpha=0.98, beta=0.02)
    seen = F.binary_cross_entropy_with_logits(logits[1, 0], label[1])
    torch.testing.assert_close(found, 0.98 * (reconstructed - image).square().mean() + 0.02 * seen)
    none = ynet(reconstructed, image, logits, label, labelled & False, alpha=0.0, beta=1.0)
    assert float(none) == 0


def test_lsgan_by_hand() -> None:
    scores = torch.tensor([0.5, 2.0])
    assert float(least_squares(scores, real=True)) == pytest.approx((0.25 + 1) / 2)
    assert float(least_squares(scores, real=False)) == pytest.approx((0.25 + 4) / 2)


def test_patch_nce_teaches_the_query_alone() -> None:
    query, key = (F.normalize(random(1, 5, 3, seed=s), dim=-1).requires_grad_() for s in (0, 1))
    patch_nce(query, key).backward()
    assert query.grad is not None
    assert float(query.grad.abs().sum()) > 0
    assert key.grad is None


def test_patch_nce_is_lowest_where_places_agree() -> None:
    key = F.normalize(random(2, 8, 16), dim=-1)
    assert float(patch_nce(key, key)) < float(patch_nce(key.roll(1, dims=1), key))


def test_damts_network_and_its_judges_want_the_opposite_of_the_targets_scores() -> None:
    """They learn in turns; no layer has to reverse gradients."""
    still = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4), *[(torch.zeros(1, 1, 4, 4),) * 2] * 2
    source, target = random(1, 1, 2, 2, seed=6), random(1, 1, 2, 2).requires_grad_()
    feature_s, feature_t = random(3, 2, seed=7), random(3, 2, seed=1).requires_grad_()
    damt_generator(*still, target, feature_t).backward()
    fooled = target.grad.clone(), feature_t.grad[:, 1].clone()  # type: ignore[union-attr, index]
    target.grad = feature_t.grad = None
    sum(damt_discriminators((source, target), (feature_s, feature_t))).backward()  # type: ignore[union-attr]
    told = target.grad, feature_t.grad[:, 1]  # type: ignore[index]
    for ours, theirs in zip(fooled, told, strict=True):
        assert bool((ours < 0).all()) and bool((theirs > 0).all())


def test_damt_generator_by_its_formula() -> None:
    logits, label = random(1, 2, 4, 4), (random(1, 4, 4, seed=1) > 0).to(torch.uint8)
    label[0, 0, 0] = IGNORE
    images = (random(1, 1, 4, 4, seed=2), random(1, 1, 4, 4, seed=3))
    painted = (random(1, 1, 4, 4, seed=4), random(1, 1, 4, 4, seed=5))
    by_label, by_feature = random(1, 1, 2, 2, seed=6), random(1, 2, seed=7)
    found = damt_generator(logits, label, painted, images, by_label, by_feature)
    picked = logits.log_softmax(1).gather(1, label.long().clamp(max=1)[:, None])[:, 0]
    rebuilt = sum(((p - i) ** 2).mean() for p, i in zip(painted, images, strict=True)) / 2
    fooled = -by_label.sigmoid().log().mean() - by_feature.log_softmax(1)[0, 1]
    expected = -picked[label != IGNORE].mean() + 5e-4 * rebuilt + 1e-3 * fooled
    torch.testing.assert_close(found, expected)


def test_damt_discriminators_by_their_formulas() -> None:
    labels, features = (random(2, 1, 2, 2), random(2, 1, 2, 2, seed=1)), (random(2, 2), random(2, 2, seed=1))
    by_label, by_feature = damt_discriminators(labels, features)
    expected = -(labels[0].sigmoid().log().mean() + (-labels[1]).sigmoid().log().mean()) / 2
    torch.testing.assert_close(by_label, expected)
    chosen = features[0].log_softmax(1)[:, 1].mean() + features[1].log_softmax(1)[:, 0].mean()
    torch.testing.assert_close(by_feature, -chosen / 2)


def test_losses_of_half_precision_are_single() -> None:
    logits = random(1, 1, 4, 4).bfloat16()
    assert bce_dice(logits, torch.zeros(1, 4, 4)).dtype == torch.float32
    assert patch_nce(random(1, 3, 4).bfloat16(), random(1, 3, 4).bfloat16()).dtype == torch.float32
    assert least_squares(logits, real=True).dtype == torch.float32
