"""Stacks meet their traces; one that does not fit is refused with its file, its line and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from morula.core.errors import DataError, MorulaError, UsageError
from morula.core.types import Voxel
from morula.data import is_traced, load_traced, read_swc, write_swc
from synthetic import save_traced, traced_stack

SIZE = Voxel(z=3000.0, y=500.0, x=500.0)


def test_stacks_and_traces_meet_by_name_and_suffix(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 3, 2)
    records, errors = load_traced(images, labels, suffix="_gold", voxel=SIZE)
    assert errors == []
    assert [record.id for record in records if record.trace] == ["n0", "n1"]
    assert records[2].trace is None
    assert records[0].trace is not None
    assert np.allclose(records[0].trace().points, traced_stack(0)[1].points, atol=1e-5)
    assert records[0].image.voxel == SIZE


def test_a_trace_of_no_stack_is_named(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 2, 2)
    (labels / "n1_gold.swc").rename(labels / "n1_glod.swc")
    records, (error,) = load_traced(images, labels, suffix="_gold", voxel=SIZE)
    assert [record.id for record in records if record.trace] == ["n0"]
    assert "n1_glod.swc: no stack is of this name" in str(error)
    (images / "n1.tif").write_bytes(b"bad")
    (labels / "n1_glod.swc").rename(labels / "n1_gold.swc")
    _, (error,) = load_traced(images, labels, suffix="_gold", voxel=SIZE, skip_bad=True)
    assert "n1.tif" in str(error)


def test_two_traces_of_one_stack_are_refused(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 2, 2)
    (labels / "n1_gold.eswc").write_bytes((labels / "n1_gold.swc").read_bytes())
    with pytest.raises(DataError, match=r"n1_gold\.\w+: a second trace of n1, beside n1_gold\."):
        load_traced(images, labels, suffix="_gold", voxel=SIZE)


def test_a_missing_suffix_is_named(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 2, 2)
    with pytest.raises(DataError, match="--label-suffix _gold"):
        load_traced(images, labels)


@pytest.mark.parametrize(
    ("stems", "suffix", "fix"),
    [
        (("n0", "n1"), "_gold", "leave --label-suffix out"),
        (("n0_gold", "n1_gold"), "_glod", "give --label-suffix _gold"),
        (("n1 (gold)", "n10_gold"), "", "give --label-suffix ' (gold)'"),
        (("n10_gold", "n11_gold"), "", "name each SWC file like its stack"),
        (("n10_gold", "n11_gold"), "_gold", "name each SWC file like its stack, with _gold behind it"),
    ],
)
def test_names_that_fit_no_stack_are_told_what_makes_them_fit(
    stems: tuple[str, str], suffix: str, fix: str, tmp_path: Path
) -> None:
    images, labels = save_traced(tmp_path, 2, 2, "")
    for number, stem in enumerate(stems):
        (labels / f"n{number}.swc").rename(labels / f"{stem}.swc")
    with pytest.raises(DataError) as caught:
        load_traced(images, labels, suffix=suffix, voxel=SIZE)
    assert caught.value.fix == fix


def test_one_stack_and_one_trace_belong_together(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 1, 1)
    (record,), _ = load_traced(images / "n0.tif", labels / "n0_gold.swc")
    assert record.trace is not None


def test_micrometres_are_told_from_voxels_by_the_voxel_size(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 1, 1)
    tree = traced_stack(0)[1]
    write_swc(labels / "n0_gold.swc", tree.scaled((3.0, 0.5, 0.5)))
    (record,), _ = load_traced(images, labels, suffix="_gold", voxel=SIZE)
    assert record.trace is not None
    assert np.allclose(record.trace().points, tree.points, atol=1e-4)


def test_a_trace_in_micrometres_of_unknown_voxels_is_asked_about(tmp_path: Path) -> None:
    """It fits into the box of its stack, and dim background shines along it."""
    images, labels = save_traced(tmp_path, 1, 1)
    image, tree = traced_stack(0)
    noise = np.random.default_rng(0).integers(0, 40, image.shape)
    tifffile.imwrite(images / "n0.tif", np.maximum(image, noise.astype(np.uint8)), photometric="minisblack")
    load_traced(images, labels, suffix="_gold")
    for scale in ((0.9, 0.2, 0.2), (0.5, 0.5, 0.5), (0.3, 0.1, 0.1)):
        write_swc(labels / "n0_gold.swc", tree.scaled(scale))
        with pytest.raises(UsageError, match=r"n0_gold\.swc.*micrometres, give --voxel-size"):
            load_traced(images, labels, suffix="_gold")


@pytest.mark.real
def test_published_traces_in_micrometres(real_data: Path, tmp_path: Path) -> None:
    """0.33 um in the plane and 1 um along z: all are in the box of their stacks."""
    folder, size = real_data / "lm_diadem_op" / "open", Voxel(z=1000.0, y=330.0, x=330.0)
    for name in ("OP_3", "OP_7"):
        tree = read_swc(folder / f"{name}_gold.swc").tree
        write_swc(tmp_path / f"{name}.swc", tree.scaled((1.0, 0.33, 0.33)))
        with pytest.raises(UsageError, match="give --voxel-size"):
            load_traced(folder / f"{name}.tif", tmp_path / f"{name}.swc")
        (record,), _ = load_traced(folder / f"{name}.tif", tmp_path / f"{name}.swc", voxel=size)
        assert record.trace is not None
        np.testing.assert_allclose(record.trace().points, tree.points, atol=1e-4)


def _outside(images: Path, labels: Path) -> None:
    write_swc(labels / "n0_gold.swc", traced_stack(0)[1].moved((0, 0, 40)))


def _dark(images: Path, labels: Path) -> None:
    image = np.zeros((10, 48, 64), np.uint8)
    image[0, 47, 63] = 9
    tifffile.imwrite(images / "n0.tif", image, photometric="minisblack")


def _inverted(images: Path, labels: Path) -> None:
    tifffile.imwrite(images / "n0.tif", 255 - traced_stack(0)[0], photometric="minisblack")


def _one_node(images: Path, labels: Path) -> None:
    (labels / "n0_gold.swc").write_text("# a soma\n1 1 20 22 5 2 -1\n")


def _loose_nodes(images: Path, labels: Path) -> None:
    (labels / "n0_gold.swc").write_text("1 1 20 22 5 2 -1\n2 1 30 38 6 2 -1\n")


def _mirrored(images: Path, labels: Path) -> None:
    image, _ = traced_stack(0)
    tifffile.imwrite(images / "n0.tif", image[:, ::-1], photometric="minisblack")


def _black(images: Path, labels: Path) -> None:
    tifffile.imwrite(images / "n0.tif", np.zeros((10, 48, 64), np.uint8), photometric="minisblack")


def _flat(images: Path, labels: Path) -> None:
    (images / "n1.tif").unlink()
    (labels / "n1_gold.swc").unlink()
    (images / "n0.tif").unlink()
    tifffile.imwrite(images / "n0.tif", traced_stack(0)[0][0], photometric="minisblack")


def _empty(images: Path, labels: Path) -> None:
    (labels / "n0_gold.swc").write_text("# nothing\n")


def _two_channels(images: Path, labels: Path) -> None:
    stack = np.stack([traced_stack(0)[0]] * 2, axis=1)
    tifffile.imwrite(images / "n0.tif", stack, imagej=True, metadata={"axes": "ZCYX"})


BAD: dict[str, tuple[Callable[[Path, Path], None], str, str]] = {
    "outside": (_outside, "n0_gold.swc", r"line \d+ puts a node at"),
    "dark": (_dark, "n0_gold.swc", "runs where the stack is dark"),
    "inverted": (_inverted, "n0_gold.swc", r"darker than its surroundings in n0\.tif\. Fix: invert"),
    "one node": (_one_node, "n0_gold.swc", r"1 node\(s\) from line 2 on, and none is joined"),
    "loose nodes": (_loose_nodes, "n0_gold.swc", r"2 node\(s\) from line 1 on, and none is joined"),
    "mirrored": (_mirrored, "n0_gold.swc", "mirrored along y"),
    "black": (_black, "n0.tif", "every voxel is 0"),
    "flat": (_flat, "stacks", "1 section"),
    "empty": (_empty, "n0_gold.swc", "no node"),
    "channels": (_two_channels, "n0.tif", "2 channels"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("size", [None, SIZE])
def test_what_does_not_fit_is_refused(name: str, size: Voxel | None, tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 2, 2)
    spoil, file, told = BAD[name]
    spoil(images, labels)
    with pytest.raises(MorulaError, match=told) as caught:
        load_traced(images, labels, suffix="_gold", voxel=size)
    assert file in str(caught.value)
    if name in {"outside", "dark"}:
        assert isinstance(caught.value, DataError if size else UsageError)
        assert size is not None or "--voxel-size" in str(caught.value)


def test_with_skip_bad_the_others_stay(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 2, 2)
    _outside(images, labels)
    records, errors = load_traced(images, labels, suffix="_gold", voxel=SIZE, skip_bad=True)
    assert [record.id for record in records] == ["n1"]
    assert len(errors) == 1


def test_a_black_stack_among_others_is_refused_without_a_trace_too(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 3, 1)
    tifffile.imwrite(images / "n2.tif", np.full((10, 48, 64), 7, np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match=r"n2\.tif: every voxel is 7\. .*--skip-bad"):
        load_traced(images, labels, suffix="_gold", voxel=SIZE)
    records, (error,) = load_traced(images, labels, suffix="_gold", voxel=SIZE, skip_bad=True)
    assert [record.id for record in records] == ["n0", "n1"]
    assert "n2.tif" in str(error)


def test_the_line_of_a_node_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.swc"
    path.write_text("# head\n\n2 0 1 1 1 1 1\n1 0 0 0 0 1 -1\n")
    assert read_swc(path).lines == (4, 3)


def test_traces_are_told_from_other_labels(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 1, 1)
    assert is_traced(labels)
    assert is_traced(labels / "n0_gold.swc")
    assert not is_traced(images)
    assert not is_traced(images / "n0.tif")
