"""What the `multiscales` of OME-Zarr say, as plain values; no store is touched here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Axes, Voxel

__all__ = ["Layout", "Level", "Multiscale", "Version", "attributes_of", "described", "parsed"]

Version = Literal["0.4", "0.5"]

_NANOMETRES = {
    "angstrom": 0.1, "nanometer": 1.0, "nanometre": 1.0, "micrometer": 1e3, "micrometre": 1e3,
    "millimeter": 1e6, "millimetre": 1e6, "centimeter": 1e7, "centimetre": 1e7, "meter": 1e9, "metre": 1e9,
    "picometer": 1e-3, "picometre": 1e-3,
}  # fmt: skip
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_FIX = "write its metadata again with a tool that follows OME-Zarr 0.4 or 0.5"


@dataclass(frozen=True)
class Level:
    """One resolution.

    Attributes:
        path: of its array in the group.
        scale: edge of a voxel along each stored axis, in the stored unit.
        translation: of the first voxel's centre, in the same unit.
    """

    path: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True)
class Multiscale:
    """An image at several resolutions.

    Attributes:
        version: of OME-Zarr.
        axes: stored, one letter each out of t, c, z, y, x.
        units: of each axis, "" where none is declared.
        levels: the largest first.
        name: of the image, "" where it has none.
        channels: what each channel shows, where that is declared.
    """

    version: Version
    axes: str
    units: tuple[str, ...]
    levels: tuple[Level, ...]
    name: str = ""
    channels: tuple[str, ...] = ()

    def voxel(self, level: Level) -> Voxel | None:
        """Size of a voxel in nm, None where an axis of space has no unit of length."""
        lengths = self._nm(level.scale)
        return None if lengths is None else Voxel(y=lengths["y"], x=lengths["x"], z=lengths.get("z"))

    def offset(self, level: Level) -> tuple[float, float, float] | None:
        """Where a level's first voxel lies, z, y, x in nm; None without unit, z axis, or if all is zero."""
        shift = self._nm(level.translation)
        if shift is None or "z" not in shift or not any(shift.values()):
            return None
        return shift["z"], shift["y"], shift["x"]

    def _nm(self, lengths: Sequence[float]) -> dict[str, float] | None:
        """Lengths along the axes of space by their letters."""
        of_space = [each for each in zip(self.axes, self.units, lengths, strict=True) if each[0] in "zyx"]
        if any(unit not in _NANOMETRES for _, unit, _ in of_space):
            return None
        return {axis: length * _NANOMETRES[unit] for axis, unit, length in of_space}


@dataclass(frozen=True)
class Layout:
    """What is needed to describe an image that is to be written.

    Attributes:
        axes: of the array.
        voxel: size of a voxel in nm, None where nobody knows.
        factors: of each level against the first, an integer for each axis; the first is all ones.
        version: of OME-Zarr.
        name: of the image.
        channels: what each channel shows.
    """

    axes: Axes
    voxel: Voxel | None
    factors: tuple[tuple[int, ...], ...]
    version: Version = "0.5"
    name: str = "image"
    channels: tuple[str, ...] = ()


def attributes_of(attributes: Mapping[str, Any]) -> tuple[Version, Mapping[str, Any]]:
    """The version of OME-Zarr and its metadata: under `ome` since 0.5, at the top before."""
    if isinstance(attributes.get("ome"), Mapping):
        return "0.5", attributes["ome"]
    return "0.4", attributes


def parsed(attributes: Mapping[str, Any], where: str) -> Multiscale:
    """What the attributes of a group declare.

    Args:
        attributes: of the group.
        where: what to name in an error.

    Raises:
        DataError: no multiscales, another version, axes that we do not know, or scales that no image has.
    """
    version, ome = attributes_of(attributes)
    scales = ome.get("multiscales")
    if not isinstance(scales, Sequence) or not scales or not isinstance(scales[0], Mapping):
        raise DataError(
            where, "a Zarr group without OME-Zarr multiscales", "name the group of an image inside it"
        )
    declared = str(ome.get("version", scales[0].get("version", version)))
    if declared not in {"0.4", "0.5"}:
        raise DataError(where, f"OME-Zarr of version {declared}", "convert it to 0.4 or 0.5")
    try:
        axes = [dict(axis) for axis in scales[0]["axes"]]
        names = "".join(str(axis["name"]).lower() for axis in axes)
        common = scales[0].get("coordinateTransformations", ())
        levels = tuple(_level(each, common, len(axes)) for each in scales[0]["datasets"])
    except (KeyError, TypeError, ValueError) as error:
        found = f"multiscales that cannot be read ({type(error).__name__}: {error})"
        raise DataError(where, found, _FIX) from error
    _check(names, len(axes), levels, where)
    units = tuple(str(axis.get("unit", "")).lower() for axis in axes)
    return Multiscale(
        version, names, units, levels, str(scales[0].get("name", "")), _channels(ome.get("omero"))
    )


