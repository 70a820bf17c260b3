"""Small fields of cells with known labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage as ndi
from skimage.draw import ellipse

from morula.core.types import Array

__all__ = ["field", "save_folder"]

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
