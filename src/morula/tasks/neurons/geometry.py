"""What the shape of a voxel decides: the network's kernels, the offsets, and where fragments are flooded."""

from __future__ import annotations

from typing import Any

from morula.core.affinities import LONG_RANGE, LONG_RANGE_CUBES, MUTEX, MUTEX_CUBES, NEAREST, Offset
from morula.core.types import Voxel
from morula.engine import WeightsInfo
from morula.nets import Mala3d, ResidualUNet3d, Unetr3d
from morula.tasks.neurons.settings import Network

__all__ = ["Backbone", "build", "described", "is_isotropic", "offsets_of", "patch_of"]

Backbone = ResidualUNet3d | Unetr3d | Mala3d
"""What `build` builds: maps from a pyramid of features."""

_ISOTROPIC = 1.8  # times; a voxel that is deeper than this times its width belongs to a stack of sections
_BACKBONES = {
    "residual-unet": (ResidualUNet3d, "neurons.residual_unet3d"),
    "unetr": (Unetr3d, "neurons.unetr3d"),
    "mala": (Mala3d, "neurons.mala3d"),
}


def is_isotropic(settings: Network, voxel: Voxel | None) -> bool:
    """Whether all axes are alike; where nobody knows the size, sections are assumed to be thick."""
    if settings.geometry != "auto":
        return settings.geometry == "isotropic"
    return voxel is not None and voxel.z is not None and voxel.z / min(voxel.y, voxel.x) < _ISOTROPIC


def offsets_of(settings: Network, *, isotropic: bool) -> tuple[Offset, ...]:
    """The offsets that are learned, the nearest first."""
    if settings.offsets == "nearest":
        return NEAREST
    if settings.offsets == "mutex":
        return MUTEX_CUBES if isotropic else MUTEX
    return LONG_RANGE_CUBES if isotropic else LONG_RANGE


def patch_of(*, isotropic: bool) -> tuple[int, int, int]:
    """Voxels of a patch: what a transformer has as a token, and what is hidden together."""
    return (8, 8, 8) if isotropic else (4, 16, 16)


def described(settings: Network, *, isotropic: bool) -> WeightsInfo:
    """What is stored with the weights of a network that `build` builds, so that others can be told."""
    arguments = _arguments(settings, isotropic=isotropic)
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in arguments.items()}
    return WeightsInfo(_BACKBONES[settings.backbone][1], plain)


def build(settings: Network, channels_out: int, *, isotropic: bool, skips: bool = True) -> Backbone:
    """An untrained network; torch's generator decides its weights.

    It stays in torch's own layout: with channels last the bf16 backward pass of small volumes reads memory
    that nobody wrote (torch 2.15 on CPUs), which shows as a loss that is not finite, now and then.
    """
    made, _ = _BACKBONES[settings.backbone]
    return made(1, channels_out, skips=skips, **_arguments(settings, isotropic=isotropic))


def _arguments(settings: Network, *, isotropic: bool) -> dict[str, Any]:
    if settings.backbone == "unetr":
        return {
            "patch": patch_of(isotropic=isotropic),
            "width": settings.unetr_width,
            "depth": settings.unetr_depth,
            "features": settings.unetr_features,
        }
    if settings.backbone == "mala":
        return {"widths": settings.mala_widths, "pool": (3, 3, 3) if isotropic else (1, 3, 3)}
    plane = 2 if settings.coarse else 1
    return {
        "widths": settings.widths,
        "pool": (2, 2, 2) if isotropic else (1, 2, 2),
        "kernel": (3, 3, 3) if isotropic else (1, 3, 3),
        "norm": settings.norm,
        "stride": (plane, plane, plane) if isotropic else (1, plane, plane),
    }
