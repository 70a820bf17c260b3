"""Affinities in a file to neurons in a file, by each method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from blocks import same_partition
from morula.core.affinities import LONG_RANGE, LONG_RANGE_CUBES, MUTEX, MUTEX_CUBES, NEAREST, Offset
from morula.core.errors import DataError, UsageError
from morula.data import read_labels
from morula.data.affinities import write_affinities
from morula.targets import affinities, widen_border
from morula.tasks.neurons import Network
from morula.tasks.neurons import offsets_of as offsets_of_network
from morula.workflows.agglomerate import Method, agglomerate, offsets_of

TRUTH = np.kron(np.array([[[1, 1, 1], [2, 2, 3]]] * 5, np.int32), np.ones((1, 20, 20), np.int32))
APART = widen_border(TRUTH)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    write_affinities(tmp_path / "maps.h5", affinities(APART, LONG_RANGE))
    return tmp_path / "maps.h5"


@pytest.mark.parametrize("method", ["agglomeration", "multicut", "mutex"])
def test_every_method_finds_the_neurons(method: Method, maps: Path, tmp_path: Path) -> None:
    told = agglomerate(maps, out=tmp_path / "labels.tif", method=method)
    found = read_labels(tmp_path / "labels.tif")
    assert same_partition(found[APART > 0], TRUTH[APART > 0])
    assert told.neurons == found.max()
    assert (told.fragments is None) == (method == "mutex")


@pytest.mark.parametrize("method", ["agglomeration", "multicut"])
def test_a_higher_threshold_joins_more(method: Method, tmp_path: Path) -> None:
    doubtful = affinities(APART, NEAREST)
    doubtful = replace(doubtful, values=np.maximum(doubtful.values, 0.4).astype(np.float32))
    write_affinities(tmp_path / "maps.h5", doubtful)
    for threshold, neurons in ((0.5, 3), (0.7, 1)):
        out = tmp_path / f"{threshold}.tif"
        told = agglomerate(tmp_path / "maps.h5", out=out, method=method, threshold=threshold)
        assert told.neurons == neurons
        assert str(told) == f"{neurons} neurons of {told.fragments} fragments: {out}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"method": "mutex", "threshold": 0.5}, "--threshold: --method mutex has no use for it"),
        ({"method": "mutex", "sections": True}, "--sections: --method mutex has no use for it"),
        ({"method": "multicut", "linkage": "mean"}, "--linkage: --method multicut has no use for it"),
        ({"method": "multicut", "threshold": 1.0}, "at 1 a multicut has nothing to weigh"),
        ({"threshold": 1.5}, "1.5 is no affinity"),
    ],
)
def test_options_that_say_nothing_are_refused(options: dict[str, Any], told: str, maps: Path) -> None:
    with pytest.raises(UsageError, match=told):
        agglomerate(maps, out=maps.with_name("labels.tif"), **options)
    assert not maps.with_name("labels.tif").exists()


@pytest.mark.parametrize("name", ["labels.h5", "labels.ome.zarr", "labels"])
def test_labels_are_written_under_the_name_of_a_tiff_alone(name: str, maps: Path) -> None:
    with pytest.raises(UsageError, match=r"TIFF alone.*\.tif or \.tiff"):
        agglomerate(maps, out=maps.with_name(name))
    assert not maps.with_name(name).exists()


def silent(path: Path, offsets: tuple[Offset, ...]) -> Path:
    """True affinities whose offsets the file does not tell."""
    write_affinities(path, affinities(APART, offsets))
    with h5py.File(path, "a") as file:
        del file["affinities"].attrs["offsets"]
    return path


@pytest.mark.parametrize(
    ("name", "offsets", "taken"),
    [
        ("nearest", NEAREST, "nearest offsets of any voxels"),
        ("long-range", LONG_RANGE, "long-range offsets of sections"),
        ("long-range", LONG_RANGE_CUBES, "long-range offsets of cubes"),
        ("mutex", MUTEX, "mutex offsets of sections"),
        ("mutex", MUTEX_CUBES, "mutex offsets of cubes"),
    ],
)
def test_a_name_means_what_it_means_to_the_network_with_as_many_channels(
    name: str, offsets: tuple[Offset, ...], taken: str, tmp_path: Path
) -> None:
    isotropic = offsets in (LONG_RANGE_CUBES, MUTEX_CUBES)
    assert offsets_of_network(Network.model_validate({"offsets": name}), isotropic=isotropic) == offsets
    maps, out = silent(tmp_path / "maps.h5", offsets), tmp_path / "labels.tif"
    told = agglomerate(maps, out=out, method="mutex" if len(offsets) > 3 else "multicut", offsets=name)  # type: ignore[arg-type]
    assert told.offsets == taken
    assert f"the channels read as {taken}" in str(told)
    assert same_partition(read_labels(out)[APART > 0], TRUTH[APART > 0])


def test_offsets_may_be_listed(tmp_path: Path) -> None:
    maps = silent(tmp_path / "maps.h5", (NEAREST[1], NEAREST[0], NEAREST[2], (0, -7, 2)))
    out = tmp_path / "labels.tif"
    told = agglomerate(maps, out=out, method="mutex", offsets=offsets_of("0 -1 0; -1 0 0;0,0,-1; 0 -7 2"))
    assert told.offsets is None
    assert same_partition(read_labels(out)[APART > 0], TRUTH[APART > 0])
    with pytest.raises(UsageError, match="4 channels, but mutex means 17 offsets for sections or 15"):
        agglomerate(maps, out=out, offsets="mutex", overwrite=True)


@pytest.mark.parametrize("text", ["Nearest", "", "-1 0; 0 -1", "-1 0 0.5"])
def test_what_is_no_list_of_offsets_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"neither a name nor a list.*nearest, long-range, mutex"):
        offsets_of(text)


def test_a_mutex_watershed_needs_longer_offsets(tmp_path: Path) -> None:
    write_affinities(tmp_path / "maps.h5", affinities(APART, NEAREST))
    with pytest.raises(DataError, match="the nearest offsets alone"):
        agglomerate(tmp_path / "maps.h5", out=tmp_path / "labels.tif", method="mutex")


def test_what_the_file_says_is_done_where_no_option_says_otherwise(tmp_path: Path) -> None:
    doubtful = affinities(APART, NEAREST)
    doubtful = replace(doubtful, values=np.maximum(doubtful.values, 0.4).astype(np.float32))
    decoding = {"fragments": "sections", "smoothing": 2.0, "linkage": "median", "threshold": 0.7}
    write_affinities(tmp_path / "maps.h5", doubtful, decoding)
    for options, neurons, pieces in (
        ({}, 1, 15),
        ({"threshold": 0.5}, 3, 15),
        ({"sections": False}, 1, 3),
        ({"method": "multicut"}, 3, 15),
    ):
        out = tmp_path / "labels.tif"
        told = agglomerate(tmp_path / "maps.h5", out=out, overwrite=True, **options)  # type: ignore[arg-type]
        assert (told.neurons, told.fragments) == (neurons, pieces)


@pytest.mark.parametrize(("name", "value"), [("linkage", "max"), ("fragments", "slices")])
def test_a_way_to_decode_that_there_is_not_is_refused(name: str, value: str, tmp_path: Path) -> None:
    write_affinities(tmp_path / "maps.h5", affinities(APART, NEAREST), {name: value})
    with pytest.raises(DataError, match=f"attribute {name} holds '{value}'.*store one of"):
        agglomerate(tmp_path / "maps.h5", out=tmp_path / "labels.tif")
