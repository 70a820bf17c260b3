"""What each step of the pre-training changes, and what it must leave as it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from morula.core.config import override
from morula.core.errors import DataError, UsageError
from morula.core.rng import Rng
from morula.engine import Run, launch, seeded
from morula.nets import DomainNorm2d
from morula.recipes.cupre.paper import pretrain as module
from morula.recipes.cupre.paper.amt2 import CELLS, NATURAL, Amt2, detector_of
from morula.recipes.cupre.paper.config import PaperConfig, paper_small
from morula.recipes.cupre.paper.images import NaturalImages, Scenes, normalised, targets_of
from morula.recipes.cupre.paper.views import Views, two_views
from synthetic import field, save_natural

SMALL = {
    "iterations": 3, "views": 4, "view": 32, "parts": 2, "queue": 10, "dim": 8, "natural_batch": 1,
    "natural_crop": 64, "momentum": 0.9, "steps": 3, "batch": 1, "crop": 64, "detections": 20, "regions": 16,
    "width": 16,
}  # fmt: skip
CONFIG: PaperConfig = override(paper_small(), SMALL)


def views(index: int) -> Views:
    cells = [normalised(field(seed, size=96, count=8)[0]) for seed in range(3)]
    return two_views(cells, Rng(0, "views"), index, batch=4, size=32)


def scenes() -> Scenes:
    labels = np.zeros((64, 64), np.int32)
    labels[5:30, 5:30], labels[35:60, 20:50] = 1, 2
    image = np.where(labels, 1.0, -1.0).astype(np.float32)
    return Scenes([torch.from_numpy(np.stack([image] * 3))], [targets_of(labels, np.array([0, 1, 2]))])


@pytest.fixture
def amt2() -> Amt2:
    with seeded(Rng(3)):
        return Amt2(launch("cpu", "32-true"), CONFIG, detector_of(CONFIG, 3), Rng(0, "queue"))


def copied(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: torch.nn.Module) -> set[str]:
    after = module.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def statistics(network: torch.nn.Module, domain: int) -> Tensor:
    norms = [module for module in network.modules() if isinstance(module, DomainNorm2d)]
    return torch.cat([torch.cat([each.running_mean[domain], each.running_var[domain]]) for each in norms])


def test_step_a_changes_backbone_and_projection_and_leaves_neck_and_heads(amt2: Amt2) -> None:
    with seeded(Rng(4)):
        amt2.step_b(scenes(), 0.01)  # so that the optimiser of step B has momentum that could leak
        network, projection = copied(amt2.network), copied(amt2.encoder.projection)
        other = statistics(amt2.network, NATURAL)
        amt2.step_a(views(0), 0.1)
    names = changed(network, amt2.network)
    assert names and all(name.startswith("backbone.body.") for name in names)
    assert "backbone.body.conv1.weight" in names
    assert changed(projection, amt2.encoder.projection)
    assert torch.equal(statistics(amt2.network, NATURAL), other)


def test_step_b_changes_the_whole_detector_and_leaves_the_projection(amt2: Amt2) -> None:
    with seeded(Rng(4)):
        amt2.step_a(views(0), 0.1)
        network, projection, keys = copied(amt2.network), copied(amt2.encoder.projection), copied(amt2.keys)
        queue, other = copied(amt2.queue), statistics(amt2.network, CELLS)
        amt2.step_b(scenes(), 0.01)
    names = changed(network, amt2.network)
    for part in ("backbone.body.", "backbone.fpn.", "rpn.", "roi_heads."):
        assert any(name.startswith(part) for name in names), part
    assert not changed(projection, amt2.encoder.projection)
    assert not changed(keys, amt2.keys) and not changed(queue, amt2.queue)
    assert torch.equal(statistics(amt2.network, CELLS), other)


def test_the_sum_takes_the_gradients_of_both_losses_in_one_step(amt2: Amt2) -> None:
    """Weights move by the learning rate times the sum of the gradients, as long as nothing is clipped."""
    seen, there = views(0), scenes()
    with seeded(Rng(4)):
        contrast, _ = amt2._contrast_loss(seen)
        detect = amt2._detection_loss(there)
        shared = amt2.encoder.body.conv1.weight
        parts = [torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in (contrast, detect)]
    assert all(float(part.abs().max()) > 0 for part in parts)
    before = shared.detach().clone()
    network, projection = copied(amt2.network), copied(amt2.encoder.projection)
    with seeded(Rng(4)), pytest.MonkeyPatch.context() as patch:
        patch.setattr("morula.recipes.cupre.paper.amt2._CLIP", 0.0)
        amt2.step_sum(seen, there, 0.01)
    step = parts[0] + parts[1] + 1e-4 * before
    torch.testing.assert_close(shared.detach(), before - 0.01 * step, rtol=1e-4, atol=1e-6)
    names = changed(network, amt2.network)
    for part in ("backbone.body.", "backbone.fpn.", "rpn.", "roi_heads."):
        assert any(name.startswith(part) for name in names), part
    assert changed(projection, amt2.encoder.projection)
    assert int(amt2.queue.place) == 4


def test_keys_get_no_gradient_and_follow_both_steps(amt2: Amt2) -> None:
    with seeded(Rng(4)):
        amt2.step_b(scenes(), 0.01)
        before = copied(amt2.keys)
        amt2.step_a(views(0), 0.1)
    assert all(p.grad is None and not p.requires_grad for p in amt2.keys.parameters())
    assert "encoder.body.conv1.weight" in changed(before, amt2.keys)
    assert not amt2.queue.keys.requires_grad


def test_the_queue_wraps_and_knows_the_images(amt2: Amt2) -> None:
    seen = [views(index) for index in range(3)]
    with seeded(Rng(4)):
        for each in seen:
            amt2.step_a(each, 0.01)
    assert int(amt2.queue.place) == 3 * 4 % 10
    expected = torch.cat([each.images for each in seen])
    assert amt2.queue.images.tolist() == [*expected[10:].tolist(), *expected[2:10].tolist()]
    assert bool((amt2.queue.same(torch.tensor([int(expected[5])])).sum() >= 1).item())


def test_crops_of_the_same_image_are_no_negatives(amt2: Amt2) -> None:
    """With a queue of the query's own image alone nothing is left to tell it from: the loss is 0."""
    amt2.queue.images.fill_(1)
    seen = views(0)
    with seeded(Rng(4)):
        loss = amt2.step_a(seen._replace(images=torch.ones(4, dtype=torch.long)), 0.0)
    assert float(loss) == 0.0


