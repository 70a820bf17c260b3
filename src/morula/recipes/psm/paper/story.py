"""The pictures of a finished run, from its folders alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morula.core.types import Array
from morula.recipes.psm.paper.losses import IGNORE
from morula.report import ColourScale, Picture, Stage, colourise, label_colours, overlay

__all__ = ["SHOWN", "story"]

SHOWN = 2
"""How many images are shown."""

_UNIT = ColourScale("0", "1")
_BORDER, _POINT, _IGNORED = (86, 180, 233), (230, 159, 0), (24, 28, 32)


def story(path: Path) -> tuple[Stage, ...]:
    """What each stage made of the first images, for the report.

    Args:
        path: the run's folder.
    """
    return (
        _stage(
            path,
            "maps",
            "Activation map",
            "A network learns, without labels, to give an image and the same image turned by half a turn the "
            "same number. The map shows where its shallow layers drive that number; its sign is arbitrary.",
        ),
        _stage(
            path,
            "masks",
            "Clusters and pseudo-mask",
            "K-means clusters colour and map; the cluster that looks most like nuclei is the pseudo-mask.",
        ),
        _stage(
            path,
            "voronoi",
            "Second network, points and Voronoi borders",
            "A network that learnt the pseudo-masks gives probabilities; their peaks become points (orange) "
            "and the lines half-way between points become borders (blue). All else is left open.",
        ),
        _stage(
            path,
            "final",
            "Final network",
            "A new network learns background, borders and points; its connected regions are the nuclei.",
        ),
    )


def _stage(path: Path, folder: str, name: str, what: str) -> Stage:
    found = next(iter(path.glob(f"[0-9]*-{folder}")), path)
    images = sorted(next(iter(path.glob("[0-9]*-maps")), path).glob("*-image.npy"))[:SHOWN]
    stems = [file.name.removesuffix("-image.npy") for file in images]
    pictures = [
        picture
        for file, stem in zip(images, stems, strict=True)
        for picture in _pictures(folder, found, stem, np.load(file, allow_pickle=False))
    ]
    return Stage(name, what, tuple(pictures))


def _pictures(folder: str, found: Path, stem: str, image: Array) -> list[Picture]:
    def read(kind: str) -> Array:
        return np.load(found / f"{stem}-{kind}.npy", allow_pickle=False)

    match folder:
        case "maps":
            shown = colourise(read("map"), low=0, high=1)
            return [Picture(image, stem, "Image"), Picture(shown, stem, "Activation map", scale=_UNIT)]
        case "masks":
            mask = overlay(image, read("mask").astype(np.int32))
            clusters = label_colours(read("clusters").astype(np.int32))
            return [Picture(clusters, stem, "Clusters"), Picture(mask, stem, "Pseudo-mask")]
        case "voronoi":
            shown = colourise(read("probability").astype(np.float32), low=0, high=1)
            target = Picture(_target_colours(read("target")), stem, "Points and borders")
            return [Picture(shown, stem, "Second-stage probability", scale=_UNIT), target]
        case _:
            return [Picture(overlay(image, read("labels")), stem, "Final segmentation")]


def _target_colours(target: Array) -> Array:
    table = np.zeros((IGNORE + 1, 3), np.uint8)
    table[[0, 1, IGNORE]] = _BORDER, _POINT, _IGNORED
    return table[target]
