"""Traced neurons in space, as one HTML page on which a person can turn them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from morula.core.files import write_text
from morula.core.tree import Tree

__all__ = ["Scene", "render_view", "write_view"]


class Scene(NamedTuple):
    """One stack with its trees.

    Attributes:
        name: of the stack.
        size: of the stack in micrometres, z, y, x; drawn as a box.
        tree: what was traced, in micrometres.
        truth: the true tree, if it is known, in micrometres.
    """

    name: str
    size: tuple[float, float, float]
    tree: Tree
    truth: Tree | None = None


def write_view(path: Path, title: str, scenes: Sequence[Scene]) -> None:
    """Writes the page, whole or not at all; it needs no network.

    Raises:
        ResourceError: the disk is full.
        DataError: the folder may not be written to.
    """
    write_text(path, render_view(title, scenes))


def render_view(title: str, scenes: Sequence[Scene]) -> str:
    """The page as text.

    Args:
        title: heading of the page.
        scenes: at least one.
    """
    environment = Environment(
        loader=PackageLoader("morula.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    data = json.dumps([_described(scene) for scene in scenes], separators=(",", ":"))
    names = [scene.name for scene in scenes]
    safe = data.replace("<", "\\u003c")
    return environment.get_template("view3d.html.j2").render(title=title, names=names, data=safe)


def _described(scene: Scene) -> dict[str, Any]:
    trees = [("trace", scene.tree)] + ([] if scene.truth is None else [("true trace", scene.truth)])
    return {
        "name": scene.name,
        "size": [round(edge, 2) for edge in scene.size[::-1]],
        "trees": [
            {
                "name": name,
                "points": np.round(tree.points[:, ::-1], 2).ravel().tolist(),
                "radius": np.round(tree.radius, 2).tolist(),
                "parent": tree.parent.tolist(),
                "length": round(tree.length, 1),
                "tips": len(tree.tips),
            }
            for name, tree in trees
        ],
    }
