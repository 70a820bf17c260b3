"""The losses of the strategies, on logits; weights and constants are those of the published code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from morula.losses import soft_dice, weighted_mean

__all__ = [
    "IGNORE",
    "bce",
    "bce_dice",
    "damt_discriminators",
    "damt_generator",
    "least_squares",
    "patch_nce",
    "reverse_gradient",
    "ynet",
]

IGNORE = 2
"""Label of pixels that do not count. Labels lie in [0, 1] elsewhere; the paper's may lie between."""


def bce(logits: Tensor, label: Tensor) -> Tensor:
    """Mean binary cross-entropy over the pixels whose label is not `IGNORE`; 0 where all are.

    Args:
        logits: `(b, 1, y, x)`.
        label: `(b, y, x)`, of any type: 0 to 1, or `IGNORE`.
    """
    counts = (label <= 1).float()
    loss = F.binary_cross_entropy_with_logits(logits[:, 0].float(), label.float() * counts, reduction="none")
    return weighted_mean(loss, counts)


def bce_dice(logits: Tensor, label: Tensor, dice_weight: float = 1.0) -> Tensor:
    """`bce` plus `dice_weight` times soft Dice, where the label is not `IGNORE`.

    Args:
        logits: `(b, 1, y, x)`.
        label: `(b, y, x)`, of any type: 0 to 1, or `IGNORE`.
        dice_weight: of the Dice term.
    """
    counts = (label <= 1).float()
    probability = logits[:, 0].float().sigmoid()
    return bce(logits, label) + dice_weight * soft_dice(probability, label.float() * counts, counts)


def ynet(
    reconstructed: Tensor,
    image: Tensor,
    logits: Tensor,
    label: Tensor,
    labelled: Tensor,
    *,
    alpha: float,
    beta: float,
) -> Tensor:
    """L = alpha MSE(image) + beta 1[labelled] BCE(mask): the Y-Net's loss in each step of its curriculum.

    Args:
        reconstructed: `(b, 1, y, x)`.
        image: `(b, 1, y, x)`, what was to be reconstructed.
        logits: `(b, 1, y, x)`.
        label: `(b, y, x)`; what stands in images that have none does not matter.
        labelled: `(b,)` bool, which images have a label. The published batches hold one image.
        alpha: weight of the reconstruction.
        beta: weight of the segmentation.
    """
    known = torch.where(labelled[:, None, None], label.float(), float(IGNORE))
    return alpha * F.mse_loss(reconstructed.float(), image.float()) + beta * bce(logits, known)


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """Mean of -log exp(q k+ / t) / (exp(q k+ / t) + sum of exp(q k- / t)) (Park et al., 2020, eq. 3 and 4).

    The positive k+ is the same place in the input, the negatives k- are the other places of the same image.
    No gradient reaches the keys, as published.

    Args:
        query: `(b, n, d)` of length one, of the translated image.
        key: `(b, n, d)` of length one, of the input.
        temperature: t.
    """
    similarity = query.float() @ key.detach().float().transpose(1, 2) / temperature
    place = torch.arange(query.shape[1], device=query.device).expand(query.shape[:2])
    return F.cross_entropy(similarity.flatten(0, 1), place.flatten())


def least_squares(score: Tensor, *, real: bool) -> Tensor:
    """LSGAN (Mao et al., 2017): mean squared distance of the scores from 1 (real) or 0.

    The discriminator's loss is half the sum over a real and a fake batch; the generator's is that of fakes
    called real.
    """
    return (score.float() - float(real)).square().mean()


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """`x`, whose gradient is multiplied by -`strength` on the way back (Ganin et al., JMLR 2016).

    For strategies that train network and discriminator in one step; DAMT-Net, as published, takes turns.
    """
    return _Reverse.apply(x, strength)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def damt_generator(
    logits: Tensor,
    label: Tensor,
    reconstructed: tuple[Tensor, Tensor],
    images: tuple[Tensor, Tensor],
    label_score: Tensor,
    feature_score: Tensor,
    *,
    reconstruction_weight: float = 5e-4,
    adversarial_weight: float = 1e-3,
) -> Tensor:
    """CE(source) + w_r (MSE(source) + MSE(target)) / 2 + w_a (BCE(D_label) + CE(D_feature)), DAMT-Net's loss.

    Both discriminators should take the target for the source; freeze their weights meanwhile.

    Args:
        logits: `(b, 2, y, x)` of the source.
        label: `(b, y, x)` of the source: 0, 1 or `IGNORE`.
        reconstructed: source and target, each `(b, 1, y, x)`.
        images: source and target, each `(b, 1, y, x)`.
        label_score: of the `LabelDiscriminator` for the softmax of the target's logits.
        feature_score: `(b, 2)` of the `FeatureDiscriminator` for the target.
        reconstruction_weight: w_r.
        adversarial_weight: w_a.
    """
    segmentation = F.cross_entropy(logits.float(), label.long(), ignore_index=IGNORE, reduction="sum")
    segmentation = segmentation / (label != IGNORE).sum().clamp(min=1)
    source, target = (F.mse_loss(a.float(), b.float()) for a, b in zip(reconstructed, images, strict=True))
    fooled = _label_loss(label_score, source=True) + _feature_loss(feature_score, source=True)
    return segmentation + reconstruction_weight * (source + target) / 2 + adversarial_weight * fooled


def damt_discriminators(
    label_scores: tuple[Tensor, Tensor], feature_scores: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The losses of DAMT-Net's label and feature discriminators: half for the source, half for the target.

    Args:
        label_scores: of source and target, each of the `LabelDiscriminator`, for detached softmax maps.
        feature_scores: of source and target, each `(b, 2)`, for detached features.
    """
    by_label = _label_loss(label_scores[0], source=True) + _label_loss(label_scores[1], source=False)
    by_feature = _feature_loss(feature_scores[0], source=True) + _feature_loss(
        feature_scores[1], source=False
    )
    return by_label / 2, by_feature / 2


def _label_loss(score: Tensor, *, source: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(score.float(), torch.full_like(score.float(), float(source)))


def _feature_loss(score: Tensor, *, source: bool) -> Tensor:
    return F.cross_entropy(score.float(), torch.full(score.shape[:1], int(source), device=score.device))
