"""Small fields of cells, small stacks of electron microscopy, and traced neurites, with known labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage as ndi
from skimage.draw import ellipse

from morula.core.tree import Tree
from morula.core.types import Array
from morula.data import draw_tree, write_swc

__all__ = [
    "em_pair",
    "em_stack",
    "field",
    "neurites",
    "save_folder",
    "save_natural",
    "save_traced",
    "traced_stack",
]

_LOOKS = {
    "fluorescence": ((12, 12, 14), (190, 190, 190)),
    "H&E": ((232, 190, 218), (104, 62, 132)),
    "IHC": ((225, 224, 222), (96, 62, 38)),
}


def field(seed: int, *, look: str = "fluorescence", size: int = 160, count: int = 20) -> tuple[Array, Array]:
    """An image `(y, x, 3)` uint8 of elliptic nuclei, and its labels `(y, x)`."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((size, size), dtype=np.uint16)
    for _ in range(count * 4):
        y, x = rng.uniform(8, size - 8, 2)
        a, b = rng.uniform(6, 9, 2)
        inside = ellipse(y, x, a, b, labels.shape, rotation=rng.uniform(0, np.pi))
        wide = ellipse(y, x, a + 2, b + 2, labels.shape)
        if labels.max() < count and not labels[wide].any():
            labels[inside] = labels.max() + 1
    ground, cell = (np.array(colour, dtype=float) for colour in _LOOKS[look])
    amount = ndi.gaussian_filter((labels > 0).astype(float), 1.0)[..., None]
    texture = ndi.gaussian_filter(rng.normal(size=labels.shape), 1.5)[..., None]
    image = ground + amount * (cell - ground) * (1 + 0.4 * texture) + rng.normal(0, 3, (size, size, 3))
    return np.clip(image, 0, 255).astype(np.uint8), labels


def save_folder(folder: Path, fields: int, **options: object) -> tuple[Path, Path]:
    """Writes that many fields as PNG; returns the folders of images and labels."""
    images, masks = folder / "images", folder / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    for seed in range(fields):
        image, labels = field(seed, **options)  # type: ignore[arg-type]
        Image.fromarray(image).save(images / f"cells{seed}.png")
        Image.fromarray(labels).save(masks / f"cells{seed}.png")
    return images, masks


def em_stack(
    seed: int,
    *,
    nm: float = 8.0,
    size: int = 128,
    sections: int = 6,
    dark: float = 70.0,
    light: float = 170.0,
) -> tuple[Array, Array]:
    """Sections `(z, y, x)` uint8 with dark, striped mitochondria among thin membranes, and their mask 0 or 1.

    Args:
        seed: of all places.
        nm: edge of a pixel; a mitochondrion is about 250 x 400 nm.
        size: edge of a section in pixels.
        sections: how many.
        dark: grey value of mitochondria.
        light: of cytoplasm.
    """
    rng = np.random.default_rng(seed)
    mask = np.zeros((sections, size, size), dtype=np.uint8)
    for _ in range(max(3, round((size * nm / 420) ** 2 / 2))):
        y, x = rng.uniform(0, size, 2)
        a, b, turn = rng.uniform(105, 145) / nm, rng.uniform(160, 230) / nm, rng.uniform(0, np.pi)
        for z in range(sections):
            shrink = 1 - 0.06 * abs(z - sections / 2)
            mask[z][ellipse(y + z, x, a * shrink, b * shrink, (size, size), rotation=turn)] = 1
    noise = rng.normal(size=(sections, size, size))
    membranes = np.abs(ndi.gaussian_filter(noise, (1, 160 / nm, 160 / nm))) < 2e-4 * nm
    stripes = np.sin(np.arange(size) * 2 * np.pi * nm / 80)[None, :, None] * 12
    image = np.where(membranes, dark + 20, light)
    image = np.where(mask > 0, dark + stripes, image)
    image = ndi.gaussian_filter(image, (0, 0.8, 0.8)) + rng.normal(0, 8, image.shape)
    return np.clip(image, 1, 255).astype(np.uint8), mask


