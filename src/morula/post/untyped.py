"""The border to libraries that have no types; results are annotated where they land."""

from importlib import import_module
from typing import Any

__all__ = [
    "cc3d",
    "csgraph",
    "draw",
    "graphs",
    "grids",
    "morphology",
    "multicuts",
    "ndi",
    "segmentation",
    "sparse",
    "spatial",
]

cc3d: Any = import_module("cc3d")
ndi: Any = import_module("scipy.ndimage")
draw: Any = import_module("skimage.draw")
morphology: Any = import_module("skimage.morphology")
segmentation: Any = import_module("skimage.segmentation")
spatial: Any = import_module("scipy.spatial")
graphs: Any = import_module("bioimage_cpp.graph")
grids: Any = import_module("bioimage_cpp.segmentation")
multicuts: Any = import_module("bioimage_cpp.graph.multicut")
sparse: Any = import_module("scipy.sparse")
csgraph: Any = import_module("scipy.sparse.csgraph")
