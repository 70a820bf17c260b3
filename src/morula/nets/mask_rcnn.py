"""Mask R-CNN with a feature pyramid for fields of many small objects, natural images beside cells."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from morula.nets.cascade import OVERLAPS, CascadeHeads

__all__ = ["DOMAINS", "Backbone", "DomainNorm2d", "Layout", "mask_rcnn", "replace_predictors", "use_domain"]

Backbone = Literal["resnet18", "resnet34", "resnet50"]
Layout = Literal["v1", "v2"]
"""Of neck and heads, as torchvision has them: the published one (v1), or one with norms, a second layer for
the proposals, and four convolutions before the layer that tells boxes apart (v2)."""

DOMAINS = 2
"""Sets of running statistics."""

_ANCHORS = ((8,), (16,), (32,), (64,), (128,))  # pixels, on maps of stride 4, 8, 16, 32 and 64
_RATIOS = (0.5, 1.0, 2.0)
_SCORE, _OVERLAP = 0.05, 0.5
_REGION = 7  # edge of the maps from which the class of a box is told
_LAYERS = 4  # convolutions of the mask branch, and in v2 of the box branch


class DomainNorm2d(nn.Module):
    """Batch normalisation whose running statistics belong to a domain, and whose scale and shift to all.

    Attributes:
        running_mean: `(domains, c)`.
        running_var: `(domains, c)`.
        domain: whose statistics are followed and used; the others do not move.

    Source: Chang et al., "Domain-specific batch normalization", CVPR 2019, with one scale and shift.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(DOMAINS, channels))
        self.register_buffer("running_var", torch.ones(DOMAINS, channels))
        self.momentum, self.eps, self.domain = momentum, eps, 0

    def forward(self, maps: Tensor) -> Tensor:
        """Normalised maps `(b, c, y, x)`."""
        mean, variance = self.running_mean[self.domain], self.running_var[self.domain]
        return F.batch_norm(
            maps, mean, variance, self.weight, self.bias, self.training, self.momentum, self.eps
        )


def use_domain(network: nn.Module, domain: int) -> None:
    """Lets every `DomainNorm2d` of a network use and follow the statistics of a domain."""
    for module in network.modules():
        if isinstance(module, DomainNorm2d):
            module.domain = domain


class _AsItIs(GeneralizedRCNNTransform):
    """Images keep their size, and masks the frame of their box: whole images of masks fill the memory."""

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Leaves both as they are."""
        return image, target

    def postprocess(self, result: list[dict[str, Tensor]], *sizes: Any) -> list[dict[str, Tensor]]:
        """Leaves the result as it is."""
        del sizes
        return result


def mask_rcnn(
    backbone: Backbone = "resnet50",
    classes: int = 2,
    *,
    detections: int = 1000,
    regions: int = 512,
    width: int = 256,
    layout: Layout = "v1",
    cascade: bool = False,
) -> MaskRCNN:
    """Mask R-CNN with random weights: ResNet, pyramid, region proposals, boxes and masks.

    Anchors are a quarter of the usual, for natural images as well as for cells: a change of anchors between
    pre-training and fine-tuning would throw the proposals away. `detections` objects pass the proposals of
    each level, those of all levels, and the last suppression. Images keep their size, and come normalised:
    of both sorts with a mean of about 0 and a deviation of about 1. Statistics of batches are not frozen, and
    there are two sets of them (`use_domain`).

    In evaluation the result of an image has `boxes` `(n, 4)`, `labels` and `scores` `(n,)`, best first, and
    `masks` `(n, 1, 28, 28)`, probabilities in the frame of the box, for `morula.post.paste_masks`.

    Args:
        backbone: depth of the residual network, all of which is trained.
        classes: with background, which is class 0.
        detections: objects that an image may have.
        regions: proposals of an image that boxes and masks learn from, a quarter of them objects.
        width: channels of the pyramid and of the mask branch; the box branch has four times as many.
        layout: of neck and heads; names and shapes of the tensors are those of torchvision's networks.
        cascade: refine boxes in three stages (`CascadeHeads`).

    Source: He et al., "Mask R-CNN", ICCV 2017; Lin et al., "Feature pyramid networks", CVPR 2017; for v2 Li
    et al., "Benchmarking detection transfer learning with vision transformers", arXiv 2111.11429.
    """
    body = getattr(resnet, backbone)(weights=None, norm_layer=DomainNorm2d)
    channels = [body.inplanes // 8 * 2**level for level in range(4)]
    layers = {f"layer{level}": str(level - 1) for level in range(1, 5)}
    norm = None if layout == "v1" else DomainNorm2d
    network = MaskRCNN(
        BackboneWithFPN(body, layers, channels, width, norm_layer=norm),
        rpn_head=None if layout == "v1" else RPNHead(width, len(_RATIOS), conv_depth=2),
        box_head=_box_head(width, layout),
        box_predictor=FastRCNNPredictor(4 * width, classes),
        mask_head=MaskRCNNHeads(width, [width] * _LAYERS, 1, norm_layer=norm),
        mask_predictor=MaskRCNNPredictor(width, width, classes),
        rpn_anchor_generator=AnchorGenerator(_ANCHORS, (_RATIOS,) * len(_ANCHORS)),
        rpn_pre_nms_top_n_test=2 * detections,
        rpn_post_nms_top_n_test=2 * detections,
        box_score_thresh=_SCORE,
        box_nms_thresh=_OVERLAP,
        box_detections_per_img=detections,
        box_batch_size_per_image=regions,
    )
    if cascade:
        heads = [_box_head(width, layout) for _ in OVERLAPS]
        network.roi_heads = CascadeHeads(network.roi_heads, heads, 4 * width, classes)
    network.transform = _AsItIs(1, 1, [0.0] * 3, [1.0] * 3)
    return network


def replace_predictors(network: MaskRCNN, classes: int) -> None:
    """New last layers for other classes; all before them stays.

    Args:
        network: changed in place.
        classes: with background.
    """
    heads: Any = network.roi_heads
    if isinstance(network.roi_heads, CascadeHeads):
        for stage in network.roi_heads.in_order:
            stage.replace_predictor(classes)
    else:
        heads.box_predictor = FastRCNNPredictor(heads.box_predictor.cls_score.in_features, classes)
    hidden: Any = heads.mask_predictor.conv5_mask
    heads.mask_predictor = MaskRCNNPredictor(hidden.in_channels, hidden.out_channels, classes)


def _box_head(width: int, layout: Layout) -> nn.Module:
    """What makes `4 * width` numbers of the maps of a region."""
    if layout == "v1":
        return TwoMLPHead(width * _REGION**2, 4 * width)
    shape = (width, _REGION, _REGION)
    return FastRCNNConvFCHead(shape, [width] * _LAYERS, [4 * width], norm_layer=DomainNorm2d)
