"""Cells by blocks are those of memory, whatever crosses faces, edges and corners of blocks."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from blocks import same_partition
from morula.blockwise import Work
from morula.core.types import Axes, Volume
from morula.tasks.cells import density, large
from morula.tasks.cells.decode import Verdict, segmentation, stained_cut
from morula.tasks.cells.density import overview
from morula.tasks.cells.large import Sight, find_cells
from morula.tasks.cells.standard import Pixels, stretched

DIAMETER = 6.0
"""Of the median object; blocks look 48 pixels beyond themselves."""


@dataclass(frozen=True)
class Run:
    """A network that nobody trained: the density, and a blur of it that is zoomed by `factor`."""

    factor: float = 1.0

    def __call__(self):
        return self

    def sight(self, image, where):
        standard = replace(stretched(image, DIAMETER), modality="H&E", factor=self.factor)
        return Sight(standard, Verdict(None, failed=False), stained_cut("H&E"), DIAMETER)

    def maps(self, tile):
        return np.stack([tile.density, np.clip(ndi.gaussian_filter(tile.density, 1.5), 0, 1)])

    def whole(self, image):
        sight = self.sight(image, "")
        prepared = sight.standard.whole(image)
        return segmentation(prepared, *self.maps(prepared), DIAMETER, image, sight.verdict)


def scene(seed: int, shape: tuple[int, int], share: float) -> np.ndarray:
    """Discs `(y, x, 1)` of many sizes, alone or in chains across the image, and rings with holes."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.float32)
    y, x = np.indices(shape)
    for _ in range(int(share * shape[0] * shape[1] / 30)):
        centre, radius = rng.uniform(0, shape), rng.uniform(1.5, 5)
        far = np.hypot(y - centre[0], x - centre[1]) / radius
        image = np.maximum(image, (far < 1) * (1 - 0.4 * far) - (far < 0.3) * (radius > 4) * 0.8)
    return (np.clip(image + rng.normal(0, 0.02, shape), 0, 1) * 255).astype(np.uint8)[..., None]


def by_blocks(run: Run, image: np.ndarray, side: int):
    volume = Volume(np.ascontiguousarray(image[..., 0]), Axes("yx"), "image")
    labels, maps = np.zeros(image.shape[:2], np.uint32), np.zeros((2, *image.shape[:2]), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), {}, chunk=(1, side, side))
        _, found = find_cells(run, Pixels(volume), maps, labels, work, side=side)
    return found, labels, maps


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(50, 130), st.integers(50, 130)),
    share=st.sampled_from([0.15, 0.4, 0.9]),
    side=st.sampled_from([32, 64]),
    factor=st.sampled_from([1.0, 0.7, 1.3]),
)
def test_blocks_give_what_memory_gives(seed, shape, share, side, factor):
    run, image = Run(factor), scene(seed, shape, share)
    found, labels, maps = by_blocks(run, image, side)
    whole = run.whole(image)
    assert same_partition(labels, whole.labels)
    names, places = np.unique(labels, return_index=True)
    order = whole.labels.ravel()[places[names > 0]] - 1
    np.testing.assert_allclose(found.scores, whole.scores[order], atol=1e-9)
    assert np.abs(maps[0] / 255 - whole.maps["foreground"]).max() < 0.003
    assert np.array_equal(found.table.area, np.bincount(labels.ravel())[1:])


def test_objects_cross_faces_edges_and_corners():
    image = np.zeros((96, 96, 1), np.uint8)
    y, x = np.indices((96, 96))
    for centre in ((32, 16), (32, 32), (64, 64), (50, 32), (31, 80), (80, 95)):
        image[np.hypot(y - centre[0], x - centre[1]) < 5] = 255
    found, labels, _ = by_blocks(Run(), image, 32)
    assert labels.max() == len(found.scores) == 6
    assert np.count_nonzero((labels[31] > 0) & (labels[31] == labels[32])) > 12
    assert found.table.touches_border.tolist().count(True) == 1
    assert same_partition(labels, Run().whole(image).labels)


def test_tiles_of_the_network_lie_on_one_lattice(monkeypatch):
    image = scene(3, (140, 90), 0.4)
    whole = Run(0.7).whole(image)
    monkeypatch.setattr(large, "TILE", 32)
    monkeypatch.setattr(large, "HALO", 12)
    assert same_partition(by_blocks(Run(0.7), image, 32)[1], whole.labels)


def test_an_image_without_cells_has_none():
    found, labels, _ = by_blocks(Run(), np.full((40, 40, 1), 7, np.uint8), 32)
    assert not labels.any() and len(found.table) == 0 and found.classes == ()


def test_what_is_told_from_the_whole_survives_a_file():
    sight = Run(0.7).sight(scene(0, (40, 50), 0.4), "")
    sight = replace(sight, verdict=Verdict((0.1 + 0.2, 1 / 3), failed=False))
    assert Sight.of_text(sight.as_text()) == sight


@pytest.mark.parametrize("shape", [(900, 800), (2000, 300), (300, 2000)])
def test_a_large_image_is_known_by_windows_from_all_over_it(shape, monkeypatch):
    image = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(*shape, 1)
    assert overview(image).shape == image.shape
    monkeypatch.setattr(density, "LARGEST", 2**17)
    monkeypatch.setattr(density, "_WINDOW", 128)
    seen = overview(image)
    assert 2**16 <= seen.size <= 2**17
    rows, columns = (np.unique(part) for part in np.divmod(seen.astype(int), shape[1]))
    for found, size in ((rows, shape[0]), (columns, shape[1])):
        assert found[0] <= 0.4 * size and found[-1] >= 0.6 * size and np.isin(seen, image).all()
    standard = stretched(image, DIAMETER)
    assert standard.shape == shape and standard.of(seen.shape).shape == seen.shape[:2]
