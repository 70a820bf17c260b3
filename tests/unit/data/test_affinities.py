from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from morula.core.affinities import NEAREST, Affinities, Offset
from morula.core.errors import DataError, UsageError
from morula.data.affinities import read_affinities, read_decoding, write_affinities
from morula.targets import affinities

OFFSETS: tuple[Offset, ...] = (*NEAREST, (0, -3, 2))


def phantom() -> np.ndarray:
    """Four boxes of which no two axes are alike."""
    z, y, x = np.indices((6, 9, 14))
    return (1 + (z >= 4) + 2 * (x >= 9) * (y >= 3)).astype(np.int32)


def stored(path: Path, values: np.ndarray, **attributes: Any) -> Path:
    with h5py.File(path, "w") as file:
        file["a/maps"] = values
        file["a/maps"].attrs.update(attributes)
    return path


@pytest.mark.parametrize("polarity", ["attractive", "repulsive"])
def test_what_was_written_is_read_with_its_offsets_and_polarity(tmp_path: Path, polarity: Any) -> None:
    values = affinities(phantom(), OFFSETS).values.astype(np.float16)
    given = Affinities(values if polarity == "attractive" else 1 - values, OFFSETS, polarity)
    write_affinities(tmp_path / "a.h5", given)
    found = read_affinities(tmp_path / "a.h5")
    assert (found.offsets, found.polarity) == (OFFSETS, polarity)
    assert np.array_equal(found.values, given.values)


@pytest.mark.parametrize("polarity", ["attractive", "repulsive"])
def test_channels_that_point_forwards_are_read_as_those_that_point_backwards(
    tmp_path: Path, polarity: Any
) -> None:
    """Each forward value is computed from the labels, and not from the backward ones."""
    labels, both = phantom(), (*NEAREST[:2], (0, 0, 1), (0, 3, -2), (0, -3, -2))
    forward = np.zeros((5, *labels.shape), np.float32)
    for channel, offset in zip(forward, both, strict=True):
        for voxel in np.ndindex(labels.shape):
            partner = tuple(a + b for a, b in zip(voxel, offset, strict=True))
            if all(0 <= at < size for at, size in zip(partner, labels.shape, strict=True)):
                channel[voxel] = labels[voxel] == labels[partner]
    truth = affinities(labels, (*NEAREST, (0, -3, 2), (0, -3, -2)))
    told = {"offsets": np.array(both), "polarity": polarity}
    attractive = polarity == "attractive"
    found = read_affinities(stored(tmp_path / "a.h5", forward if attractive else 1 - forward, **told))
    assert (found.offsets, found.polarity) == (truth.offsets, polarity)
    assert np.array_equal(found.attractive().values, truth.values)


def test_offsets_against_which_the_file_speaks_are_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.h5", GOOD, **SAID | {"offsets": -np.array(NEAREST)})
    with pytest.raises(UsageError, match=r"--offsets: .*says others: 1 0 0; 0 1 0; 0 0 1.*leave it out"):
        read_affinities(path, offsets=NEAREST)
    same = stored(tmp_path / "b.h5", GOOD, **SAID)
    assert np.array_equal(read_affinities(same, offsets=NEAREST).values, GOOD)


def test_whole_numbers_are_parts_of_255(tmp_path: Path) -> None:
    values = (affinities(phantom(), NEAREST).values * 255).astype(np.uint8)
    path = stored(tmp_path / "a.h5", values)
    found = read_affinities(path, offsets=NEAREST, polarity="attractive")
    assert np.array_equal(found.values, affinities(phantom(), NEAREST).values)


def test_whole_numbers_up_to_1_are_0_and_1(tmp_path: Path) -> None:
    truth = affinities(phantom(), NEAREST)
    write_affinities(tmp_path / "a.h5", truth)
    assert np.array_equal(read_affinities(tmp_path / "a.h5").values, truth.values)


GOOD = affinities(phantom(), NEAREST).values.astype(np.float32)
SAID = {"offsets": np.array(NEAREST), "polarity": "attractive"}


