"""A volume that is generated where it is read, and the whole way through it: maps, objects, scores."""

from __future__ import annotations

import hashlib
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from morula.blockwise import BlockGrid, Work, Workers, label_objects, overlap_by_blocks
from morula.data.ome_zarr import scratch

__all__ = ["BLOCK", "UNIT", "Blobs", "digest", "segment_blobs"]

UNIT, BLOCK = (32, 128, 128), (64, 256, 256)
_HASH = np.uint32(0x9E3779B1)


@dataclass(frozen=True)
class Blobs:
    """Noisy round objects on a wavy lattice, as a function of the place alone."""

    shape: tuple[int, ...]
    noise: float = 0.2

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return np.dtype(np.float32)

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """Grey values, foreground above a half."""
        z, y, x = np.ogrid[box]
        wave = np.sin(z / 7).astype("f4") * np.sin(y / 11).astype("f4") * np.sin(x / 13).astype("f4")
        if not self.noise:
            return np.float32(0.5) + np.float32(0.5) * wave
        salt = z.astype("u4") * np.uint32(73856093) ^ y.astype("u4") * np.uint32(19349663)
        salt = (salt ^ x.astype("u4") * np.uint32(83492791)) * _HASH
        salt ^= salt >> np.uint32(15)
        salt *= _HASH
        grain = salt.astype("f4") / np.float32(2**32) - np.float32(0.5)
        return np.float32(0.5) + np.float32(0.5) * wave + np.float32(self.noise) * grain


@dataclass(frozen=True)
class _Truth:
    """The objects without noise, as a mask."""

    shape: tuple[int, ...]
    dtype = np.dtype(np.uint8)

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        return (Blobs(self.shape, 0.0)[box] > 0.7).astype(np.uint8)


@dataclass(frozen=True)
class _Smooth:
    """A task: the stand-in for a network, on a block with a halo of one section."""

    source: Blobs
    sink: Any
    grid: BlockGrid

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """Tells how many seconds the forward pass alone took."""
        torch.set_num_threads(1)
        image = torch.from_numpy(self.source[self.grid.read(index)])[None, None]
        began = time.perf_counter()
        found = torch.nn.functional.avg_pool3d(image, (3, 1, 1), 1, (1, 0, 0), count_include_pad=False)[
            0, 0
        ].numpy()
        spent = time.perf_counter() - began
        inner = found[self.grid.inner(index)]
        self.sink[self.grid.write(index)] = np.round(np.clip(inner, 0, 1) * 255).astype(np.uint8)
        return {"forward": np.array(spent)}


def segment_blobs(
    folder: Path, shape: tuple[int, ...], block: tuple[int, ...], team: Workers
) -> dict[str, Any]:
    """Predicts, numbers and evaluates one volume; what is done already is not done again."""
    grid = BlockGrid(shape, tuple(min(a, b) for a, b in zip(block, shape, strict=True)), (1, 0, 0))
    unit = tuple(min(a, b) for a, b in zip(UNIT, grid.block, strict=True))
    work = Work(folder / "work", {"volume": shape}, team, chunk=unit)
    maps = scratch(folder / "maps.zarr", shape, np.uint8, unit)
    labels = scratch(folder / "labels.zarr", shape, np.uint32, unit)
    began = time.perf_counter()
    told = work.run("predict", _Smooth(Blobs(shape), maps, grid), grid)
    predicted = time.perf_counter()
    found = label_objects(maps, labels, grid, work, threshold=178, smallest=20)
    numbered = time.perf_counter()
    table = overlap_by_blocks(labels, _Truth(shape), grid, team.executor, ahead=team.ahead)
    done = time.perf_counter()
    return {
        "shape": shape,
        "blocks": len(grid),
        "objects": found.count,
        "iou": table.pixels.ap,
        "predict_s": predicted - began,
        "forward_s": float(sum(float(each["forward"]) for each in told)),
        "number_s": numbered - predicted,
        "evaluate_s": done - numbered,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def digest(folder: Path) -> str:
    """Of the labels' files, by name and content."""
    found = hashlib.sha256()
    for path in sorted((folder / "labels.zarr").rglob("*")):
        if path.is_file():
            found.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return found.hexdigest()
