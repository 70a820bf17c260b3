"""Blockwise is in memory: equal up to the numbers, whatever faces, edges and corners an object crosses."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blocks import files_of, same_partition
from morula.blockwise import (
    BlockGrid,
    InlineExecutor,
    StoredAffinities,
    Work,
    fragments_of,
    label_objects,
    overlap_by_blocks,
    segment,
)
from morula.blockwise.join import neighbours
from morula.core.affinities import Affinities
from morula.data.ome_zarr import scratch
from morula.metrics import (
    adapted_rand,
    instance_scores,
    iou,
    matching,
    neuron_scores,
    neuron_scores_of,
    overlap,
    variation_of_information,
)
from morula.metrics.matching import matching_of
from morula.post import agglomerate, clean, components, fragments, region_graph, relabel

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))
BLOCKS = st.tuples(st.integers(2, 4), st.integers(2, 4), st.integers(3, 5))
FEW = settings(max_examples=12, deadline=None)


def masks(shape):
    return arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.75, 1.0]))


@FEW
@given(SHAPES.flatmap(masks), BLOCKS, st.sampled_from([1, 3]), st.integers(0, 4))
def test_objects(probability, block, window, smallest):
    grid = BlockGrid(probability.shape, block, (0, 0, 0))
    found = np.zeros(probability.shape, np.uint32)
    with TemporaryDirectory() as folder:
        work = Work(Path(folder), {}, chunk=(1, 1, 1))
        told = label_objects(probability, found, grid, work, window=window, smallest=smallest)
    whole = components(clean(probability > 0.5, window=window, smallest=smallest))
    assert same_partition(found, whole)
    assert told.count == whole.max(initial=0) == found.max(initial=0)
    assert np.array_equal(told.volumes, np.bincount(found.ravel())[1:])


def numbered(probability, block, **cleaning):
    found = np.zeros(probability.shape, np.uint32)
    with TemporaryDirectory() as folder:
        grid = BlockGrid(probability.shape, block, (0, 0, 0))
        label_objects(probability, found, grid, Work(Path(folder), {}, chunk=(1, 1, 1)), **cleaning)
    return found


@pytest.mark.parametrize("step", neighbours(26))
def test_two_voxels_on_either_side_of_a_face_an_edge_or_a_corner_are_one(step):
    probability = np.zeros((4, 4, 4), np.float32)
    start = np.where(np.array(step) > 0, 1, 2)
    probability[tuple(start)] = probability[tuple(start + step)] = 1
    assert numbered(probability, (2, 2, 2)).max() == 1
    assert numbered(probability, (2, 2, 2), smallest=3).max() == 0


def test_a_hole_that_four_blocks_share_is_filled_and_an_open_one_is_not():
    probability = np.zeros((2, 8, 8), np.float32)
    probability[:, 1:7, 1:7] = 1
    probability[:, 3:5, 3:5] = 0
    probability[1, 4, 4:] = 0
    found = numbered(probability, (1, 4, 4))
    assert (found[0, 1:7, 1:7] == 1).all() and (found[1, 3:5, 3:5] == 0).all()


def voxels(affinities: Affinities):
    """Every voxel a fragment: there is nothing that blocks could cut otherwise."""
    return np.arange(1, np.prod(affinities.shape) + 1).reshape(affinities.shape)


def partition_at(threshold, graph):
    return agglomerate(graph).cut(threshold)


def exact(shape, channels, seed):
    """Affinities whose sums are exact in any order, and which do not tie."""
    return np.random.default_rng(seed).integers(0, 2**20, (channels, *shape)).astype(np.float32) / 2**20


OFFSETS = ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (-1, 1, 1), (0, -3, 0), (0, -2, 4))


@FEW
@given(
    SHAPES, BLOCKS, BLOCKS, st.integers(0, 2**32), st.sampled_from([0.3, 0.5, 0.7]), st.sampled_from([3, 6])
)
def test_threshold_agglomeration(shape, block, part, seed, threshold, channels):
    affinities = Affinities(exact(shape, channels, seed), OFFSETS[:channels])
    found = np.zeros(shape, np.uint32)
    cut = partial(partition_at, threshold)
    with TemporaryDirectory() as folder:
        work = Work(Path(folder), {}, chunk=(1, 1, 1))
        stored = StoredAffinities(affinities.values, affinities.offsets)
        grid = BlockGrid(shape, block, (0, 0, 0))
        lattice = BlockGrid(shape, part, (0, 0, 0))
        count = segment(stored, found, grid, work, fragments=voxels, lattice=lattice, partition=cut)
    own = voxels(affinities)
    whole = relabel(own, cut(region_graph(own, affinities)))
    assert same_partition(found, whole) and count == whole.max()


@FEW
@given(SHAPES, BLOCKS, BLOCKS, st.integers(0, 2**32))
def test_fragments_of_one_lattice_and_their_graph_do_not_depend_on_the_blocks(shape, block, part, seed):
    """Numbers of fragments, the merged graph with its histograms, and what is joined are those of memory."""
    values = exact(shape, 6, seed)
    graphs = []
    grid, lattice = BlockGrid(shape, block, (0, 0, 0)), BlockGrid(shape, part, (1, 2, 2))
    found = np.zeros(shape, np.uint32)

    def keep(graph):
        graphs.append(graph)
        return np.arange(graph.size + 1)

    with TemporaryDirectory() as folder:
        work = Work(Path(folder), {}, chunk=(1, 1, 1))
        flood = partial(fragments, per_section=False)
        segment(
            StoredAffinities(values, OFFSETS),
            found,
            grid,
            work,
            fragments=flood,
            lattice=lattice,
            partition=keep,
            histograms=True,
        )
        local = found.astype(np.int64)
    assert np.array_equal(local, fragments_of(StoredAffinities(values, OFFSETS), flood, lattice))
    whole = region_graph(local, Affinities(values, OFFSETS), histograms=True)
    (merged,) = graphs
    assert np.array_equal(merged.pairs, whole.pairs) and np.array_equal(merged.contacts, whole.contacts)
    assert np.array_equal(merged.means, whole.means) and np.array_equal(merged.highest, whole.highest)
    assert merged.histograms is not None and np.array_equal(merged.histograms, whole.histograms)
    cut = agglomerate(merged).cut(0.5)
    assert np.array_equal(cut, agglomerate(whole).cut(0.5))


def labels(shape):
    return st.tuples(*[arrays(np.uint64, shape, elements=st.sampled_from([0, 1, 2, 5, 2**40]))] * 2)


@FEW
@given(SHAPES.flatmap(labels), BLOCKS)
def test_scores(pair, block):
    pred, truth = pair
    grid = BlockGrid(pred.shape, block, (0, 0, 0))
    table = overlap_by_blocks(pred, truth, grid, InlineExecutor())
    whole = overlap(pred, truth)
    for name in (
        "truth_ids",
        "pred_ids",
        "truth_areas",
        "pred_areas",
        "truth",
        "pred",
        "intersections",
        "size",
    ):
        assert np.array_equal(getattr(table, name), getattr(whole, name)), name
    scores = neuron_scores_of(table)
    assert scores == neuron_scores(pred, truth)
    voi = variation_of_information(pred, truth)
    assert (scores["voi_split"], scores["voi_merge"]) == (voi.split, voi.merge)
    assert scores["are"] == adapted_rand(pred, truth).error
    assert table.pixels.ap == iou(pred, truth) == instance_scores(pred, truth)["iou"]
    assert matching_of(table).counts == matching(pred, truth).counts


class Killed(BaseException):
    """What no code of ours may catch."""


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_all_steps_end_byte_for_byte_alike(tmp_path, seed):
    rng = np.random.default_rng(seed)
    values = exact((4, 12, 12), 3, seed)
    grid = BlockGrid((4, 12, 12), (2, 6, 6), (1, 2, 2))

    def attempt(name, life):
        def started(step, count, before):
            def advance(index):
                nonlocal life
                life -= 1
                if life == 0:
                    raise Killed

            return advance

        sink = scratch(tmp_path / f"{name}.zarr", (4, 12, 12), np.uint32, (2, 6, 6))
        work = Work(tmp_path / name, {"input": seed}, started=started, chunk=(2, 6, 6))
        flood = partial(fragments, per_section=False)
        join = partial(partition_at, 0.5)
        return segment(
            StoredAffinities(values, OFFSETS[:3]),
            sink,
            grid,
            work,
            fragments=flood,
            lattice=grid,
            partition=join,
        )

    assert attempt("whole", -1) > 1
    done = None
    while done is None:
        try:
            done = attempt("killed", int(rng.integers(1, 60)))
        except Killed:
            continue
    assert files_of(tmp_path / "killed.zarr") == files_of(tmp_path / "whole.zarr")