@pytest.mark.parametrize(
    ("values", "attributes", "kind", "message"),
    [
        (GOOD, {"polarity": "attractive"}, UsageError, "--offsets"),
        (GOOD, {"offsets": np.array(NEAREST)}, UsageError, "--polarity"),
        (GOOD[:2], SAID, DataError, "2 channels for 3 offsets"),
        (GOOD, SAID | {"offsets": np.array([*NEAREST[:2], (0, 1, 0)])}, DataError, "is there twice: -1 0 0;"),
        (
            GOOD,
            SAID | {"offsets": np.array([*NEAREST[:2], (0, 0, 0)])},
            DataError,
            "none to the voxel itself",
        ),
        (GOOD, SAID | {"offsets": np.array(OFFSETS[1:])}, DataError, "the three faces"),
        (GOOD * 2, SAID, DataError, "from 0 to 2"),
        (GOOD * np.nan, SAID, DataError, "from nan"),
        (GOOD[:, :0], SAID, DataError, "no voxels: its shape is 3 x 0 x 9 x 14"),
        (GOOD, SAID | {"offsets": np.array(NEAREST) * 1.5}, DataError, "whole numbers of voxels"),
        (GOOD[0], SAID, DataError, "no data sets with axes c, z, y, x"),
        (GOOD.astype(complex), SAID, DataError, "of type complex"),
    ],
)
def test_affinities_that_cannot_be_used_are_refused(
    tmp_path: Path, values: np.ndarray, attributes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        read_affinities(stored(tmp_path / "a.h5", values, **attributes))


def test_a_polarity_is_read_from_bytes(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.h5", GOOD, **SAID | {"polarity": np.bytes_("attractive")})
    assert read_affinities(path).polarity == "attractive"


@pytest.mark.parametrize(
    ("kept", "said", "told"),
    [
        ({}, "repulsive", "give --polarity attractive; if not, store attribute polarity repulsive, too"),
        ({"polarity": "attractive"}, "repulsive", "as --polarity says"),
        ({"polarity": "repulsive"}, None, "mean the opposite.* attractive; if not, add --polarity repulsive"),
    ],
)
def test_a_polarity_against_which_the_numbers_speak_is_refused(
    tmp_path: Path, kept: dict[str, Any], said: Any, told: str
) -> None:
    path = stored(tmp_path / "a.h5", GOOD, offsets=np.array(NEAREST), **kept)
    with pytest.raises(DataError, match=told):
        read_affinities(path, polarity=said)


def test_affinities_of_few_small_objects_are_read_where_file_and_user_agree(tmp_path: Path) -> None:
    mitochondria = np.zeros((6, 20, 20), np.int32)
    mitochondria[2:4, 3:8, 3:8] = 1
    write_affinities(tmp_path / "a.h5", affinities(mitochondria, NEAREST))
    with pytest.raises(DataError, match="99% of all neighbours are apart"):
        read_affinities(tmp_path / "a.h5")
    assert read_affinities(tmp_path / "a.h5", polarity="attractive").polarity == "attractive"


def test_a_key_chooses_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.h5", GOOD, **SAID)
    with h5py.File(path, "a") as file:
        file["other"] = GOOD
    assert read_affinities(Path(f"{path}:/a/maps")).offsets == NEAREST
    with pytest.raises(DataError, match="/a/maps, /other"):
        read_affinities(path)
    with pytest.raises(DataError, match="no data sets /b"):
        read_affinities(Path(f"{path}:/b"))


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.h5", GOOD, **SAID)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError):
        read_affinities(path)


def test_how_neurons_are_made_of_them_travels_with_them(tmp_path: Path) -> None:
    decoding = {"fragments": "sections", "smoothing": 1.5, "linkage": "median", "threshold": 0.25}
    write_affinities(tmp_path / "a.h5", Affinities(GOOD, NEAREST), decoding)
    assert read_decoding(tmp_path / "a.h5") == decoding
    assert read_decoding(stored(tmp_path / "b.h5", GOOD, linkage=np.bytes_("mean"))) == {"linkage": "mean"}


@pytest.mark.parametrize(("name", "value"), [("threshold", 1.2), ("smoothing", -1), ("smoothing", "much")])
def test_a_number_that_is_none_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    path = stored(tmp_path / "a.h5", GOOD, **{name: value})
    with pytest.raises(DataError, match=f"attribute {name} holds .*store one number"):
        read_decoding(path)
