"""From maps to labels: numpy, scipy, scikit-image, cc3d and bioimage-cpp only."""

from morula.post.agglomerate import Linkage, MergeTree, agglomerate, relabel
from morula.post.bridges import bridged
from morula.post.components import clean, components, fill_holes, remove_small, z_median
from morula.post.contours import Candidates, blob_seeds, candidates, choose, closed_contours
from morula.post.fragments import boundary, fragments
from morula.post.looks import merge_looks
from morula.post.partition import multicut, mutex_watershed
from morula.post.paste import paste_masks
from morula.post.region_graph import ContactSums, RegionGraph, contact_sums, pooled_graph, region_graph
from morula.post.regions import regions
from morula.post.sharpen import sharpen
from morula.post.trace import Tracing, neuron_piece, trace, trace_piece
from morula.post.watershed import (
    basins,
    centre_distance,
    drop_small,
    filled,
    regrow,
    rims,
    smooth_outlines,
    split,
)

__all__ = [
    "Candidates",
    "ContactSums",
    "Linkage",
    "MergeTree",
    "RegionGraph",
    "Tracing",
    "agglomerate",
    "basins",
    "blob_seeds",
    "boundary",
    "bridged",
    "candidates",
    "centre_distance",
    "choose",
    "clean",
    "closed_contours",
    "components",
    "contact_sums",
    "drop_small",
    "fill_holes",
    "filled",
    "fragments",
    "merge_looks",
    "multicut",
    "mutex_watershed",
    "neuron_piece",
    "paste_masks",
    "pooled_graph",
    "region_graph",
    "regions",
    "regrow",
    "relabel",
    "remove_small",
    "rims",
    "sharpen",
    "smooth_outlines",
    "split",
    "trace",
    "trace_piece",
    "z_median",
]
