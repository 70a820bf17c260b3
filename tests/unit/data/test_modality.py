from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.data import immunohistochemistry
from skimage.draw import disk

from morula.core.types import Array
from morula.data.modality import modality, unit_grey


def scene(background: tuple[float, ...], cell: tuple[float, ...]) -> Array:
    image = np.empty((96, 96, len(background)), dtype=np.float32)
    image[...] = background
    for y in range(12, 96, 24):
        for x in range(12, 96, 24):
            image[disk((y, x), 6)] = cell
    return (image * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("background", "cell", "expected"),
    [
        ((0.02,), (0.8,), "fluorescence"),
        ((0.02, 0.02, 0.05), (0.1, 0.3, 0.9), "fluorescence"),
        ((0.9,), (0.3,), "brightfield"),
        ((0.95, 0.85, 0.92), (0.45, 0.2, 0.55), "H&E"),
        ((0.93, 0.93, 0.92), (0.45, 0.28, 0.15), "IHC"),
        ((0.93, 0.93, 0.92), (0.45, 0.55, 0.75), "IHC"),
    ],
)
def test_synthetic_scenes(background: tuple[float, ...], cell: tuple[float, ...], expected: str) -> None:
    assert modality(scene(background, cell)) == expected


def test_grey_on_both_sides_of_the_background_is_phase_contrast() -> None:
    image = scene((0.45,), (0.9,)).astype(np.float32)
    image[::7, ::5] = 10
    assert modality(image) == "phase contrast"


def test_depth_of_the_numbers_does_not_matter() -> None:
    image = scene((0.95, 0.85, 0.92), (0.45, 0.2, 0.55))
    assert modality(image.astype(np.uint16) * 257) == modality(image / 255.0) == "H&E"


def test_a_constant_image_has_no_contrast() -> None:
    assert not unit_grey(np.full((16, 16, 1), 7, dtype=np.uint8)).any()


def test_the_section_of_scikit_image_is_ihc() -> None:
    assert modality(immunohistochemistry()) == "IHC"


@pytest.mark.real
def test_real_images_are_told_apart(real_data: Path) -> None:
    known = {
        "hist_monuseg": "H&E",
        "ihc_bcdata_ki67": "IHC",
        "pc_usiigaci_t98g": "phase contrast",
    }
    for name, expected in known.items():
        for path in sorted((real_data / name / "open" / "images").iterdir()):
            assert modality(read(path)) == expected, path.name
    nuclei = real_data / "dsb2018" / "open"
    named = {"fluorescence": "fluorescence", "histology_color": "H&E", "brightfield_gray": "brightfield"}
    rows = json.loads((nuclei / "manifest.json").read_text())
    right = [modality(read(nuclei / "images" / f"{row['id']}.png")) == named[row["modality"]] for row in rows]
    assert np.mean(right) >= 0.99


def read(path: Path) -> Array:
    image = tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))
    return image[..., None] if image.ndim == 2 else image[..., :3]
