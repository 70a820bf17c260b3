"""Labels that are scattered over a volume: what is cut, drawn, and taught of them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from morula.core.affinities import NEAREST
from morula.core.errors import DataError, UsageError
from morula.core.rng import Rng
from morula.core.types import Record, Voxel
from morula.data import load_block
from morula.recipes.mscon.config import MsconConfig
from morula.tasks.neurons import Block, Crops, Dense, Finetune, Network, Part, Problem, grey, prepare
from morula.tasks.neurons.learn import problem_of
from morula.workflows.neurons import survey_neurons, why_neurons

CUBE = Voxel(z=10, y=10, x=10)
CORNERS = (slice(0, 16), slice(0, 24), slice(0, 24)), (slice(32, 48), slice(72, 96), slice(72, 96))


def block_of(first: int) -> np.ndarray:
    """Neurons side by side along x with membranes between them, all as deep as the block."""
    labels = np.repeat(np.arange(first, first + 4), 6)
    labels[5::6] = 0
    return np.broadcast_to(labels, (16, 24, 24)).astype(np.uint16)


@pytest.fixture
def corners(tmp_path: Path) -> Record:
    """A volume with a dense block in each of two opposite corners, 4 % of it."""
    rng = np.random.default_rng(0)
    labels = np.zeros((48, 96, 96), np.uint16)
    for number, corner in enumerate(CORNERS):
        labels[corner] = block_of(1 + 4 * number)
    tifffile.imwrite(tmp_path / "raw.tif", rng.integers(0, 255, labels.shape, dtype=np.uint8))
    tifffile.imwrite(tmp_path / "ids.tif", labels, photometric="minisblack")
    return load_block(tmp_path / "raw.tif", tmp_path / "ids.tif", voxel=CUBE)


def test_the_plan_says_what_is_labelled(corners: Record) -> None:
    reasons, doubts = why_neurons(corners, survey_neurons(corners, None), "mscon", MsconConfig(), asked=True)
    assert "8 neurons, 3.47% of the voxels" in reasons[0]
    (z, y, x) = corners.box or ()
    place = f"z {z.start}:{z.stop}, y {y.start}:{y.stop}, x {x.start}:{x.stop}"
    assert f"A block of the volume is labelled ({place})" in reasons[0]
    assert any("96% of the box" in each for each in doubts)


def test_two_blocks_are_cut_where_most_of_the_labels_lie_before(corners: Record) -> None:
    block = prepare(corners, grey(corners.image), 0.25)
    assert block.train.box == (slice(0, 48), slice(0, 84), slice(0, 95))
    assert block.validation.box == (slice(32, 48), slice(84, 96), slice(72, 95))
    assert (block.validation.labels >= 0).all()
    assert np.unique(block.validation.labels).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match=r"48 x 96 x 95 voxels, most of them without a label.*label at least"):
        prepare(corners, grey(corners.image), 0.1)


def test_crops_are_drawn_where_labels_are_and_teach_no_other_border(corners: Record) -> None:
    known = prepare(corners, grey(corners.image), 0.25).known
    settings = Finetune(crop=(16, 16, 16), batch=8, augment="flips", widen="no")
    crops = Crops([known], NEAREST, settings, Rng(0, "crops"), isotropic=True)
    batch = crops(0)
    assert known.scattered
    assert (batch.known.flatten(1).sum(1) > 0).all()
    share = float((batch.target * batch.known).sum() / batch.known.sum())
    assert share > 0.7


def test_self_found_neurons_teach_between_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = import_module("morula.tasks.neurons.learn")
    given: list[Any] = []
    monkeypatch.setattr(module, "finetuned", lambda *args, **more: given.append((args[2], more["chances"])))
    truth = np.full((8, 8, 8), -1, np.int32)
    truth[:2] = truth[6:] = 7
    image = np.zeros((16, 8, 8), np.float32)
    train = Part((slice(4, 12), slice(0, 8), slice(0, 8)), truth)
    problem = Problem("a", Block(image, train, train), True, (), Network())
    found = Dense(image[5:], np.full((11, 8, 8), 5, np.int32), (5, 0, 0))
    module._finetuned(None, None, problem, problem.block, None, Finetune(), [found])
    (((_, replayed), chances),) = given
    assert not replayed.scattered
    assert replayed.labels[:, 0, 0].tolist() == [-1] + [5] * 4 + [-1] * 2 + [5] * 4
    assert chances == pytest.approx([0.5, 0.5])


def test_shares_of_scattered_labels_are_refused(corners: Record) -> None:
    problem_of([corners], Network(), Finetune())
    with pytest.raises(UsageError, match=r"finetune\.budgets: labels are scattered"):
        problem_of([corners], Network(), Finetune(budgets=(0.5,)))
