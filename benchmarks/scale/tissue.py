"""Dense neurites that are generated where they are read, and the whole neuron pipeline on them."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from morula.blockwise import (
    BlockGrid,
    BlockModel,
    Tiled,
    Work,
    overlap_by_blocks,
    predict_maps,
    prediction_grid,
    workers,
)
from morula.core.affinities import Offset
from morula.core.types import Axes, Volume
from morula.data.ome_zarr import scratch
from morula.engine import launch
from morula.metrics import neuron_scores_of
from morula.post import ContactSums, agglomerate, pooled_graph
from morula.tasks import neurons
from morula.tasks.neurons.blocks import block_model

__all__ = ["join_lattice", "segment_tissue"]

_PITCH, _LENGTH, _WALL = (34, 38), 400, 3.0  # voxels
_UNIT, _CHUNK, _VOXELS = (64, 256, 256), (1, 32, 128, 128), 2**24


@dataclass(frozen=True)
class Neurites:
    """Neurites side by side that run along z and bend: grey values or numbers, a function of the place."""

    shape: tuple[int, ...]
    labels: bool = False

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return np.dtype(np.uint32 if self.labels else np.uint8)

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """Bytes: light inside, dark between two; or which neurite it is, from 1 on."""
        found = np.empty([each.stop - each.start for each in box], self.dtype)
        for number, z in enumerate(range(box[0].start, box[0].stop)):
            found[number] = self._section(z, *np.ogrid[box[1:]])
        return found

    def _section(self, z: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        y, x = row.astype(np.float32), column.astype(np.float32)
        along = (9 * np.sin(y / 61) + 11 * np.sin(x / 53) + z) / np.float32(_LENGTH) + 1
        down = (y + 3 * np.sin(x / 29) + np.float32(7 * np.sin(z / 37))) / np.float32(_PITCH[0]) + 1
        right = (x + 3 * np.sin(y / 31) + np.float32(8 * np.sin(z / 43))) / np.float32(_PITCH[1]) + 1
        if self.labels:
            rows, columns = (size // pitch + 4 for size, pitch in zip(self.shape[1:], _PITCH, strict=True))
            deep, low, far = (each.astype(np.uint32) for each in (along, down, right))
            return (deep * np.uint32(rows) + low) * np.uint32(columns) + far + np.uint32(1)
        light = np.ones_like(down)
        for place, size in ((along, _LENGTH), (down, _PITCH[0]), (right, _PITCH[1])):
            near = 0.5 - np.abs(place - np.floor(place) - np.float32(0.5))
            np.minimum(light, near * np.float32(size / _WALL), out=light)
        return (light * 180 + _grain(z, row, column) * 70).astype(np.uint8)


class Stand(nn.Module):
    """In place of a trained network: two voxels belong together where it is light between them."""

    def __init__(self, offsets: tuple[Offset, ...]) -> None:
        super().__init__()
        self.offsets = offsets

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(1, c, z, y, x)` of grey values `(1, 1, z, y, x)`."""
        smooth = image[0, 0]
        for axis in range(3):
            smooth = (smooth + _moved(smooth, axis, 1)) / 2
        return 14 * (torch.stack([self._darkest(smooth, offset) for offset in self.offsets])[None] - 0.45)

    def _darkest(self, smooth: Tensor, offset: Offset) -> Tensor:
        """Of a voxel, its partner and those between."""
        axis, width, found = next(at for at, step in enumerate(offset) if step), 1, smooth
        while width <= -offset[axis]:
            step = min(width, 1 - offset[axis] - width)
            found, width = torch.minimum(found, _moved(found, axis, step)), width + step
        return found


def _moved(values: Tensor, axis: int, step: int) -> Tensor:
    """Each voxel's neighbour so far before it, itself where there is none."""
    found = values.clone()
    size = values.shape[axis]
    found.narrow(axis, step, size - step).copy_(values.narrow(axis, 0, size - step))
    return found


@dataclass(frozen=True)
class _Load:
    shape: tuple[int, int, int]

    def __call__(self) -> BlockModel:
        return _loaded(self.shape)


@lru_cache(maxsize=1)
def _loaded(shape: tuple[int, int, int]) -> BlockModel:
    offsets = neurons.offsets_of(neurons.Network(), isotropic=True)
    decode = neurons.Decode(mirrors=1)
    decoder = neurons.decoder_of(decode, isotropic=True)
    fabric = launch("cpu", "32-true")
    torch.set_num_threads(1)  # after the launch, which takes all cores
    return block_model(Stand(offsets), _volume(shape), offsets, decoder, decode, fabric)


def _volume(shape: tuple[int, ...]) -> Volume:
    return Volume(Neurites(shape), Axes("zyx"), f"neurites {shape}", stamp="1")


