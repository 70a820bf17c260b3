"""Stages that refine boxes: whom they match, what they hand on, and what comes out of them all."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from morula.core.rng import Rng
from morula.engine import seeded
from morula.nets import CascadeHeads, mask_rcnn, replace_predictors

SIZES = [(64, 64)]
CLASSES = 3


@pytest.fixture(scope="module")
def network() -> MaskRCNN:
    with seeded(Rng(0)):
        return mask_rcnn("resnet18", CLASSES, regions=16, width=16, detections=200, cascade=True)


@pytest.fixture
def heads(network: MaskRCNN) -> CascadeHeads:
    found = network.roi_heads
    assert isinstance(found, CascadeHeads)
    return found.train()


def features() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {str(level): torch.randn(1, 16, 16 >> level, 16 >> level, generator=draw) for level in range(4)}


def proposals() -> list[Tensor]:
    corners = 40 * torch.rand(12, 2, generator=torch.Generator().manual_seed(2))
    return [torch.cat([corners, corners + 16], dim=1)]


def target() -> dict[str, Tensor]:
    masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
    masks[0, 10:30, 10:30], masks[1, 40:60, 35:60] = 1, 1
    boxes = torch.tensor([[10.0, 10.0, 30.0, 30.0], [35.0, 40.0, 60.0, 60.0]])
    return {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks}


class Watched(torch.nn.Module):
    """Remembers what boxes were looked at."""

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.pool, self.boxes = pool, list[Tensor]()

    def forward(self, maps: Any, boxes: list[Tensor], sizes: Any) -> Tensor:
        self.boxes.append(boxes[0].clone())
        return self.pool(maps, boxes, sizes)


def watched(heads: CascadeHeads, patch: pytest.MonkeyPatch) -> tuple[Watched, list[tuple[Tensor, Tensor]]]:
    pool, told = Watched(heads.box_roi_pool), list[tuple[Tensor, Tensor]]()
    patch.setitem(heads._modules, "box_roi_pool", pool)
    for stage in heads.in_order:
        made = stage.head.forward

        def seen(maps: Tensor, made: Any = made, stage: Any = stage) -> Tensor:
            found = made(maps)
            told.append((stage.cls_predictor(found), stage.bbox_predictor(found)))
            return found

        patch.setattr(stage.head, "forward", seen)
    return pool, told


def test_a_later_stage_asks_for_more_overlap(heads: CascadeHeads) -> None:
    """Boxes of the same height that are 11, 13 and 15 of 20 pixels wide."""
    boxes = torch.tensor([[10.0, 10.0, 10.0 + width, 30.0] for width in (9, 11, 13, 15)])
    found = [stage.match(boxes, target()) for stage in heads.in_order]
    assert [each.labels.tolist() for each in found] == [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]
    assert all(each.objects.tolist() == [0] * 4 for each in found)
    for stage, each in zip(heads.in_order, found, strict=True):
        (moved,) = stage.refine([boxes], each.shifts, SIZES)
        torch.testing.assert_close(moved, target()["boxes"][[0] * 4])


def test_the_same_shift_is_more_units_in_a_later_stage(heads: CascadeHeads) -> None:
    boxes = torch.tensor([[12.0, 12.0, 30.0, 28.0]])
    first, second, third = (stage.match(boxes, target()).shifts for stage in heads.in_order)
    torch.testing.assert_close(second, 2 * first)
    torch.testing.assert_close(third, 3 * first)


def test_what_a_stage_makes_of_its_boxes_is_what_the_next_one_sees(
    heads: CascadeHeads, monkeypatch: pytest.MonkeyPatch
) -> None:
    for training in (True, False):
        heads.train(training)
        with pytest.MonkeyPatch.context() as patch, seeded(Rng(1)):
            pool, told = watched(heads, patch)
            heads(features(), proposals(), SIZES, [target()] if training else None)
        assert len(pool.boxes) == 3
        for number, stage in enumerate(heads.in_order[:-1]):
            (expected,) = stage.refine([pool.boxes[number]], told[number][1], SIZES)
            assert torch.equal(pool.boxes[number + 1], expected)
            assert not torch.equal(pool.boxes[number + 1], pool.boxes[number])


@torch.no_grad()
def test_scores_are_the_mean_over_the_stages_of_the_last_boxes(
    heads: CascadeHeads, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads.eval()
    for name, value in (("score_thresh", 0.0), ("nms_thresh", 1.0)):
        monkeypatch.setattr(heads, name, value)
    ((found,), losses) = heads(features(), proposals(), SIZES)
    boxes = proposals()
    for stage in heads.in_order[:-1]:
        boxes = stage.refine(boxes, stage(heads.box_roi_pool(features(), boxes, SIZES))[1], SIZES)
    expected: list[tuple[float, list[float], int]] = []
    for box in boxes[0]:
        maps = heads.box_roi_pool(features(), [box[None]], SIZES)
        told = [stage(maps) for stage in heads.in_order]
        (last,) = heads.in_order[-1].refine([box[None]], told[-1][1], SIZES)
        for label in range(1, CLASSES):
            score = sum(float(logits.softmax(1)[0, label]) for logits, _ in told) / 3
            expected.append((score, last[0].tolist(), label))
    expected.sort(key=lambda each: -each[0])
    assert losses == {}
    assert found["scores"].tolist() == pytest.approx([each[0] for each in expected], abs=1e-5)
    assert found["labels"].tolist() == [each[2] for each in expected]
    torch.testing.assert_close(found["boxes"], torch.tensor([each[1] for each in expected]))
    assert found["masks"].shape == (len(expected), 1, 28, 28)


def test_every_stage_learns(heads: CascadeHeads) -> None:
    def losses() -> dict[str, Tensor]:
        with seeded(Rng(1)):
            return heads(features(), proposals(), SIZES, [target()])[1]

    optimiser = torch.optim.SGD(heads.parameters(), lr=0.02)
    first = losses()
    names = {f"loss_{kind}_{number}" for kind in ("classifier", "box_reg") for number in (1, 2, 3)}
    assert first.keys() == names | {"loss_mask"}
    for _ in range(4):
        optimiser.zero_grad()
        torch.stack([*losses().values()]).sum().backward()
        optimiser.step()
    assert all(stage.bbox_predictor.weight.grad is not None for stage in heads.in_order)
    last = losses()
    for number in (1, 2, 3):
        assert last[f"loss_classifier_{number}"] < first[f"loss_classifier_{number}"]
    assert all(bool(torch.isfinite(each)) for each in (*first.values(), *last.values()))


def test_an_image_without_objects_has_losses_and_one_without_proposals_no_objects(
    heads: CascadeHeads,
) -> None:
    nothing = {name: value[:0] for name, value in target().items()}
    losses = heads(features(), proposals(), SIZES, [nothing])[1]
    assert all(bool(torch.isfinite(each)) for each in losses.values())
    found = heads.eval()(features(), [torch.zeros(0, 4)], SIZES)[0]
    assert found[0]["masks"].shape == (0, 1, 28, 28)


def test_other_classes_change_the_last_layers_of_all_stages_alone(network: MaskRCNN) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with seeded(Rng(2)):
        replace_predictors(network, 2)
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("predictor" in name for name in changed)
    assert [len(after[f"roi_heads.stages.{number}.cls_predictor.bias"]) for number in range(3)] == [2] * 3
    replace_predictors(network, CLASSES)
