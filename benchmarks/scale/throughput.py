"""How much of the network's own speed is left: blocks beside the bare forward pass and a sliding window.

    python benchmarks/scale/throughput.py speed [--shape Z,Y,X] [--block Z,Y,X] [--repeats 3] [--monai]
    python benchmarks/scale/throughput.py workers                        (two idle cores)
    python benchmarks/scale/throughput.py curve

`speed` counts seconds of the processor, not of the clock, so that other work on the machine matters little;
one thread, float32, the untrained network of the neuron recipes, one view, tiles of 64 x 64 x 64 that repeat
a quarter. `workers` is the clock's time of one and of two processes of a local Dask cluster. `curve` computes
from what was measured; it measures only the time that the scheduler takes for a block that does nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import keep, rows
from volume import Blobs

from morula.blockwise import BlockGrid, BlockModel, Tiled, Tiling, Work, predict_maps, workers
from morula.core.rng import Rng
from morula.core.types import Axes
from morula.data.ome_zarr import create_image, open_ome_zarr, write_image
from morula.engine import launch, seeded
from morula.tasks import neurons
from morula.tasks.neurons.blocks import block_model

TILE, OVERLAP, BLOCK = (64, 64, 64), 0.25, (64, 256, 256)
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass
class Timed:
    """A network that knows how long it ran."""

    network: torch.nn.Module
    seconds: float = 0.0
    tiles: int = 0

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Logits of tiles `(b, 1, z, y, x)`."""
        began = time.process_time()
        found = self.network(image)
        self.seconds += time.process_time() - began
        self.tiles += len(image)
        return found


@dataclass(frozen=True)
class Load:
    """Builds the model in the process that asks for it, once."""

    image: Path

    def __call__(self) -> BlockModel:
        """The model."""
        return loaded(self.image)[0]


@lru_cache(maxsize=1)
def loaded(image: Path) -> tuple[BlockModel, torch.nn.Module]:
    """The model and its network."""
    settings = neurons.Network()
    offsets = neurons.offsets_of(settings, isotropic=True)
    with seeded(Rng(0, "weights")):
        network = neurons.build(settings, len(offsets), isotropic=True)
    decode = neurons.Decode(tile=TILE, overlap=OVERLAP, mirrors=1)
    decoder = neurons.decoder_of(decode, isotropic=True)
    fabric = launch("cpu", "32-true")
    torch.set_num_threads(1)  # after the launch, which takes all cores
    return block_model(network, open_ome_zarr(image), offsets, decoder, decode, fabric), network


def stored(folder: Path, shape: tuple[int, int, int]) -> Path:
    """A generated volume in bytes, as a microscope's store has it."""
    grey = Blobs(shape)[tuple(slice(0, size) for size in shape)]
    path = folder / "image.ome.zarr"
    write_image(path, np.clip(grey * 200, 0, 255).astype(np.uint8), Axes("zyx"))
    return path


def predicted(image: Path, block: tuple[int, int, int], count: int, address: str) -> float:
    """Seconds of the clock for all blocks, once every worker has its model."""
    model, shape = Load(image)(), open_ome_zarr(image).shape
    folder, grid = image.parent, BlockGrid(shape, block, (0, 0, 0))
    sink = create_image(folder / "maps.ome.zarr", (len(model.channels), *shape), "uint8", Axes("czyx"))[0]
    with workers(count, address) as team:
        list(team.executor.map(warm, [image] * 4 * count))
        began = time.perf_counter()
        predict_maps(Load(image), open_ome_zarr(image), sink, grid, Work(folder / "work", {}, team))
        return time.perf_counter() - began


def warm(image: Path) -> None:
    """Loads the model."""
    Load(image)()
    time.sleep(1)


