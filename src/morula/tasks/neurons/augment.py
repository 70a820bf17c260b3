"""How crops of electron micrographs are varied: symmetries of the tissue, and what instruments do to it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from morula.core.types import Array

__all__ = ["recolour", "symmetry"]


def symmetry(rng: np.random.Generator, arrays: tuple[Array, ...], *, isotropic: bool) -> tuple[Array, ...]:
    """Mirrors and turns all arrays `(z, y, x)` in the same way, and keeps their shape.

    Crops must be as high as wide; z changes places only where axes are alike and the crop is a cube.
    """
    cube = isotropic and len(set(arrays[0].shape)) == 1
    turned = rng.permutation(3) if cube else np.array([0, *(1 + rng.permutation(2))])
    mirrored = tuple(int(axis) for axis in np.flatnonzero(rng.random(3) < 0.5))
    return tuple(np.flip(each.transpose(turned), mirrored) for each in arrays)


def recolour(rng: np.random.Generator, image: Array, *, isotropic: bool) -> Array:
    """Contrast, brightness, gamma, noise and blur of a crop `(z, y, x)`, and lost or faint sections.

    Sections are lost only where they are cut; in block-face imaging none is.
    """
    found = np.clip(image, 0, 1) ** (2.0 ** rng.uniform(-0.6, 0.6))
    found = (found - 0.5) * rng.uniform(0.7, 1.3) + 0.5 + rng.uniform(-0.15, 0.15)
    if rng.random() < 0.3:
        plane = rng.uniform(0.3, 1.2)
        found = np.asarray(ndi.gaussian_filter(found, (plane if isotropic else 0, plane, plane)))
    if rng.random() < 0.5:
        found = found + rng.normal(0, rng.uniform(0, 0.08), found.shape)
    if not isotropic and rng.random() < 0.2:
        section = int(rng.integers(len(found)))
        found[section] = found[section] * rng.uniform(0, 0.4) + rng.uniform(0, 0.5)
    return found.astype(np.float32)
