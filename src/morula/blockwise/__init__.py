"""Volumes of any size: blocks with halos, joined exactly, by any executor, resumed after any end."""

from morula.blockwise.apply import apply, run_blocks
from morula.blockwise.evaluate import overlap_by_blocks, slices_by_blocks
from morula.blockwise.executors import InlineExecutor, Workers, workers
from morula.blockwise.grid import BlockGrid, Box
from morula.blockwise.marks import Marks
from morula.blockwise.model import BlockModel, Loader, PredictBlock, as_bytes, sample
from morula.blockwise.neurons import Split, StoredAffinities, fragments_of, segment
from morula.blockwise.objects import Found, label_objects
from morula.blockwise.pyramid import fill_pyramid
from morula.blockwise.tiles import Tiling
from morula.blockwise.work import Work

__all__ = [
    "BlockGrid",
    "BlockModel",
    "Box",
    "Found",
    "InlineExecutor",
    "Loader",
    "Marks",
    "PredictBlock",
    "Split",
    "StoredAffinities",
    "Tiling",
    "Work",
    "Workers",
    "apply",
    "as_bytes",
    "fill_pyramid",
    "fragments_of",
    "label_objects",
    "overlap_by_blocks",
    "run_blocks",
    "sample",
    "segment",
    "slices_by_blocks",
    "workers",
]
