"""The stages as pictures for the report, from the arrays that the stages left on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from morula.report import Stage as Chapter

__all__ = ["chapters"]


def chapters(path: Path) -> list[Chapter]:
    """One chapter a stage, in the order of the algorithm.

    Args:
        path: folder of a finished run.
    """
    from morula.engine import read_json
    from morula.report import Picture, Stage, colourise, overlay, to_rgb8

    def array(stage: str, name: str) -> np.ndarray:
        return np.load(next(path.glob(f"*-{stage}")) / f"{name}.npy", allow_pickle=False)

    view = to_rgb8(array("prepare", "density").astype(np.float32))
    agreement = read_json(next(path.glob("*-activation")) / "done.json")["correlation"]
    told = [
        Stage(
            "Density",
            "The image as one map in which objects are bright, brought to a common size of objects.",
            (Picture(view, "Density"),),
        ),
        Stage(
            "Self-activation",
            f"What a network trained without labels responds to; correlation with density {agreement:.2f}.",
            (Picture(colourise(array("activation", "map").astype(np.float32)), "Prior self-activation map"),),
        ),
        Stage(
            "Clusters",
            "A mixture model over all images says which pixels look like objects.",
            (Picture(colourise(array("pseudo", "foreground").astype(np.float32)), "Foreground"),),
        ),
        Stage(
            "Pseudo labels",
            "Closed outlines with a strong edge, a round shape and a usual size.",
            (Picture(overlay(view, array("pseudo", "labels")), "Pseudo instances"),),
        ),
    ]
    for stage in sorted(path.glob("*-train*")):
        name = "First training" if stage.name.endswith("train") else "Self-training"
        maps = colourise(np.load(stage / "foreground.npy").astype(np.float32))
        text = "The network learns from the pseudo labels; its mean becomes the teacher of the next round."
        told.append(Stage(name, text, (Picture(maps, "Foreground found by the network"),)))
    return told
