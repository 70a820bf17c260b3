"""Work on a Dask cluster: two workers give what one process gives."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import ndimage as ndi

from blocks import files_of
from morula.blockwise import BlockGrid, InlineExecutor, Marks, apply, workers
from morula.data.ome_zarr import scratch

SHAPE, GRID = (4, 12, 12), BlockGrid((4, 12, 12), (2, 6, 6), (1, 1, 1))


def largest(array):
    return ndi.maximum_filter(array, 3)


def test_a_cluster_gives_what_one_process_gives(tmp_path):
    volume = np.random.default_rng(0).integers(0, 99, SHAPE).astype(np.int32)
    source, sink, alone = (
        scratch(tmp_path / f"{name}.zarr", SHAPE, np.int32, (2, 6, 6)) for name in ("source", "sink", "alone")
    )
    source[:, :, :] = volume
    apply(largest, source, alone, GRID, InlineExecutor())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tornado and asyncio when a cluster closes
        with workers(2, "local") as team:
            marks = Marks.open(tmp_path / "marks", grid=GRID)
            apply(largest, source, sink, GRID, team.executor, marks=marks, ahead=team.ahead)
    assert np.array_equal(sink[...], largest(volume))
    assert files_of(tmp_path / "sink.zarr") == files_of(tmp_path / "alone.zarr")
