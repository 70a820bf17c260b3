"""Labels to the maps that a network learns: numpy and scipy only."""

from morula.targets.affinities import affinities, partnered, widen_border

__all__ = ["affinities", "partnered", "widen_border"]