# --- the whole training


def pretrained(
    path: Path, natural: Path | None, stop_at: int | None = None, objective: str = "amt2"
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """All that changes while training, and how often each step was taken."""
    config = override(CONFIG, {"natural": str(natural or ""), "objective": objective})
    run = Run.open(
        path, recipe="cupre", config=config.model_dump(mode="json"), data={}, seed=0,
        fabric=launch("cpu", "32-true"),
    )  # fmt: skip
    cells = [normalised(field(seed, size=96, count=8)[0]) for seed in range(2)]
    made: list[Amt2] = []
    steps = {"A": 0, "B": 0, "A+B": 0}

    class Watched(Amt2):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

        def step_a(self, views: Views, lr: float) -> Tensor:
            if self.state.step == stop_at:
                raise KeyboardInterrupt
            steps["A"] += 1
            return super().step_a(views, lr)

        def step_b(self, scenes: Scenes, lr: float) -> Tensor:
            steps["B"] += 1
            return super().step_b(scenes, lr)

        def step_sum(self, views: Views, scenes: Scenes, lr: float) -> tuple[Tensor, Tensor]:
            steps["A+B"] += 1
            return super().step_sum(views, scenes, lr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Amt2", Watched)
        ticks = iter(range(0, 6000, 20))
        patch.setattr("morula.engine.loop.time", SimpleNamespace(monotonic=lambda: next(ticks)))
        module.pretrain(run, cells, config)
    saved = made[0].state.state_dict()["parts"]
    flat: dict[str, Tensor] = {}

    def collect(name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            flat[name] = value
        elif isinstance(value, dict):
            for key, each in value.items():
                collect(f"{name}.{key}", each)

    collect("", saved)
    return flat, steps


def test_a_stopped_pretraining_goes_on_with_queue_averages_and_both_optimisers(tmp_path: Path) -> None:
    natural = save_natural(tmp_path / "natural")
    whole, _ = pretrained(tmp_path / "whole", natural)
    with pytest.raises(KeyboardInterrupt):
        pretrained(tmp_path / "stopped", natural, stop_at=2)
    assert list((tmp_path / "stopped").glob("*/state.pt"))
    resumed, _ = pretrained(tmp_path / "stopped", natural)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    for part in ("network", "projection", "keys", "queue", "contrast", "detect"):
        assert any(name.startswith(f".{part}.") for name in whole), part
    assert any("momentum_buffer" in name for name in whole if name.startswith(".detect."))


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("amt2", {"A": 3, "B": 3, "A+B": 0}),
        ("contrast", {"A": 3, "B": 0, "A+B": 0}),
        ("detect", {"A": 0, "B": 3, "A+B": 0}),
        ("sequence", {"A": 2, "B": 1, "A+B": 0}),
        ("sum", {"A": 0, "B": 0, "A+B": 3}),
        ("none", {"A": 0, "B": 0, "A+B": 0}),
    ],
)
def test_an_objective_takes_its_steps_and_no_others(
    objective: str, expected: dict[str, int], tmp_path: Path
) -> None:
    _, steps = pretrained(tmp_path / "run", save_natural(tmp_path / "natural"), objective=objective)
    assert steps == expected


def test_the_halves_of_a_sequence_have_schedules_of_their_own() -> None:
    config = override(CONFIG, {"objective": "sequence", "natural": "coco.json", "iterations": 5})
    turns = [module.turn_of(config, each) for each in range(5)]
    assert turns == [("B", 0, 2), ("B", 1, 2), ("A", 0, 3), ("A", 1, 3), ("A", 2, 3)]


@pytest.mark.parametrize("objective", ["detect", "sequence", "sum"])
def test_what_learns_from_natural_images_is_refused_without_them(objective: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--natural"):
        pretrained(tmp_path, None, objective=objective)


def test_categories_become_classes_and_objects_keep_their_boxes(tmp_path: Path) -> None:
    images = NaturalImages(save_natural(tmp_path))
    assert images.categories == [3, 18] and len(images) == 2
    found = images.scenes(Rng(0), 0, batch=6, size=64)
    labels = torch.cat([target["labels"] for target in found.targets])
    assert set(labels.tolist()) == {1, 2}
    for image, target in zip(found.images, found.targets, strict=True):
        assert image.shape == (3, 64, 64) and abs(float(image.mean())) < 0.6
        for box, mask in zip(target["boxes"], target["masks"], strict=True):
            rows, columns = np.nonzero(mask.numpy())
            edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == edges


def test_natural_images_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = save_natural(tmp_path)
    (tmp_path / "images" / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png"):
        NaturalImages(path)
