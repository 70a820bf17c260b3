"""From maps to labels: numpy, scipy and scikit-image only."""

from morula.post.contours import Candidates, blob_seeds, candidates, choose, closed_contours
from morula.post.watershed import centre_distance, drop_small, regrow, split

__all__ = [
    "Candidates",
    "blob_seeds",
    "candidates",
    "centre_distance",
    "choose",
    "closed_contours",
    "drop_small",
    "regrow",
    "split",
]
