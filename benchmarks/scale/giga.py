"""What a 2D image of any size costs: cells drawn on the fly, found by blocks and compared with the truth.

    python benchmarks/scale/giga.py --sides 2000 8000 20000

For each side: a grey OME-Zarr of fluorescent nuclei, written block by block; `morula predict` of a psm run of
preset smoke, trained on windows of 512 pixels; processor time and peak memory of that process alone; and
beside them what memory gives, where it can. Each line of results/giga.jsonl is one measurement.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from results import keep, rows

WORK = Path("/tmp/morula-giga")
PITCH = 40  # pixels between the centres of neighbours, on average
IN_MEMORY = 2000  # pixels of the largest side that is also segmented in memory


@dataclass(frozen=True)
class Nuclei:
    """Labels of discs on a jittered lattice, as a function of the place alone; a fifth touch a neighbour."""

    shape: tuple[int, int]
    dtype = np.dtype(np.uint32)

    def __getitem__(self, box: tuple[slice, slice]) -> np.ndarray:
        """Labels 1, 2 ... in the order of the lattice."""
        y, x = (np.arange(side.start, side.stop, dtype=np.float32) for side in box)
        columns = -(-self.shape[1] // PITCH)
        labels = np.zeros((len(y), len(x)), np.uint32)
        best = np.ones(labels.shape, np.float32)
        rows_, first = (range(int(side[0]) // PITCH - 1, int(side[-1]) // PITCH + 2) for side in (y, x))
        for row in rows_:
            for column in first:
                if row < 0 or column < 0 or row * PITCH >= self.shape[0] or column >= columns:
                    continue
                draw = np.random.default_rng((row, column)).uniform(size=3)
                centre = (np.array([row, column]) + 0.5 + 0.35 * (draw[:2] - 0.5)) * PITCH
                radius = 11 + 7 * draw[2]
                here = tuple(
                    slice(*np.clip([int(c - radius) - start, int(c + radius) + 2 - start], 0, size))
                    for c, start, size in zip(centre, (int(y[0]), int(x[0])), labels.shape, strict=True)
                )
                far = np.hypot(y[here[0], None] - centre[0], x[None, here[1]] - centre[1]) / radius
                won = far < best[here]
                best[here][won] = far[won]
                labels[here][won] = row * columns + column + 1
        return labels


def drawn(labels: np.ndarray, seed: int) -> np.ndarray:
    """The image of labels: bright nuclei, noise, no blur, for blocks must fit together."""
    rng = np.random.default_rng(seed)
    glow = np.where(labels > 0, 120 + 60 * np.sin(labels * 2.4), 14)
    return np.clip(glow + rng.normal(0, 6, labels.shape), 0, 255).astype(np.uint8)


def image_of(side: int, path: Path) -> None:
    """Writes the image."""
    from morula.core.types import Axes
    from morula.data.ome_zarr import create_image

    truth = Nuclei((side, side))
    sink = create_image(path, (side, side), "uint8", Axes("yx"))[0]
    for number, (top, left) in enumerate(np.ndindex(-(-side // 2048), -(-side // 2048))):
        box = tuple(slice(2048 * at, min(2048 * (at + 1), side)) for at in (top, left))
        sink[box] = drawn(truth[box], number)


def trained(work: Path) -> Path:
    """The run that all sizes share."""
    run = work / "run"
    if not (run / "model" / "model.json").exists():
        folder = work / "windows"
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(4):
            box = (slice(512 * seed, 512 * seed + 512), slice(700, 1212))
            Image.fromarray(drawn(Nuclei((4096, 4096))[box], seed)).save(folder / f"{seed}.png")
        options = ["--recipe", "psm", "--preset", "smoke", "--device", "cpu", "-q"]
        morula("train", folder, "--out", run, *options)
    return run


def morula(*arguments: object) -> str:
    """A command; what it says."""
    command = [sys.executable, "-m", "morula", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def one(run: Path, image: Path, out: Path) -> None:
    """The prediction in this process; prints what it took."""
    from morula.workflows.big import predict_big

    began = time.monotonic()
    told = predict_big(run, image, out=out, device="cpu")
    spent = resource.getrusage(resource.RUSAGE_SELF)
    found = {"blocks": told.blocks, "objects": told.objects, "wall_s": round(time.monotonic() - began, 1)}
    used = {"cpu_s": round(spent.ru_utime + spent.ru_stime, 1), "peak_gb": spent.ru_maxrss / 1e6}
    print(json.dumps({**found, **used}))


def compared(run: Path, image: Path, out: Path, side: int) -> dict[str, Any]:
    """The labels beside the truth, and beside those of memory."""
    from morula.blockwise import BlockGrid, InlineExecutor, overlap_by_blocks
    from morula.data import open_ome_zarr, open_volume
    from morula.metrics.matching import matching_of
    from morula.workflows.predict import open_model

    labels = open_ome_zarr(out / "labels/cells")
    grid = BlockGrid((side, side), (2048, 2048), (0, 0))
    table = overlap_by_blocks(labels, Nuclei((side, side)), grid, InlineExecutor())
    told = {"f1": round(matching_of(table).counts.f1, 4)}
    if side <= IN_MEMORY:
        found = open_model(run, "cpu")(open_volume(image)).labels
        other = labels.read()
        pairs = np.unique(np.stack([found.ravel(), other.ravel().astype(np.int64)]), axis=1)
        told["memory_objects"] = int(found.max())
        told["pairs_beside_memory"] = int(pairs.shape[1] - 1)
        told["pixels_apart"] = int(np.count_nonzero((found > 0) != (other > 0)))
    return told


def main() -> None:
    """Reads the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=WORK, help="folder for what is written on the way")
    parser.add_argument("--sides", type=int, nargs="+", default=[2000, 8000])
    parser.add_argument("--one", type=Path, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(*given.one)
        return
    run = trained(given.work)
    for side in given.sides:
        if any(row["side"] == side for row in rows("giga")):
            continue
        image, out = given.work / f"{side}.ome.zarr", given.work / f"{side}-seg.ome.zarr"
        for old in (image, out, out.with_name(f"{out.name}.work")):
            shutil.rmtree(old, ignore_errors=True)
        (given.work / f"{side}-seg.objects.csv").unlink(missing_ok=True)
        image_of(side, image)
        command = [sys.executable, __file__, "--one", str(run), str(image), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        keep("giga", {"side": side, **told, **compared(run, image, out, side)})
        shutil.rmtree(image)


if __name__ == "__main__":
    main()