def speed(shape: tuple[int, int, int], block: tuple[int, int, int], *, monai: bool) -> None:
    """Blocks, the bare forward pass on the tiles of one lattice, and MONAI's window, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        image = stored(Path(folder), shape)
        model, network = loaded(image)
        timed = Timed(network)
        assert isinstance(model.predict, Tiled)
        object.__setattr__(model.predict.network, "network", timed)
        began = time.process_time()
        predicted(image, block, 1, "inline")
        whole = time.process_time() - began
        values = torch.from_numpy(open_ome_zarr(image).read().astype(np.float32) / 255)
    lattice = Tiling(shape, TILE, OVERLAP).tiles(tuple(slice(0, size) for size in shape))
    bare = Timed(network)
    with torch.no_grad():
        for box in lattice:
            bare(values[box][None, None])
    row: dict[str, Any] = {
        "shape": shape,
        "block": block,
        "blocks_s": whole,
        "forward_in_blocks_s": timed.seconds,
        "tiles_in_blocks": timed.tiles,
        "shared_tiles": model.predict.tiling.shared(BlockGrid(shape, block, (0, 0, 0))),
        "bare_s": bare.seconds,
        "tiles": bare.tiles,
        "kept_of_its_forward": timed.seconds / whole,
        "kept_of_bare": bare.seconds / whole,
    }
    keep("throughput", row | (window(network, values, whole) if monai else {}))


def window(network: torch.nn.Module, values: torch.Tensor, whole: float) -> dict[str, float]:
    """MONAI's sliding window on the same network, volume, tile and overlap; it writes nothing."""
    from monai.inferers import SlidingWindowInferer

    timed = Timed(network)
    inferer = SlidingWindowInferer(TILE, sw_batch_size=1, overlap=OVERLAP, mode="gaussian")
    began = time.process_time()
    with torch.no_grad():
        torch.sigmoid(inferer(values[None, None], timed))
    spent = time.process_time() - began
    return {
        "monai_s": spent,
        "monai_tiles": timed.tiles,
        "monai_kept_of_its_forward": timed.seconds / spent,
        "blocks_over_monai": spent / whole,
    }


def two() -> None:
    """One worker and two, a process with one thread each, on eight blocks."""
    shape, took = (64, 512, 1024), dict[int, float]()
    for count in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            took[count] = predicted(stored(Path(folder), shape), BLOCK, count, "local")
    keep("workers", {"shape": shape, "one_s": took[1], "two_s": took[2], "times": took[1] / took[2]})


def curve(store: float) -> None:
    """Blocks an hour for many workers, from a block's seconds, the store's speed and the scheduler's time.

    A worker is busy for the time of its block; all share a store of so many bytes a second and one client
    that hands out a block in the time that was measured. The slowest of the three decides.
    """
    row = rows("throughput")[-1]
    count = int(np.prod(row["shape"]) / np.prod(BLOCK))
    block = row["blocks_s"] / count
    size = int(np.prod(BLOCK)) * moved()
    with workers(1, "local") as team:
        list(team.executor.map(abs, range(20)))
        began = time.perf_counter()
        list(team.executor.map(abs, range(200)))
        schedule = (time.perf_counter() - began) / 200
    for number in WORKERS:
        rate = min(number / block, store / size, 1 / schedule)
        keep(
            "curve",
            {
                "workers": number,
                "block_s": block,
                "schedule_s": schedule,
                "store_bytes_s": store,
                "blocks_an_hour": 3600 * rate,
                "times": rate * block,
            },
        )


def moved() -> float:
    """Bytes a voxel between workers and the store, before compression: image, kept tiles, and nine maps."""
    whole, maps = (1024, 1024, 1024), 9
    tiling, grid = Tiling(whole, TILE, OVERLAP), BlockGrid(whole, (256, 256, 256), (0, 0, 0))
    blocks = [
        len(list(grid.touching(tile))) for tile in tiling.tiles(tuple(slice(0, size) for size in whole))
    ]
    written_and_read = sum(1 + count for count in blocks if count > 1)
    return 2 + maps + maps * written_and_read * np.prod(TILE) / np.prod(whole)


def sizes(text: str) -> tuple[int, int, int]:
    """Three numbers z,y,x."""
    z, y, x = map(int, text.split(","))
    return z, y, x


def main() -> None:
    """Reads the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    alone = verbs.add_parser("speed")
    alone.add_argument("--shape", type=sizes, default=BLOCK)
    alone.add_argument("--block", type=sizes, default=BLOCK)
    alone.add_argument("--repeats", type=int, default=1)
    alone.add_argument("--monai", action="store_true", help="needs the package monai")
    verbs.add_parser("workers")
    many = verbs.add_parser("curve")
    many.add_argument("--store", type=float, default=1e9, help="bytes a second that all workers share")
    asked = parser.parse_args()
    if asked.verb == "speed":
        for _ in range(asked.repeats):
            speed(asked.shape, asked.block, monai=asked.monai)
    elif asked.verb == "workers":
        two()
    else:
        curve(asked.store)


if __name__ == "__main__":
    main()
