"""Neurons of real tissue by blocks and in memory: affinities, fragments, agglomeration, and one result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage as ndi

from morula.blockwise import (
    BlockGrid,
    StoredAffinities,
    Work,
    as_bytes,
    fragments_of,
    segment,
)
from morula.core.affinities import Offset
from morula.metrics import neuron_scores
from morula.post import agglomerate, region_graph, relabel
from morula.targets import affinities, widen_border
from morula.tasks.neurons import Decoder

pytestmark = pytest.mark.real

OFFSETS: tuple[Offset, ...] = ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (-3, 0, 0), (0, -9, 0), (0, 0, -9))


def doubtful(labels: np.ndarray) -> np.ndarray:
    """Affinities of the true labels, blurred and with coarse noise: what a middling network would say."""
    rng, found = np.random.default_rng(0), []
    for channel in affinities(widen_border(labels), OFFSETS).values.astype(np.float32):
        noise = ndi.gaussian_filter(rng.normal(size=labels.shape).astype(np.float32), 1.5)
        found.append(ndi.gaussian_filter(channel, 0.5) + 0.15 * noise / noise.std())
    return as_bytes(np.clip(found, 0, 1))


def test_neurons_of_blocks_are_those_of_memory(real_data: Path, tmp_path: Path) -> None:
    truth = tifffile.imread(real_data / "em_fib25_neurons/open/fib25_training2_neurons.tif")[:48, :110, :110]
    stored = StoredAffinities(doubtful(truth), OFFSETS)
    whole = stored.read(tuple(slice(0, size) for size in truth.shape))
    decoder = Decoder("volume", 1.0, "mean", 0.5)
    lattice = BlockGrid(truth.shape, (24, 64, 64), (16, 16, 16))

    def partition(graph):
        return agglomerate(graph, decoder.linkage).cut(decoder.threshold)

    pieces = fragments_of(stored, decoder.split, lattice)
    inside = relabel(pieces, partition(region_graph(pieces, whole)))
    for number, block in enumerate([(24, 64, 64), (16, 80, 48)]):
        found = np.zeros(truth.shape, np.uint32)
        segment(
            stored,
            found,
            BlockGrid(truth.shape, block, (0, 0, 0)),
            Work(tmp_path / str(number), {}, chunk=(8, 16, 16)),
            fragments=decoder.split,
            lattice=lattice,
            partition=partition,
        )
        assert neuron_scores(found, inside)["voi"] <= 0.01
        assert np.array_equal(found, inside)
    assert len(lattice) == 8 and 20 < inside.max() < pieces.max() / 2
    assert neuron_scores(inside, truth)["voi"] < 1.5
