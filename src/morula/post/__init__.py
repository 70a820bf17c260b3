"""From maps to labels: numpy, scipy, scikit-image and cc3d only."""

from morula.post.components import clean, components, fill_holes, remove_small, z_median
from morula.post.contours import Candidates, blob_seeds, candidates, choose, closed_contours
from morula.post.regions import regions
from morula.post.watershed import centre_distance, drop_small, regrow, split

__all__ = [
    "Candidates",
    "blob_seeds",
    "candidates",
    "centre_distance",
    "choose",
    "clean",
    "closed_contours",
    "components",
    "drop_small",
    "fill_holes",
    "regions",
    "regrow",
    "remove_small",
    "split",
    "z_median",
]
