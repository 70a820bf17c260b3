"""The border to scipy and scikit-image, which have no types; results are annotated where they land."""

from importlib import import_module
from typing import Any

__all__ = ["draw", "morphology", "ndi", "segmentation"]

ndi: Any = import_module("scipy.ndimage")
draw: Any = import_module("skimage.draw")
morphology: Any = import_module("skimage.morphology")
segmentation: Any = import_module("skimage.segmentation")
