"""A trace beside its neuron is moved back, a mirrored one is told, one that fits is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage as ndi

from morula.core.tree import Tree
from morula.data.alignment import align, is_dark
from morula.data.capsules import draw_tree
from morula.data.swc import read_swc

SHAPE = (12, 60, 70)
TREE = Tree.of([[2, 8, 6], [4, 20, 25], [6, 30, 30], [9, 50, 33], [5, 32, 60]], [-1, 0, 1, 2, 2])


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    noise = np.random.default_rng(0).normal(20, 2, SHAPE)
    return noise + 100 * ndi.gaussian_filter(draw_tree(TREE, SHAPE).astype(float), 0.8)


def test_a_trace_that_fits_is_left_alone(image: np.ndarray) -> None:
    found = align(TREE, image)
    assert (found.shift, found.gain, found.mirrored) == ((0, 0, 0), 1.0, "")


@pytest.mark.parametrize("shift", [(0, 2, -1), (1, -3, 0), (0, 0, 2)])
def test_a_shift_is_found(image: np.ndarray, shift: tuple[int, int, int]) -> None:
    found = align(TREE.moved(np.negative(shift)), image)
    assert found.shift == shift
    assert found.gain > 1.03


@pytest.mark.parametrize(("axes", "name"), [((1,), "y"), ((0, 2), "zx")])
def test_a_mirrored_axis_is_told(image: np.ndarray, axes: tuple[int, ...], name: str) -> None:
    found = align(TREE, np.flip(image, axes))
    assert found.mirrored == name


def test_a_neuron_on_a_bright_field_is_dark(image: np.ndarray) -> None:
    assert is_dark(TREE, 255 - image)
    assert not is_dark(TREE, image)
    assert not is_dark(TREE, 255 - image[:, :, ::-1])
    assert not is_dark(TREE, np.zeros(SHAPE, np.uint8))


@pytest.mark.parametrize("height", [5, 2])
def test_noise_hides_neither_a_trace_that_fits_nor_one_that_does_not(height: float) -> None:
    """Of a neurite `height` standard deviations high; copies of its trace elsewhere are in the dark."""
    image = np.random.default_rng(0).normal(0, 1, (30, 120, 120))
    tree = Tree.of(
        [[3, 8, 6], [8, 40, 40], [15, 60, 60], [25, 100, 70], [12, 64, 112]], [-1, 0, 1, 2, 2], 1.5
    )
    image += height * ndi.gaussian_filter(draw_tree(tree, image.shape).astype(float), 0.8)
    found = align(tree, image)
    assert (found.stands_out, found.mirrored) == (True, "")
    assert align(tree, image[:, :, ::-1]).mirrored == "x"
    assert not align(tree.moved((0, 0, -30)), image).stands_out


@pytest.mark.parametrize("wide", [10, 25])
def test_a_bright_slab_is_no_mirror_image(image: np.ndarray, wide: int) -> None:
    """Opposite of a dim neurite: the mirrored trace is brighter, but not than what surrounds it."""
    slab = np.concatenate([image, np.full((*SHAPE[:2], SHAPE[2]), 20.0)], axis=2)
    slab[:, :, -wide - 30 : -30] = 250
    found = align(TREE, slab)
    assert (found.stands_out, found.mirrored) == (True, "")


def test_a_thick_neurite_stands_out() -> None:
    line = Tree.of([[15, 60, 10], [15, 60, 190]], [-1, 0], 12.0)
    found = align(line, 50.0 * draw_tree(line, (30, 120, 200)))
    assert (found.stands_out, found.mirrored) == (True, "")


def test_a_black_image_says_nothing() -> None:
    found = align(TREE, np.zeros(SHAPE, np.uint8))
    assert (found.shift, found.mirrored, found.brightness) == ((0, 0, 0), "", 0)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "shift"),
    [("OP_1", (0, 0, 0)), ("OP_2", (0, -2, -1))],
)
def test_published_traces(real_data: Path, name: str, shift: tuple[int, int, int]) -> None:
    folder = real_data / "lm_diadem_op/open"
    tree, repairs, _ = read_swc(folder / f"{name}_gold.swc")
    found = align(tree, tifffile.imread(folder / f"{name}.tif"))
    assert repairs == ()
    assert found.shift == shift
    assert found.mirrored == ""
