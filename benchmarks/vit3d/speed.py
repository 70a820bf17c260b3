"""Seconds of tracing and of tree metrics beside skan and PyNeval, in one run, as ratios.

    uv venv skan && uv pip install --python skan skan
    uv venv pyneval && uv pip install --python pyneval pyneval "setuptools<80"
    python benchmarks/vit3d/speed.py --stack OP_1.tif \\
        --skan skan/bin/python --pyneval pyneval/bin/python

Each peer has an environment of its own and is left out without one. All get the same files; seconds are of
the process, the least of `--repeats`, reading and starting left out. skan measures the branches of a skeleton
and makes no tree, which is less than a tracing; PyNeval's SSD samples every 2 units, Morula's every one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tifffile

from morula.core.rng import Rng
from morula.core.tree import Tree
from morula.data import write_swc
from morula.metrics import diadem_score, length_scores, spatial_distances
from morula.post import Tracing, neuron_piece, trace_piece
from morula.recipes.vit3d.threshold import thresholded

NODES = 20_000
LIMIT = 600
"""Seconds that a peer may take."""

TIMED = """
import json, sys, time
def least(work, repeats):
    spent = []
    for _ in range(repeats):
        began = time.process_time(); work(); spent.append(time.process_time() - began)
    return min(spent)
folder, repeats = sys.argv[1], int(sys.argv[2])
"""
SKAN = """
import tifffile
from skan import Skeleton, summarize
from skimage.morphology import skeletonize
mask = tifffile.imread(f"{folder}/mask.tif") > 0
def trace():
    summarize(Skeleton(skeletonize(mask)), separator="-")
print(json.dumps({"tracing": least(trace, repeats)}))
"""
PYNEVAL = """
from pyneval.model.swc_tree import SwcTree
from pyneval.metric.length_metric import length_metric
from pyneval.metric.ssd_metric import ssd_metric
same = {"scale": (1, 1, 1), "debug": False}
ssd = {"threshold_mode": 1, "ssd_threshold": 2.0, "up_sample_threshold": 2.0, **same}
length = {"radius_mode": 1, "radius_threshold": 2.0, "length_threshold": 0.2, **same}
def measured(metric, settings, name):
    trees = []
    for _ in range(repeats):
        pair = SwcTree(), SwcTree()
        for tree, side in zip(pair, ("truth", "pred")):
            tree.load(f"{folder}/{name}-{side}.swc")
        trees.append(pair)
    return least(lambda: metric(*trees.pop(), settings), repeats)
print(json.dumps({
    f"{metric}, {name} nodes": measured(call, settings, name)
    for name in sys.argv[3:]
    for metric, call, settings in (("distances", ssd_metric, ssd), ("length", length_metric, length))
}))
"""


def main() -> None:
    """Prints a table in Markdown."""
    options = _options()
    image = tifffile.imread(options.stack)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        piece = neuron_piece(thresholded(image))
        tifffile.imwrite(folder / "mask.tif", piece.astype(np.uint8))
        ours = {"tracing": least(lambda: trace_piece(piece, piece, tracing=Tracing()), options.repeats)}
        sizes = (1_000, NODES)
        for nodes in sizes:
            truth = grown(nodes, Rng(0, "tree"))
            pred = truth.moved(Rng(1, "shift").at(0).normal(0, 1.0, (nodes, 3)))
            write_swc(folder / f"{nodes}-truth.swc", truth)
            write_swc(folder / f"{nodes}-pred.swc", pred)
            for title, call in METRICS.items():
                ours[f"{title}, {nodes} nodes"] = least(partial(call, pred, truth), options.repeats)
        theirs = {
            "skan": peer(options.skan, SKAN, folder, options.repeats),
            "PyNeval": peer(options.pyneval, PYNEVAL, folder, options.repeats, *map(str, sizes)),
        }
    print("| what | Morula, s | peer | peer, s | ratio |\n|---|---|---|---|---|")
    for what, seconds in ours.items():
        rivals = {name: found[what] for name, found in theirs.items() if what in found} or {"-": float("nan")}
        for rival, spent in rivals.items():
            print(f"| {what} | {seconds:.3f} | {rival} | {spent:.3f} | {spent / seconds:.1f} |")


METRICS: dict[str, Callable[[Tree, Tree], object]] = {
    "distances": spatial_distances,
    "length": length_scores,
    "DIADEM": diadem_score,
}


def grown(nodes: int, rng: Rng) -> Tree:
    """A random tree of that many nodes, 3 apart, that turns slowly and branches now and then."""
    draws = rng.at(0)
    points = np.zeros((nodes, 3))
    heading = np.zeros((nodes, 3))
    heading[0] = 1, 0, 0
    parents = np.arange(-1, nodes - 1)
    for row in range(1, nodes):
        if draws.random() < 0.02:
            parents[row] = draws.integers(row)
        turned = heading[parents[row]] + draws.normal(0, 0.3, 3)
        heading[row] = turned / np.linalg.norm(turned)
        points[row] = points[parents[row]] + 3 * heading[row]
    return Tree.of(points, parents.tolist())


def peer(python: Path | None, work: str, folder: Path, repeats: int, *more: str) -> dict[str, float]:
    """Seconds of each task in another environment; empty without one."""
    if python is None:
        return {}
    command = [str(python), "-c", TIMED + work, str(folder), str(repeats), *more]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT)
    return json.loads(told.stdout.splitlines()[-1])


def least(work: Callable[[], object], repeats: int) -> float:
    """Seconds of this process for the fastest run."""
    spent: list[float] = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stack", type=Path, required=True, help="TIFF stack of one neuron")
    parser.add_argument("--skan", type=Path, help="Python that has skan")
    parser.add_argument("--pyneval", type=Path, help="Python that has PyNeval")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
