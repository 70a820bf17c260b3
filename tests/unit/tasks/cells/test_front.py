from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morula.core.rng import Rng
from morula.data import open_volume
from morula.data.modality import Modality
from morula.tasks.cells import front
from morula.tasks.cells.front import Prepared, common_kinds, one_kind, window


def image(kind: Modality) -> Prepared:
    return Prepared(kind, np.zeros((8, 8), np.float32), np.zeros((8, 8, 3), np.float32), (8, 8), 22.0)


def test_one_stray_in_ten_images_leaves_a_set_of_one_kind():
    assert one_kind([image("H&E")] * 9 + [image("IHC")]) == "H&E"


def test_a_mixed_set_and_an_empty_one_are_of_no_kind():
    assert one_kind([image("H&E")] * 4 + [image("fluorescence")]) is None
    assert one_kind([]) is None


def test_kinds_with_half_as_many_images_as_the_most_frequent_are_common():
    assert common_kinds([image("fluorescence")] * 6 + [image("H&E")] * 2 + [image("IHC")] * 3) == [
        "IHC",
        "fluorescence",
    ]
    assert common_kinds([]) == []


@pytest.mark.parametrize("side", [20, 64])
@pytest.mark.parametrize("shape", [(30, 40, 3), (30, 40)])
def test_a_window_keeps_nothing_else_of_its_image(
    shape: tuple[int, ...], side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "_WINDOW", side)
    pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = open_volume(tmp_path / "a.png")
    found = window(image, Rng(0, "windows"), 3)
    assert found.flags.owndata
    height, width, _ = found.shape
    assert (height, width) == (min(side, 30), min(side, 40))
    y, x = (int(Rng(0, "windows").at(3).integers(max(1, size - side + 1))) for size in shape[:2])
    assert np.array_equal(found, image.read_yxc()[y : y + side, x : x + side])
