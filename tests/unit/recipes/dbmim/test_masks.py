from __future__ import annotations

import numpy as np
import pytest
import torch

from morula.recipes.dbmim.masks import RANKS, Drawn, edge_scores, hidden
from morula.recipes.dbmim.targets import BINS, hide, hog, patch_errors, patch_features

GRID = (4, 5, 6)


def mask(policy: Drawn, ratio: float, seed: int = 0, edges: np.ndarray | None = None) -> np.ndarray:
    ranks = RANKS[policy](np.random.default_rng(seed), np.ones(GRID) if edges is None else edges)
    return hidden(ranks, ratio)


@pytest.mark.parametrize("policy", list(RANKS))
@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.75, 0.999])
def test_every_policy_keeps_the_ratio_and_differs_from_draw_to_draw(policy: Drawn, ratio: float) -> None:
    found = mask(policy, ratio)
    assert found.sum() == min(max(round(ratio * 120), 1), 119)
    assert np.array_equal(found, mask(policy, ratio))
    assert any(not np.array_equal(found, mask(policy, ratio, seed)) for seed in range(1, 9))


def test_edges_are_hidden_more_often_than_the_rest() -> None:
    edges = np.zeros(GRID)
    edges[:2] = 1
    share = np.mean([mask("edge", 0.5, seed, edges) for seed in range(40)], axis=0)
    assert share[:2].mean() > 0.7
    assert 0.1 < share[2:].mean() < 0.3


def test_blocks_hold_together_more_than_single_patches_do() -> None:
    def joined(policy: Drawn) -> float:
        masks = [mask(policy, 0.5, seed) for seed in range(20)]
        return float(np.mean([each[:, :, 1:] == each[:, :, :-1] for each in masks]))

    assert joined("block") > joined("random") + 0.1


def test_an_edge_is_scored_in_its_patch() -> None:
    crop = np.zeros((4, 8, 8))
    crop[:, 6:] = 1
    scores = edge_scores(crop, (4, 4, 4), (1.0, 1.0, 1.0))
    assert scores.shape == (1, 2, 2)
    assert scores[0].tolist() == [[0, 0], [2, 2]]


def test_what_is_hidden_is_gone_and_what_is_seen_is_left() -> None:
    volume = torch.rand(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    gone = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    gone[0, 1, 0, 1] = True
    found = hide(volume, gone, (2, 4, 4))
    assert torch.equal(found[1], volume[1])
    assert found[0, 0, 2:, :4, 4:].unique().numel() == 1
    changed = found != volume
    assert changed.sum() == changed[0, 0, 2:, :4, 4:].sum() == 2 * 4 * 4


@pytest.mark.parametrize(("turned", "strongest"), [(False, 0), (True, BINS // 2)])
def test_the_direction_of_an_edge_is_the_bin_that_is_highest(turned: bool, strongest: int) -> None:
    """Bin 0 is a gradient along x; one along y lies between the fourth and the fifth."""
    picture = torch.linspace(0, 1, 16).expand(16, 16)
    volume = (picture.T if turned else picture)[None, None, None]
    found = hog(volume, 8)
    assert found.shape == (1, BINS, 1, 2, 2)
    assert found.norm(dim=1).numpy() == pytest.approx(np.ones((1, 1, 2, 2)), abs=1e-3)
    assert int(found[0, :, 0, 0, 0].argmax()) == strongest


def test_errors_are_those_of_the_patch_and_of_no_other() -> None:
    volume = torch.rand(1, 1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    votes = hog(volume, 8).repeat_interleave(8, dim=3).repeat_interleave(8, dim=4)
    maps = torch.cat([volume, votes], dim=1)
    voxels, edges = patch_errors(maps, volume, (2, 8, 8), 8)
    assert voxels.shape == edges.shape == (1, 2, 2, 2)
    assert float(voxels.max()) == 0
    assert float(edges.max()) == pytest.approx(0, abs=1e-9)
    maps[0, :, 2:, 8:, :8] += 0.5
    for error in patch_errors(maps, volume, (2, 8, 8), 8):
        assert error[0, 1, 1, 0] == pytest.approx(0.25, abs=1e-5)
        assert float(error.sum()) == pytest.approx(0.25, abs=1e-5)


def test_features_are_of_each_patch_in_its_place() -> None:
    volume = torch.zeros(1, 1, 4, 8, 8)
    volume[0, 0, 2:, 4:, :4] = 1
    found = patch_features(volume, (2, 4, 4))
    assert found.shape == (1, 8, 66)
    assert found[0, :, 64].tolist() == [0, 0, 0, 0, 0, 0, 1, 0]
