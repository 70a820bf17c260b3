"""Label stores are scored by blocks, and every score equals that of the same labels in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from commands import cli
from morula.core.errors import DataError, UsageError
from morula.core.types import Axes
from morula.data.ome_zarr import write_image, write_labels
from morula.workflows.evaluate import evaluate
from morula.workflows.store_scores import store_scores

SHAPE = (130, 20, 24)


def boxes(shift: int, written: str = "ids") -> np.ndarray:
    """Objects that cross the faces of blocks of 64 sections, some of which touch; empty sections between.

    Written as instance numbers, as a mask, or as one that has sections of 0/1, of 0/255 and stray greys.
    """
    labels = np.zeros(SHAPE, np.uint16)
    labels[50 + shift : 70, 2:9, 3:12] = 4
    labels[60:80, 9:15, 3 : 12 + shift] = 9
    labels[100:129, 4 + shift : 18, 16:20] = 300
    labels[110:113, 4 : 6 + shift, 2:4] = 11 if shift else 0
    labels[60:66, 4:6, 5:7] = 0
    if written == "ids":
        return labels
    mask = (labels > 0).astype(np.uint8)
    if written == "greys":
        mask[:115] *= 255
        mask[102, 4 + shift, 17:19] = 130, 7
    return mask


def stored(folder: Path, name: str, labels: np.ndarray) -> tuple[Path, Path]:
    """The same labels as a store and as a TIFF."""
    store = folder / f"{name}.ome.zarr"
    write_image(store, np.zeros((2, *labels.shape), np.uint8), Axes("czyx"))
    write_labels(store, "objects", labels, Axes("zyx"))
    tifffile.imwrite(folder / f"{name}.tif", labels, photometric="minisblack")
    return store / "labels" / "objects", folder / f"{name}.tif"


@pytest.mark.parametrize("written", ["ids", "mask", "greys"])
@pytest.mark.parametrize("kind", ["instances", "semantic", "volumes", "neurons"])
def test_scores_are_those_of_memory(tmp_path, kind, written):
    found, in_memory = stored(tmp_path, "found", boxes(2, written))
    truth, true_in_memory = stored(tmp_path, "truth", boxes(0, written))
    expected = evaluate(in_memory, true_in_memory, kind=kind)["mean"]
    assert store_scores(found, truth, kind, voxels=1) == expected
    assert store_scores(found, true_in_memory, kind) == expected
    assert max(expected.values()) > 0 and len(set(expected.values())) > 1


@pytest.mark.parametrize("border", [0, 1, 1.5])
def test_borders_are_ignored_across_blocks(tmp_path, monkeypatch, border):
    monkeypatch.setattr("morula.workflows.store_scores._UNIT", (64, 5, 7))
    found, in_memory = stored(tmp_path, "found", boxes(2))
    truth, true_in_memory = stored(tmp_path, "truth", boxes(0))
    expected = evaluate(in_memory, true_in_memory, kind="neurons", border=border)["mean"]
    assert store_scores(found, truth, "neurons", border=border, voxels=1) == expected
    assert expected != evaluate(in_memory, true_in_memory, kind="neurons")["mean"]
    with pytest.raises(DataError, match="more than 90 pixels from a border"):
        evaluate(found, truth, kind="neurons", border=90)


def test_a_mask_is_numbered_however_it_is_written(tmp_path):
    found, truth, mask = (
        stored(tmp_path, name, boxes(shift, written))
        for name, shift, written in (("found", 2, "ids"), ("truth", 0, "greys"), ("mask", 0, "mask"))
    )
    for one, other, plain in zip(found, truth, mask, strict=True):
        scores = evaluate(one, other, kind="volumes")["mean"]
        assert scores == evaluate(one, plain, kind="volumes")["mean"]
        assert scores["ap50"] > 0


def test_outside_of_the_tissue_is_no_object(tmp_path):
    outside = boxes(0, "mask") * np.uint8(255)
    outside[:, -2:] = 2
    found, truth = stored(tmp_path, "found", boxes(2)), stored(tmp_path, "truth", outside)
    for one, other in zip(found, truth, strict=True):
        with pytest.raises(DataError, match="the values 2 and 255 alone"):
            evaluate(one, other, kind="volumes")


def test_the_command_takes_stores(tmp_path, capsys):
    found, in_memory = stored(tmp_path, "found", boxes(2))
    truth, true_in_memory = stored(tmp_path, "truth", boxes(0))
    code, told, error = cli(capsys, "evaluate", found, truth, "--kind", "neurons", "--json")
    assert code == 0, error
    code, expected, _ = cli(capsys, "evaluate", in_memory, true_in_memory, "--kind", "neurons", "--json")
    assert code == 0 and told == expected


def test_what_cannot_be_compared_is_refused(tmp_path):
    found, _ = stored(tmp_path, "found", boxes(0))
    truth, _ = stored(tmp_path, "truth", boxes(0)[:100])
    with pytest.raises(DataError, match=r"shape 130 x 20 x 24, but the truth .* has 100 x 20 x 24"):
        evaluate(found, truth, kind="volumes")
    with pytest.raises(DataError, match="which are no labels"):
        evaluate(tmp_path / "found.ome.zarr", truth, kind="volumes")
    with pytest.raises(UsageError, match="not scored as points"):
        store_scores(found, truth, "points")
    negative = boxes(0).astype(np.int32)
    negative[3, 3, 3] = -1
    write_image(tmp_path / "negative.zarr", negative, Axes("zyx"))
    with pytest.raises(DataError, match="negative labels"):
        evaluate(tmp_path / "negative.zarr", found, kind="instances")
    with pytest.raises(DataError, match="no such file"):
        evaluate(tmp_path / "nowhere.ome.zarr", found, kind="instances")
