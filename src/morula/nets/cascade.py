"""Heads that refine boxes stage by stage, each stage learning from better boxes than the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import (
    RoIHeads,
    fastrcnn_loss,
    maskrcnn_inference,
    maskrcnn_loss,
)
from torchvision.ops import box_iou, clip_boxes_to_image

__all__ = ["OVERLAPS", "CascadeHeads", "CascadeStage", "Matched"]

Target = dict[str, Tensor]
Size = tuple[int, int]

OVERLAPS = (0.5, 0.6, 0.7)
"""Intersection over union from which on a box belongs to an object, of each stage."""

_UNITS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))


class Matched(NamedTuple):
    """What boxes are to become.

    Attributes:
        objects: the object nearest to each box `(n,)`.
        labels: its class, or 0 where it overlaps too little `(n,)`.
        shifts: from the boxes to the objects `(n, 4)`.
    """

    objects: Tensor
    labels: Tensor
    shifts: Tensor


class CascadeStage(nn.Module):
    """Tells the class of boxes, and moves them; the same way for all classes.

    Args:
        head: what makes `features` numbers of the maps of a box.
        features: their number.
        classes: with background.
        overlap: u, the intersection over union from which on a box belongs to an object.
        units: of the shifts in x, y, width and height; a later stage sees smaller ones.
    """

    def __init__(
        self,
        head: nn.Module,
        features: int,
        classes: int,
        overlap: float,
        units: tuple[float, float, float, float],
    ) -> None:
        super().__init__()
        self.head = head
        self.cls_predictor, self.bbox_predictor = nn.Linear(features, classes), nn.Linear(features, 4)
        self.overlap, self._coder = overlap, BoxCoder(units)

    def replace_predictor(self, classes: int) -> None:
        """A new last layer for other classes, and one for their shifts."""
        features = self.cls_predictor.in_features
        self.cls_predictor, self.bbox_predictor = nn.Linear(features, classes), nn.Linear(features, 4)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(n, classes)` and shifts `(n, 4)` of the maps `(n, c, y, x)` of boxes."""
        features = self.head(maps)
        return self.cls_predictor(features), self.bbox_predictor(features)

    def match(self, boxes: Tensor, target: Target) -> Matched:
        """Boxes `(n, 4)` of an image and its objects: a box overlapping one by at least u is to become it."""
        if not len(target["boxes"]):
            nothing = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
            return Matched(nothing, nothing, torch.zeros_like(boxes))
        overlaps, objects = box_iou(target["boxes"], boxes).max(dim=0)
        labels = torch.where(overlaps >= self.overlap, target["labels"][objects], 0)
        shifts = self._coder.encode_single(target["boxes"][objects].to(boxes), boxes)
        return Matched(objects, labels, shifts)

    @torch.no_grad()
    def refine(self, boxes: Sequence[Tensor], shifts: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
        """The boxes of each image, moved, and cut off at its border.

        Args:
            boxes: of each image `(n, 4)`, x0 y0 x1 y1 in pixels.
            shifts: `(N, 4)` of all of them, in the stage's units.
            sizes: of the images, height and width.
        """
        counts = [len(each) for each in boxes]
        moved = self._coder.decode_single(shifts.detach(), torch.cat([*boxes])).split(counts)
        return [clip_boxes_to_image(each, size) for each, size in zip(moved, sizes, strict=True)]


class CascadeHeads(RoIHeads):
    """Mask R-CNN's heads with stages h_1 .. h_T for the boxes, and masks of what comes out.

        training   b_1 = sampled proposals
                   b_t+1 = f_t(b_t), matched with the objects at u_t+1 > u_t; nothing is sampled again
                   L = sum_t L_cls(h_t(b_t)) + [y >= 1] L_loc(f_t(b_t)),  and L_mask on b_1
        inference  boxes b_T+1, their classes by the mean over t of h_t(b_T)

    Args:
        plain: `RoIHeads` to take pooling, sampling, masks and thresholds of.
        heads: of the stages, each with as many features.
        features: that a head makes.
        classes: with background.

    Attributes:
        stages: the stages.

    Source: Cai and Vasconcelos, "Cascade R-CNN: delving into high quality object detection", CVPR 2018.
    """

    def __init__(self, plain: nn.Module, heads: Sequence[nn.Module], features: int, classes: int) -> None:
        of: Any = plain
        sampler = of.fg_bg_sampler
        super().__init__(
            of.box_roi_pool, None, None, OVERLAPS[0], OVERLAPS[0], sampler.batch_size_per_image,
            sampler.positive_fraction, _UNITS[0], of.score_thresh, of.nms_thresh, of.detections_per_img,
            of.mask_roi_pool, of.mask_head, of.mask_predictor,
        )  # fmt: skip
        self.stages = nn.ModuleList(
            CascadeStage(head, features, classes, overlap, units)
            for head, overlap, units in zip(heads, OVERLAPS, _UNITS, strict=True)
        )

    @property
    def in_order(self) -> list[CascadeStage]:
        """The stages, the first first."""
        return [cast(CascadeStage, each) for each in self.stages]

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[Size],
        targets: list[Target] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Detections of each image, or when training the losses, named by the stages.

        Args:
            features: maps `(b, c, y, x)` by their level.
            proposals: of each image `(n, 4)`, x0 y0 x1 y1 in pixels.
            image_shapes: height and width of each image.
            targets: of each image `boxes` `(m, 4)`, `labels` `(m,)` and `masks` `(m, y, x)`.
        """
        if targets is not None and self.training:
            return [], self._losses(features, proposals, image_shapes, targets)
        return self._detections(features, proposals, image_shapes), {}

    def _losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[Size],
        targets: list[Target],
    ) -> dict[str, Tensor]:
        boxes, *_ = self.select_training_samples(proposals, targets)
        sampled, losses = boxes, dict[str, Tensor]()
        for number, stage in enumerate(self.in_order, start=1):
            goals = [stage.match(own, target) for own, target in zip(boxes, targets, strict=True)]
            logits, shifts = stage(self.box_roi_pool(features, boxes, sizes))
            losses[f"loss_classifier_{number}"], losses[f"loss_box_reg_{number}"] = fastrcnn_loss(
                logits,
                shifts.repeat(1, logits.shape[1]),  # the same for all classes
                [each.labels for each in goals],
                [each.shifts for each in goals],
            )
            boxes = stage.refine(boxes, shifts, sizes)
        return {**losses, "loss_mask": self._mask_loss(features, sampled, sizes, targets)}

    def _mask_loss(
        self, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[Size], targets: list[Target]
    ) -> Tensor:
        """Of the sampled proposals that overlap an object."""
        goals = [self.in_order[0].match(own, target) for own, target in zip(boxes, targets, strict=True)]
        inside = [own[goal.labels > 0] for own, goal in zip(boxes, goals, strict=True)]
        return maskrcnn_loss(
            self._masks(features, inside, sizes),
            inside,
            [target["masks"] for target in targets],
            [target["labels"] for target in targets],
            [goal.objects[goal.labels > 0] for goal in goals],
        )

    def _detections(
        self, features: dict[str, Tensor], proposals: list[Tensor], sizes: list[Size]
    ) -> list[dict[str, Tensor]]:
        boxes, stages = proposals, self.in_order
        for stage in stages[:-1]:
            boxes = stage.refine(boxes, stage(self.box_roi_pool(features, boxes, sizes))[1], sizes)
        maps = self.box_roi_pool(features, boxes, sizes)
        told = [stage(maps) for stage in stages]
        scores = torch.stack([logits.softmax(1) for logits, _ in told]).mean(0)
        boxes = stages[-1].refine(boxes, told[-1][1], sizes)
        unmoved = scores.new_zeros((len(scores), 4 * scores.shape[1]))
        found = self.postprocess_detections(scores.log(), unmoved, boxes, sizes)
        result = [
            {"boxes": own, "scores": score, "labels": label} for own, score, label in zip(*found, strict=True)
        ]
        masks = self._masks(features, [each["boxes"] for each in result], sizes)
        for each, own in zip(
            result, maskrcnn_inference(masks, [each["labels"] for each in result]), strict=True
        ):
            each["masks"] = own
        return result

    def _masks(self, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[Size]) -> Tensor:
        """Logits `(n, classes, 28, 28)` in the frames of the boxes."""
        heads: Any = self
        return heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, boxes, sizes)))
