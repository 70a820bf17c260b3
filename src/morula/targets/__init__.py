"""Labels to the maps that a network learns: numpy and scipy only."""

from morula.targets.affinities import affinities, partnered, widen_border
from morula.targets.shape_descriptors import DESCRIPTORS, shape_descriptors

__all__ = ["DESCRIPTORS", "affinities", "partnered", "shape_descriptors", "widen_border"]