class Clock:
    """Seconds of the processor and peak memory of each step, kept through restarts."""

    def __init__(self, path: Path) -> None:
        self.path, self._step, self._began = path, "", time.process_time()

    def started(self, step: str, count: int) -> Callable[[int], None]:
        """Ends the step before."""
        del count
        self.stop()
        self._step = step
        return lambda index: None

    def stop(self) -> None:
        """Writes down what the last step took."""
        now, before = time.process_time(), self._began
        row = {"step": self._step, "cpu_s": now - before, "peak_gb": _peak()}
        if self._step:
            with self.path.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
        self._began = now

    def rows(self) -> list[dict[str, Any]]:
        """All that was written."""
        return [json.loads(line) for line in self.path.read_text().splitlines()]


def segment_tissue(folder: Path, shape: tuple[int, int, int], count: int = 1) -> dict[str, Any]:
    """Predicts, segments and evaluates one volume; what is done is not done again.

    Args:
        folder: for what is made on the way.
        shape: of the volume.
        count: of workers: this process alone, or so many others, whose seconds are not counted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    load, clock = _Load(shape), Clock(folder / "clock.jsonl")
    model = load()
    assert isinstance(model.predict, Tiled)
    unit = tuple(min(a, b) for a, b in zip(_UNIT, shape, strict=True))
    blocks = prediction_grid(model, shape, unit, _VOXELS)
    grid = BlockGrid(shape, unit, (0, 0, 0))
    maps = scratch(folder / "maps.zarr", (len(model.channels), *shape), np.uint8, _CHUNK)
    labels = scratch(folder / "labels.zarr", shape, np.uint32, _CHUNK[1:])
    with workers(count, "inline" if count == 1 else "processes") as team:
        work = Work(folder / "work", {"volume": shape}, team, clock.started)
        predict_maps(load, _volume(shape), maps, blocks, work)
        found = model.decode(maps, labels, grid, work)
        clock.started("evaluate", 1)
        table = overlap_by_blocks(labels, Neurites(shape, labels=True), grid, team.executor)
        clock.stop()
    graph = np.load(folder / "work" / "neurons.npy", mmap_mode="r")
    steps = clock.rows()
    return {
        "shape": shape,
        "predicted_in_blocks_of": blocks.block,
        "tiles": len(model.predict.tiling),
        "shared_tiles": model.predict.tiling.shared(blocks),
        "fragments": len(graph) - 1,
        "neurons": found,
        "true_neurons": len(table.truth_ids),
        **{name: neuron_scores_of(table)[name] for name in ("voi", "are")},
        "cpu_s": {step: sum(row["cpu_s"] for row in steps if row["step"] == step) for step in _names(steps)},
        "peak_gb_after": {
            step: max(row["peak_gb"] for row in steps if row["step"] == step) for step in _names(steps)
        },
        "peak_gb": max(row["peak_gb"] for row in steps),
        "workers": count,
        "worker_peak_gb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6,
    }


def join_lattice(asked: int) -> dict[str, Any]:
    """Pools the contacts of so many fragments, about twelve each, from 512 parts, and joins all of them."""
    side = round(asked ** (1 / 3))
    lattice, pairs = np.arange(1, side**3 + 1).reshape((side,) * 3), list[np.ndarray]()
    for z, y, x in ((0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)):
        one, other = lattice[: side - z, : side - y, : side - x], lattice[z:, y:, x:]
        pairs.append(np.stack([one.ravel(), other.ravel()], axis=1))
    edges, rng = np.concatenate(pairs), np.random.default_rng(0)
    told = list[ContactSums]()
    for part in np.array_split(edges[np.lexsort(edges.T[::-1])], 512):
        contacts = rng.integers(1, 400, len(part))
        means = rng.random(len(part))
        told.append(ContactSums(part, contacts, contacts, means * contacts, means))
    del pairs, edges, lattice
    before, began = _peak(), time.process_time()
    graph = pooled_graph(told, side**3)
    pooled = _peak()
    labels = agglomerate(graph).cut(0.5)
    return {
        "asked": asked,
        "fragments": side**3,
        "contacts": len(graph.pairs),
        "regions": int(labels.max()),
        "cpu_s": time.process_time() - began,
        "before_gb": before,
        "pooled_gb": pooled,
        "peak_gb": _peak(),
    }


def _names(steps: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["step"] for row in steps))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _grain(z: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Noise in [0, 1) that is a function of the place."""
    salt = np.uint32(z * 73856093 % 2**32) ^ y.astype(np.uint32) * np.uint32(19349663)
    salt = (salt ^ x.astype(np.uint32) * np.uint32(83492791)) * np.uint32(0x9E3779B1)
    salt ^= salt >> np.uint32(15)
    salt *= np.uint32(0x85EBCA6B)
    return (salt >> np.uint32(8)).astype(np.float32) / np.float32(2**24)
