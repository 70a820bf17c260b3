"""Eight looks at an image see a turned image as the turned image."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
import torch
from torch import Tensor, nn

from morula.core.types import Axes, Volume
from morula.recipes.cupre.paper.detect import PaperPredictor, detect, detect_turned

CPU = torch.device("cpu")


class Leaning(nn.Module):
    """Finds what is bright, a pixel too far to the right, with masks that fade downwards.

    It is more certain of what lies high: no look is like another.
    """

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        (image,) = images
        labels, _ = ndi.label(image[0].numpy() > 0)
        boxes = [[x.start + 1, y.start, x.stop + 1, y.stop] for y, x in ndi.find_objects(labels)]
        scores = [0.9 - 0.6 * box[1] / image.shape[1] for box in boxes]
        mask = torch.linspace(1.0, 0.55, 28)[:, None].expand(28, 28)
        return [{
            "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "scores": torch.tensor(scores), "masks": mask.expand(len(boxes), 1, 28, 28),
        }]  # fmt: skip


def image() -> np.ndarray:
    """Boxes of different sizes, nowhere symmetric."""
    grey = -np.ones((80, 100), np.float32)
    for y, x, height, width in ((5, 8, 12, 20), (30, 50, 22, 14), (55, 15, 9, 11), (60, 80, 13, 12)):
        grey[y : y + height, x : x + width] = 1
    return np.stack([grey] * 3)


def turns() -> list[tuple[int, bool]]:
    return [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]


def turn(array: np.ndarray, quarters: int, mirrored: bool) -> np.ndarray:
    return np.rot90(array[..., ::-1] if mirrored else array, quarters, axes=(-2, -1))


def segmented(pixels: np.ndarray, *, augment: bool) -> np.ndarray:
    volume = Volume(np.ascontiguousarray(pixels), Axes("cyx"), "image", channels=("red", "green", "blue"))
    return PaperPredictor(Leaning(), CPU, augment=augment)(volume).labels


def test_objects_of_a_turned_image_are_the_turned_objects() -> None:
    found = segmented(image(), augment=True)
    assert found.max() == 4
    differ = 0
    for quarters, mirrored in turns():
        view = turn(image(), quarters, mirrored)
        expected = turn(found, quarters, mirrored)
        again = segmented(view, augment=True)
        pairs = np.unique(np.stack([expected.ravel(), again.ravel()]), axis=1)
        assert pairs.shape[1] == 5  # numbers may differ, pixels may not
        single = turn(segmented(image(), augment=False), quarters, mirrored)
        differ += not np.array_equal(single > 0, segmented(view, augment=False) > 0)
    assert differ == 6  # one look alone is not like that, but for upside down, where it errs alike


def test_the_mean_of_looks_that_err_to_all_sides_errs_to_none() -> None:
    found = detect_turned(Leaning(), image(), CPU)
    truth = [[8, 5, 28, 17], [50, 30, 64, 52], [15, 55, 26, 64], [80, 60, 92, 73]]
    assert sorted(np.round(found.boxes, 3).tolist()) == sorted(truth)
    assert found.masks.shape == (4, 28, 28) and np.ptp(found.masks[:, 3:-3, 3:-3]) < 0.15
    assert (np.diff(found.scores) <= 0).all()
    single = detect(Leaning(), image(), CPU)
    assert sorted(single.boxes.tolist()) == sorted([x0 + 1, y0, x1 + 1, y1] for x0, y0, x1, y1 in truth)


class Once(nn.Module):
    """Finds an object when it is asked for the first time."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self._scores = [score]

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        scores, self._scores = self._scores, []
        box, mask = torch.tensor([4.0, 4.0, 20.0, 20.0]), torch.ones(1, 28, 28)
        found = {"boxes": box.expand(len(scores), 4), "masks": mask.expand(len(scores), 1, 28, 28)}
        return [{**found, "scores": torch.tensor(scores)}]


def test_what_few_looks_are_certain_of_is_dropped() -> None:
    assert len(detect_turned(Once(0.3), image(), CPU).boxes) == 0
    assert detect_turned(Once(0.8), image(), CPU).scores.tolist() == pytest.approx([0.1])


def test_an_image_without_objects_has_none() -> None:
    assert len(detect_turned(Leaning(), -image() * 0 - 1, CPU).boxes) == 0