def described(layout: Layout, paths: Sequence[str]) -> dict[str, Any]:
    """The attributes of a group that holds an image.

    Args:
        layout: of the image.
        paths: of the level's arrays, the largest first.
    """
    axes = [_axis(letter, layout.voxel) for letter in layout.axes.order]
    datasets = [
        {"path": path, "coordinateTransformations": _transformations(layout, factors)}
        for path, factors in zip(paths, layout.factors, strict=True)
    ]
    scale: dict[str, Any] = {"name": layout.name, "axes": axes, "datasets": datasets}
    ome: dict[str, Any] = {"multiscales": [scale]}
    if layout.channels and layout.axes.has_channels:
        window = {"min": 0, "max": 255, "start": 0, "end": 255}
        ome["omero"] = {
            "channels": [
                {"label": name, "color": "FFFFFF", "active": True, "window": dict(window)}
                for name in layout.channels
            ]
        }
    if layout.version == "0.5":
        return {"ome": {"version": "0.5", **ome}}
    scale["version"] = "0.4"
    return ome


def _level(dataset: Mapping[str, Any], common: Sequence[Mapping[str, Any]], ndim: int) -> Level:
    """A level by its own transformations, and after them those that all levels have in `common`."""
    own = dataset["coordinateTransformations"]
    if all(step["type"] != "scale" for step in own):
        raise ValueError("a level without a scale")
    scale, shift = np.ones(ndim), np.zeros(ndim)
    for step in (*own, *common):
        kind = step["type"]
        if kind not in ("scale", "translation"):
            raise ValueError(f"a transformation of type {kind}")
        numbers = np.asarray(step[kind], float)
        if numbers.shape != (ndim,):
            raise ValueError(f"{numbers.size} {kind}s for {ndim} axes")
        scale, shift = (scale * numbers, shift * numbers) if kind == "scale" else (scale, shift + numbers)
    if not (np.isfinite([scale, shift]).all() and (scale > 0).all()):
        raise ValueError(f"the scale {scale.tolist()} and translation {shift.tolist()}")
    return Level(str(dataset["path"]), tuple(scale.tolist()), tuple(shift.tolist()))


def _check(names: str, count: int, levels: Sequence[Level], where: str) -> None:
    kept = "".join(letter for letter in "tczyx" if letter in names)
    if len(names) != count or len(set(names)) != count or names != kept or not names.endswith("yx"):
        raise DataError(
            where, f"the axes {names or '(none)'}", "store them as (t) (c) (z) y x, in this order"
        )
    if not levels:
        raise DataError(where, "multiscales without any level", _FIX)


def _channels(omero: Any) -> tuple[str, ...]:
    if not isinstance(omero, Mapping) or not isinstance(omero.get("channels"), Sequence):
        return ()
    return tuple(str(each.get("label", "")) for each in omero["channels"] if isinstance(each, Mapping))


def _axis(letter: str, voxel: Voxel | None) -> dict[str, str]:
    axis = {"name": letter, "type": _TYPES[letter]}
    if voxel is not None and letter in "zyx" and getattr(voxel, letter) is not None:
        axis["unit"] = "nanometer"
    return axis


def _transformations(layout: Layout, factors: Sequence[int]) -> list[dict[str, Any]]:
    """A voxel of a coarse level is as large as `factor` fine ones, and its centre is the centre of these."""
    edges = [
        1.0 if layout.voxel is None or letter == "c" else float(getattr(layout.voxel, letter) or 1.0)
        for letter in layout.axes.order
    ]
    scale = [edge * factor for edge, factor in zip(edges, factors, strict=True)]
    shift = [edge * (factor - 1) / 2 for edge, factor in zip(edges, factors, strict=True)]
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
