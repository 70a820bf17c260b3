"""A small stack that looks a little like electron micrographs: dark textured blobs among thin dark lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage as ndi

from morula.core.types import Array

__all__ = ["blobs", "membranes", "save_stack"]


def blobs(seed: int, *, sections: int = 4, size: int = 128, scale: float = 1.0) -> tuple[Array, Array]:
    """An image `(z, y, x)` uint8 and the mask of its blobs; lengths grow with `scale`."""
    rng = np.random.default_rng(seed)
    ground = ndi.gaussian_filter(rng.normal(size=(sections, size, size)), (3, 9 * scale, 9 * scale))
    ground /= ground.std()
    mask = ndi.binary_opening(
        ground > 1.4, ndi.generate_binary_structure(3, 1) * np.array([0, 1, 0])[:, None, None]
    )
    image = membranes(seed + 1, sections=sections, size=size, scale=scale).astype(float)
    ripples = ndi.gaussian_filter(rng.normal(size=image.shape), (0, scale, scale))
    inside = ndi.gaussian_filter(mask.astype(float), (0, 1, 1))
    image += inside * (70 + 60 * ripples - image)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def membranes(seed: int, *, sections: int = 4, size: int = 128, scale: float = 1.0) -> Array:
    """Dark lines between cells of random size, `(z, y, x)` uint8, with noise of the instrument."""
    rng = np.random.default_rng(seed)
    field = ndi.gaussian_filter(rng.normal(size=(sections, size, size)), (2, 7 * scale, 7 * scale))
    field /= field.std()
    lines = np.exp(-((field / 0.25) ** 2))
    lines += 0.6 * np.exp(-((ndi.gaussian_filter(field[::-1, :, ::-1], (0, scale, scale)) / 0.3) ** 2))
    noisy = 170 - 80 * lines + rng.normal(0, 8, field.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def save_stack(path: Path, stack: Array) -> Path:
    """Writes a stack as the pages of a TIFF; a mask as 0 and 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = stack.astype(np.uint8) if stack.dtype == np.bool_ else stack
    tifffile.imwrite(path, values, photometric="minisblack")
    return path
