"""What files tell of themselves that is not to be believed: sizes of prints, palettes, lists of boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from morula.core.errors import DataError
from morula.core.types import Voxel
from morula.data import open_volume, read_labels
from morula.data.aperio import read_aperio
from morula.data.coco import read_coco

GREY = np.arange(400, dtype=np.uint8).reshape(20, 20)


@pytest.mark.parametrize(
    ("unit", "per_unit", "nm"), [("inch", 300.0, None), ("cm", 118.0, None), ("um", 4.0, 250.0)]
)
def test_a_resolution_of_print_is_no_pixel_size(
    tmp_path: Path, unit: str, per_unit: float, nm: float | None
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit})
    assert open_volume(path).voxel == (None if nm is None else Voxel(y=nm, x=nm))


def test_a_size_that_is_given_takes_the_place_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, imagej=True, resolution=(4.0, 4.0), metadata={"unit": "um"})
    volume = open_volume(path)
    assert volume.sized(None) == volume and volume.sized("unknown").voxel is None
    assert open_volume(path, voxel=Voxel(y=100.0, x=100.0)).voxel == Voxel(y=100.0, x=100.0)
    stack = volume.sized(Voxel(z=40.0, y=4.0, x=4.0)).sized(Voxel(y=5.0, x=5.0))
    assert stack.voxel == Voxel(z=40.0, y=5.0, x=5.0)


def test_a_stack_with_a_unit_and_no_section_distance_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    told = {
        "metadata": {"axes": "ZYX", "unit": "um"},
        "resolution": (1e4, 1e4),
        "resolutionunit": "CENTIMETER",
    }
    tifffile.imwrite(path, np.stack([GREY] * 3), photometric="minisblack", **told)
    assert open_volume(path).voxel == Voxel(y=1000.0, x=1000.0)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(
    ("greys", "labels"),
    [
        ([0, 255, 255, 255], [0, 1, 2, 3]),  # all objects white: the numbers tell them apart
        ([255, 0], [0, 1]),  # inverted: background stays 0
        ([0, 80, 160, 240], [0, 80, 160, 240]),  # a ramp: the greys are what was stored
    ],
)
def test_the_labels_of_a_grey_palette(
    tmp_path: Path, suffix: str, greys: list[int], labels: list[int]
) -> None:
    path, indices = tmp_path / f"a.{suffix}", (GREY % len(greys)).astype(np.uint8)
    ramp = [*greys, *[0] * (256 - len(greys))]
    if suffix == "png":
        image = Image.fromarray(indices, "P")
        image.putpalette([value for value in ramp for _ in range(3)])
        image.save(path)
    else:
        tifffile.imwrite(path, indices, photometric="palette", colormap=np.array([ramp] * 3, np.uint16) * 257)
    np.testing.assert_array_equal(read_labels(path), np.array(labels)[indices])


def document(**annotation: object) -> dict[str, object]:
    names = ["train/a.png", "test/a.png"]
    return {
        "images": [{"id": i, "file_name": name, "height": 9, "width": 9} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, **annotation} for i in range(2)],
    }


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        ({"segmentation": [[1, 1, 5, 1, 5, 5]]}, "train/a.png and of test/a.png, which share a name"),
        ({"bbox": [1, 1, 4, 4]}, "2 annotations with boxes and none with an outline"),
    ],
)
def test_coco_that_would_lose_objects_is_refused(
    tmp_path: Path, annotation: dict[str, object], told: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document(**annotation)))
    with pytest.raises(DataError, match=told):
        read_coco(path)


def test_an_aperio_region_without_corners_is_no_object(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((1, 1), (6, 1), (6, 6)))
    path.write_text(f"<a><Region Id='1'/><Region Id='2'><Vertices>{corners}</Vertices></Region></a>")
    assert read_aperio(path, (9, 9)).max() == 1


@pytest.mark.parametrize(("axes", "told"), [("TYX", True), ("TZYX", False)])
def test_sections_that_were_saved_as_frames_are_told_of(tmp_path: Path, axes: str, told: bool) -> None:
    shape = (10, 6, 8) if axes == "TYX" else (10, 2, 6, 8)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), imagej=True, metadata={"axes": axes})
    with pytest.raises(DataError, match="10 time points") as caught:
        open_volume(tmp_path / "a.tif")
    sections = "if these are sections, save them as slices (Fiji: Image > Properties); else"
    assert (sections in str(caught.value)) == told
    assert "save each time point as a file of its own" in str(caught.value)
