"""What the network minimises: cross-entropy, Dice, and recall of the centre line."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["dice_focal", "line_recall", "tube_loss"]

_SMOOTH = 1.0  # voxels


def line_recall(probability: Tensor, line: Tensor, known: Tensor) -> Tensor:
    """1 - the share of the centre line that is found, of all crops together.

    Source: skeleton recall loss of Kirchhoff et al. (ECCV 2024), eq. 2.
    """
    weight = line * known
    return 1 - ((probability * weight).sum() + _SMOOTH) / (weight.sum() + _SMOOTH)


def tube_loss(logits: Tensor, mask: Tensor, known: Tensor, line: Tensor, *, recall: float) -> Tensor:
    """Cross-entropy + Dice of all crops together + `recall` times the recall of the centre line.

    Args:
        logits: `(b, 1, z, y, x)`.
        mask: 1 where the neuron is.
        known: 1 where that is known; the rest does not count.
        line: 1 on the centre line.
        recall: weight of the last term.
    """
    entropy = (F.binary_cross_entropy_with_logits(logits, mask, reduction="none") * known).sum()
    entropy = entropy / known.sum().clamp(min=1)
    probability = logits.sigmoid()
    return entropy + _dice(probability, mask, known) + recall * line_recall(probability, line, known)


def dice_focal(logits: Tensor, mask: Tensor, known: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Dice of all crops together + focal loss, as TransSeg trains (of one channel in place of two).

    Source: Lin et al., "Focal loss for dense object detection" (ICCV 2017), eq. 4.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    focal = ((1 - (-entropy).exp()) ** gamma * entropy * known).sum() / known.sum().clamp(min=1)
    return _dice(logits.sigmoid(), mask, known) + focal


def _dice(probability: Tensor, mask: Tensor, known: Tensor) -> Tensor:
    both = (probability * mask * known).sum()
    either = (probability * known).sum() + (mask * known).sum()
    return 1 - (2 * both + _SMOOTH) / (either + _SMOOTH)
