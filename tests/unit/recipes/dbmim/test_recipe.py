from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from morula.core.config import override
from morula.core.errors import DataError, UsageError
from morula.core.rng import Rng
from morula.engine import Run, launch, read_metrics
from morula.recipes.dbmim.config import DbmimConfig, Pretrain
from morula.recipes.dbmim.recipe import Crops, presets, pretrain
from morula.tasks.neurons import Network, Unlabelled, optimiser_of
from synthetic import neurites


def volumes(*, isotropic: bool = True) -> Unlabelled:
    image, _ = neurites(0)
    return Unlabelled((image.astype(np.float32) / 255,), isotropic, Network(widths=(4, 8)))


def test_the_presets_of_masks_differ_in_the_mask_alone() -> None:
    named = presets()
    masks = {"random": "random", "block": "block", "rl": "learned", "strategy": "strategy"}
    plain = override(named["best"], {"self_training": {"steps": 0}})
    for name, mask in masks.items():
        assert named[name] == override(plain, {"preset": name, "pretrain": {"mask": mask}})
    assert (named["mae"].pretrain.mask, named["mae"].pretrain.hog) == ("random", 0)


def test_the_preset_of_the_paper_rewards_as_published() -> None:
    named = presets()
    assert (named["paper"].pretrain.mask, named["paper"].pretrain.credit) == ("learned", "sample")
    assert named["rl"].pretrain.credit == "patch"


def test_the_preset_of_the_paper_has_the_weights_and_the_optimiser_of_the_public_code() -> None:
    paper = presets()["paper"]
    assert (paper.pretrain.voxels, paper.pretrain.hog) == (0.1, 1.0)
    (group,) = optimiser_of(nn.Linear(1, 1), paper.finetune.optimiser, paper.finetune.lr).param_groups
    assert [group[key] for key in ("lr", "eps", "weight_decay", "amsgrad")] == [1e-4, 1e-8, 0, False]


@pytest.mark.parametrize("mask", ["random", "block", "edge", "learned", "strategy"])
def test_every_mask_pre_trains_and_hides_the_ratio(mask: str, tmp_path: Path) -> None:
    short = {"mask": mask, "steps": 3, "batch": 1, "crop": [16, 32, 32]}
    config = override(DbmimConfig(), {"pretrain": short})
    run = Run.open(tmp_path / "run", recipe="dbmim", config={}, data={}, seed=0, fabric=launch("cpu"))
    found = pretrain(run, volumes(), config)
    assert found is not None and found.tensors
    curves = read_metrics(tmp_path / "run" / "1-pretrain" / "metrics.jsonl")
    assert {"loss", "voxels", "hog"} <= set(curves)
    assert ("policy" in curves) == (mask in {"learned", "strategy"})


def test_a_batch_depends_on_its_index_alone_and_its_masks_hold_the_ratio() -> None:
    settings = Pretrain(crop=(16, 32, 32), ratio=0.75, batch=2)
    crops = Crops(volumes(), settings, Rng(0, "crops"))
    first, again = crops(5), crops(5)
    assert first.image.equal(again.image)
    assert first.mask.equal(again.mask)
    assert not first.image.equal(crops(6).image)
    assert first.mask.float().mean(dim=(1, 2, 3)).tolist() == [0.75, 0.75]


@pytest.mark.parametrize(("isotropic", "patch"), [(True, (8, 8, 8)), (False, (4, 16, 16))])
def test_patches_have_the_shape_of_the_voxels(isotropic: bool, patch: tuple[int, int, int]) -> None:
    assert Crops(volumes(isotropic=isotropic), Pretrain(), Rng(0, "crops")).patch == patch


@pytest.mark.parametrize("patch", [(4, 12, 12), (3, 6, 12), (5, 4, 6)])
def test_patches_of_any_size_are_hidden_and_restored(patch: tuple[int, int, int], tmp_path: Path) -> None:
    short = {"patch": patch, "steps": 2, "batch": 2, "crop": [24, 24, 24]}
    config = override(DbmimConfig(), {"pretrain": short})
    run = Run.open(tmp_path / "run", recipe="dbmim", config={}, data={}, seed=0, fabric=launch("cpu"))
    found = pretrain(run, volumes(), config)
    assert found is not None and found.tensors


@pytest.mark.parametrize(
    "changes",
    [
        {"pretrain": {"patch": [0, 8, 8]}},
        {"pretrain": {"crop": [8, 0, 8]}},
        {"finetune": {"crop": [0, 8, 8]}},
        {"decode": {"tile": [8, 8, 0]}},
        {"network": {"widths": [8]}},
        {"network": {"widths": [8, 0]}},
        {"network": {"mala_widths": [8]}},
    ],
)
def test_sizes_that_no_network_has_are_refused(changes: dict) -> None:
    with pytest.raises(UsageError, match=r"--set \w+\.\w+"):
        override(DbmimConfig(), changes)


def test_a_volume_of_one_patch_is_refused() -> None:
    with pytest.raises(DataError, match="hold 1 x 1 x 1 patches"):
        Crops(volumes(), Pretrain(patch=(16, 16, 16), crop=(16, 16, 16)), Rng(0, "crops"))
