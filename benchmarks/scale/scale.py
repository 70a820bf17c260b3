"""What volumes of any size cost: peak memory at three sizes, throughput, runs that are killed and resumed.

    python benchmarks/scale/scale.py memory --sections 64 128 256     one process a size
    python benchmarks/scale/scale.py kill --runs 30                   SIGKILL at random moments

The volume is generated where it is read (nothing is stored of it), a convolution stands for the network, and
its foreground is numbered, cleaned and compared with the truth by blocks. Each line of results/*.jsonl is one
measurement; what is there is not measured again, so a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from morula.blockwise import BlockGrid, InlineExecutor, Work, label_objects, overlap_by_blocks
from morula.core.rng import Rng
from morula.data.ome_zarr import scratch

HERE = Path(__file__).parent / "results"
PLANE = 256
UNIT = (32, 128, 128)
BLOCK = (64, 256, 256)


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
        z, y, x = (np.arange(each.start, each.stop, dtype=np.float32) for each in box)
        wave = np.sin(z / 7)[:, None, None] * np.sin(y / 11)[None, :, None] * np.sin(x / 13)[None, None, :]
        seeds = [each.start for each in box]
        rng = Rng(int(np.dot(seeds, (1, 4099, 16_777_259))) % 2**31, "noise").at(0)
        return 0.5 + 0.5 * wave + self.noise * (rng.random(wave.shape, dtype=np.float32) - 0.5)


@dataclass(frozen=True)
class Truth:
    """The objects without noise, as a mask."""

    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return np.dtype(np.uint8)

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """1 where there is an object."""
        return (Blobs(self.shape, 0.0)[box] > 0.7).astype(np.uint8)


@dataclass(frozen=True)
class Smooth:
    """A task: the stand-in for a network, on a block without a halo."""

    source: Blobs
    sink: Any
    grid: BlockGrid

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """Tells how many seconds the forward pass alone took."""
        box = self.grid.write(index)
        image = torch.from_numpy(self.source[box])[None, None]
        began = time.perf_counter()
        found = torch.nn.functional.avg_pool3d(image, 3, 1, 1, count_include_pad=False)[0, 0].numpy()
        spent = time.perf_counter() - began
        self.sink[box] = np.round(np.clip(found, 0, 1) * 255).astype(np.uint8)
        return {"forward": np.array(spent)}


def run(folder: Path, sections: int) -> dict[str, Any]:
    """Predicts, numbers and evaluates one volume."""
    torch.set_num_threads(1)
    shape = (sections, PLANE, PLANE)
    grid = BlockGrid(shape, tuple(min(a, b) for a, b in zip(BLOCK, shape, strict=True)), (0, 0, 0))
    work = Work(folder / "work", {"volume": shape}, chunk=UNIT)
    maps = scratch(folder / "maps.zarr", shape, np.uint8, UNIT)
    labels = scratch(folder / "labels.zarr", shape, np.uint32, UNIT)
    began = time.perf_counter()
    told = work.run("predict", Smooth(Blobs(shape), maps, grid), grid)
    predicted = time.perf_counter()
    found = label_objects(maps, labels, grid, work, threshold=178, smallest=20)
    numbered = time.perf_counter()
    table = overlap_by_blocks(labels, Truth(shape), grid, InlineExecutor())
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


def child(folder: Path, sections: int) -> list[str]:
    """The command that runs one volume in a process of its own."""
    return [sys.executable, __file__, "one", str(folder), str(sections)]


def memory(sizes: list[int]) -> None:
    """A process for each size that has no line yet."""
    for sections in sizes:
        if any(row["shape"][0] == sections for row in rows("memory")):
            continue
        folder = Path(tempfile.mkdtemp())
        done = subprocess.run(child(folder, sections), capture_output=True, text=True, check=True)
        keep("memory", json.loads(done.stdout.splitlines()[-1]))
        shutil.rmtree(folder)


def kill(runs: int, sections: int) -> None:
    """Kills a run again and again at random moments until one comes through, and compares the files."""
    whole = Path(tempfile.mkdtemp())
    began = time.monotonic()
    subprocess.run(child(whole, sections), capture_output=True, check=True)
    length, wanted = time.monotonic() - began, digest(whole)
    for number in range(len(rows("kill")), runs):
        folder, rng, kills = Path(tempfile.mkdtemp()), np.random.default_rng(number), 0
        while True:
            process = subprocess.Popen(
                child(folder, sections), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            try:
                process.communicate(timeout=float(rng.uniform(0.4, 1.1)) * length)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                kills += 1
        same = process.returncode == 0 and digest(folder) == wanted
        keep("kill", {"run": number, "kills": kills, "same": same})
        shutil.rmtree(folder)
    shutil.rmtree(whole)


def rows(name: str) -> list[dict[str, Any]]:
    """What was measured before."""
    path = HERE / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(name: str, row: dict[str, Any]) -> None:
    """Adds a line."""
    HERE.mkdir(exist_ok=True)
    with (HERE / f"{name}.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def main() -> None:
    """Reads the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("one")
    one.add_argument("folder", type=Path)
    one.add_argument("sections", type=int)
    sizes = verbs.add_parser("memory")
    sizes.add_argument("--sections", type=int, nargs="+", default=[64, 128, 256])
    deaths = verbs.add_parser("kill")
    deaths.add_argument("--runs", type=int, default=30)
    deaths.add_argument("--sections", type=int, default=128)
    asked = parser.parse_args()
    if asked.verb == "one":
        print(json.dumps(run(asked.folder, asked.sections)))
    elif asked.verb == "memory":
        memory(asked.sections)
    else:
        kill(asked.runs, asked.sections)


if __name__ == "__main__":
    main()
