"""Volumes of any size: blocks with halos, joined exactly, by any executor, resumed after any end."""

from morula.blockwise.apply import run_blocks
from morula.blockwise.evaluate import overlap_by_blocks, slices_by_blocks
from morula.blockwise.executors import InlineExecutor, Workers, workers
from morula.blockwise.grid import BlockGrid, Box
from morula.blockwise.join import Numbered
from morula.blockwise.marks import Marks
from morula.blockwise.model import BlockModel, Loader, Scoring, as_bytes, sample
from morula.blockwise.neurons import Split, StoredAffinities, fragments_of, graph_of, segment
from morula.blockwise.objects import Found, Holes, Mask, enclosed, label_objects
from morula.blockwise.predict import predict_maps, predict_scratch, prediction_grid
from morula.blockwise.pyramid import fill_pyramid
from morula.blockwise.tiles import Tiled, Tiling
from morula.blockwise.work import Work

__all__ = [
    "BlockGrid",
    "BlockModel",
    "Box",
    "Found",
    "Holes",
    "InlineExecutor",
    "Loader",
    "Marks",
    "Mask",
    "Numbered",
    "Scoring",
    "Split",
    "StoredAffinities",
    "Tiled",
    "Tiling",
    "Work",
    "Workers",
    "as_bytes",
    "enclosed",
    "fill_pyramid",
    "fragments_of",
    "graph_of",
    "label_objects",
    "overlap_by_blocks",
    "predict_maps",
    "predict_scratch",
    "prediction_grid",
    "run_blocks",
    "sample",
    "segment",
    "slices_by_blocks",
    "workers",
]