def em_pair(folder: Path, **options: object) -> dict[str, Path]:
    """Source and target as TIFF stacks: other grey values, and pixels of 8 and 12 nm."""
    folder.mkdir(parents=True, exist_ok=True)
    looks = {
        "source": {"nm": 8.0, "size": 144},
        "target": {"nm": 12.0, "size": 112, "dark": 95, "light": 150},
    }
    paths: dict[str, Path] = {}
    for seed, (name, look) in enumerate(looks.items()):
        image, mask = em_stack(seed, **{**look, **options})  # type: ignore[arg-type]
        paths |= {name: folder / f"{name}.tif", f"{name}_labels": folder / f"{name}_labels.tif"}
        tifffile.imwrite(paths[name], image, photometric="minisblack")
        tifffile.imwrite(paths[f"{name}_labels"], mask, photometric="minisblack")
    return paths


def neurites(seed: int, shape: tuple[int, int, int] = (24, 48, 56), count: int = 12) -> tuple[Array, Array]:
    """Cells that fill space, with dark membranes between them: `(z, y, x)` uint8, and their labels."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 1, (count, 3)) * shape
    grid = np.stack(np.indices(shape), axis=-1) / (3, 1, 1)
    distance = np.linalg.norm(grid[..., None, :] - places / (3, 1, 1), axis=-1)
    labels = (np.argmin(distance, axis=-1) + 1).astype(np.uint16)
    membrane = ndi.maximum_filter(labels, (1, 3, 3)) != ndi.minimum_filter(labels, (1, 3, 3))
    image = ndi.gaussian_filter(np.where(membrane, 60.0, 180.0), (0, 0.7, 0.7)) + rng.normal(0, 8, shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def traced_stack(seed: int, shape: tuple[int, int, int] = (10, 48, 64)) -> tuple[Array, Tree]:
    """A stack `(z, y, x)` uint8 with one branched neurite that enters at the left, and its tree in voxels."""
    rng = np.random.default_rng(seed)
    points = np.array([[5, 10, 0], [5, 22, 20], [6, 38, 30], [4, 22, 44], [4, 38, 58], [7, 8, 56]], float)
    points[1:] += rng.uniform(-2, 2, (5, 3)) * (0.5, 1, 1)
    tree = Tree.of(points, [-1, 0, 1, 1, 3, 3], 1.5)
    drawn = draw_tree(tree, shape, least=1.8).astype(float)
    image = 20 + 180 * ndi.gaussian_filter(drawn, 0.7) + rng.normal(0, 3, shape)
    return np.clip(image, 0, 255).astype(np.uint8), tree


def save_traced(folder: Path, stacks: int, traced: int, suffix: str = "_gold") -> tuple[Path, Path]:
    """Folders of stacks `n0.tif`, ... and of the traces of the first ones, `n0<suffix>.swc`, ..."""
    images, labels = folder / "stacks", folder / "traces"
    images.mkdir()
    labels.mkdir()
    for number in range(stacks):
        image, tree = traced_stack(number)
        tifffile.imwrite(images / f"n{number}.tif", image, photometric="minisblack")
        if number < traced:
            write_swc(labels / f"n{number}{suffix}.swc", tree)
    return images, labels


def save_natural(folder: Path) -> Path:
    """Two images with two boxes each, of two categories, and the COCO JSON that says so."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in (1, 2):
        pixels = np.random.default_rng(number).integers(0, 255, (80, 100, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 80, "width": 100})
        for place, category in ((5, 18), (45, 3)):
            box = [place, place, place + 30, place, place + 30, place + 30, place, place + 30]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": category,
                 "segmentation": [box], "bbox": [place, place, 30, 30], "area": 900, "iscrowd": 0}
            )  # fmt: skip
    path = folder / "instances.json"
    categories = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
