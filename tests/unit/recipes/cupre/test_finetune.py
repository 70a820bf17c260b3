"""What a mean teacher teaches, and that it goes on where it was stopped."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from morula.core.config import override
from morula.core.rng import Rng
from morula.engine import Run, launch, seeded
from morula.recipes.cupre.batches import Example
from morula.recipes.cupre.paper import finetune as module
from morula.recipes.cupre.paper.amt2 import detector_of
from morula.recipes.cupre.paper.config import PaperConfig, paper_small
from morula.recipes.cupre.paper.finetune import Taught, finetune, teach, weak_crops
from morula.recipes.cupre.paper.images import Scenes, cell_example
from synthetic import field

SMALL = {
    "steps": 3,
    "batch": 1,
    "crop": 64,
    "detections": 20,
    "regions": 16,
    "taught": 2,
    "objective": "none",
}
CONFIG: PaperConfig = override(paper_small(), SMALL)


def example(seed: int, *, labelled: bool) -> Example:
    image, labels = field(seed, size=96, count=8)
    return cell_example("H&E", image, labels if labelled else np.zeros_like(labels))


class Finds(nn.Module):
    """A detector that finds the same two squares in every crop: a certain one, and one that it doubts."""

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        boxes = torch.tensor([[4.0, 8.0, 24.0, 28.0], [40.0, 40.0, 60.0, 60.0]])
        found = {"boxes": boxes, "scores": torch.tensor([0.9, 0.4]), "masks": torch.ones(2, 1, 28, 28)}
        return [found] * len(images)


def test_the_student_learns_what_the_teacher_is_certain_of_in_the_varied_crop() -> None:
    weak, strong = torch.zeros(3, 64, 64), torch.ones(3, 64, 64)
    scenes = teach(Finds(), Taught([weak, weak], [strong, strong]), 0.7, torch.device("cpu"))
    assert [each.tolist() for each in scenes.targets[1]["boxes"]] == [[4, 8, 24, 28]]
    assert int(scenes.targets[0]["masks"].sum()) == 400
    assert all(torch.equal(image, strong) for image in scenes.images)
    both = teach(Finds(), Taught([weak], [strong]), 0.3, torch.device("cpu"))
    assert len(both.targets[0]["boxes"]) == 2
    none = teach(Finds(), Taught([weak], [strong]), 0.95, torch.device("cpu"))
    assert none.targets[0]["boxes"].shape == (0, 4) and none.targets[0]["masks"].shape == (0, 64, 64)


def test_a_crop_is_shown_as_it_is_and_varied() -> None:
    crops = weak_crops([example(0, labelled=False)], Rng(0), 3, 2, 64)
    assert [each.shape for each in crops.weak] == [(3, 64, 64)] * 2
    assert not torch.equal(crops.weak[0], crops.strong[0])
    one, other = (each[0].flatten().numpy() for each in crops)
    assert np.corrcoef(one, other)[0, 1] > 0.8
    again = weak_crops([example(0, labelled=False)], Rng(0), 3, 2, 64)
    assert torch.equal(crops.strong[1], again.strong[1])


def tuned(path: Path, others: int, *, stop_at: int | None = None, **changes: Any) -> dict[str, Tensor]:
    config = override(CONFIG, changes)
    fabric = launch("cpu", "32-true")
    run = Run.open(
        path, recipe="cupre", config=config.model_dump(mode="json"), data={}, seed=0, fabric=fabric
    )
    with seeded(Rng(7)):
        network = detector_of(config)
    made, steps = module.detection_loss, count()

    def interrupted(*arguments: Any) -> Tensor:
        if next(steps) == stop_at:
            raise KeyboardInterrupt
        return made(*arguments)

    ticks = iter(range(0, 6000, 20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "detection_loss", interrupted)
        patch.setattr("morula.engine.loop.time", SimpleNamespace(monotonic=lambda: next(ticks)))
        unlabelled = [example(seed, labelled=False) for seed in range(1, others + 1)]
        finetune(run, network, [example(0, labelled=True)], unlabelled, config)
    return network.state_dict()


def test_a_stopped_fine_tuning_goes_on_with_student_and_teacher(tmp_path: Path) -> None:
    whole = tuned(tmp_path / "whole", 2)
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path / "stopped", 2, stop_at=2)
    assert list((tmp_path / "stopped").glob("*/state.pt"))
    resumed = tuned(tmp_path / "stopped", 2)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def test_what_is_kept_is_the_teacher_and_it_learned_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    made = module.detection_loss

    def watched(network: nn.Module, scenes: Scenes, device: torch.device) -> Tensor:
        seen.append(len(scenes.images))
        return made(network, scenes, device)

    monkeypatch.setattr(module, "detection_loss", watched)
    taught = tuned(tmp_path / "taught", 2)
    assert seen == [1, 3, 3]
    alone = tuned(tmp_path / "alone", 2, taught=0)
    assert seen[3:] == [1] * 3
    name = "roi_heads.box_predictor.cls_score.weight"
    assert not torch.equal(taught[name], alone[name])
