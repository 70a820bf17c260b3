"""Seconds of decoding and of scores beside waterz and scikit-image, in one run, as ratios.

    uv venv waterz && uv pip install --python waterz waterz
    python benchmarks/neurons_em/speed.py --data DATA --waterz waterz/bin/python
    python benchmarks/neurons_em/speed.py --scores

FIB-25's true neurons become affinities, blurred and with noise, from a fixed seed. All get the same
affinities and, to agglomerate, the same fragments. Seconds are of the process, the least of `--repeats`,
reading and starting left out. Morula's agglomeration gives the whole tree of merges, then cut; waterz
stops at the threshold. scikit-image joins regions by the mean boundary between them, and Python does it.
"Apart" is the variation of information between what the peer made and what Morula made, in bits: 0 is the
same. "Merged" is how much of it against the truth is false merges, which no agglomeration can undo.
With `--scores`, seconds and memory of the scores alone, of a synthetic pair as large as a volume of CREMI.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fib25 import STEM
from scipy import ndimage
from skimage import graph, metrics, segmentation

from morula.core.affinities import NEAREST, Affinities
from morula.core.rng import Rng
from morula.core.types import Array
from morula.data import read_labels
from morula.metrics import neuron_scores
from morula.post import Linkage, agglomerate, boundary, fragments, region_graph, relabel
from morula.targets import affinities as affinities_of

THRESHOLD = 0.3
LIMIT = 600
"""Seconds that a peer may take."""
LARGE = (125, 1250, 1250)
"""Voxels of a volume of CREMI."""
LINKAGES: Mapping[str, Linkage] = {"mean": "mean", "median of maxima": "median-of-maxima"}

WATERZ = """
import json, sys, time
import numpy as np
import waterz
folder, repeats, threshold = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
affinities, pieces, truth = (np.load(f"{folder}/{name}.npy") for name in ("affinities", "pieces", "truth"))
scoring = {
    "mean": "OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>",
    "median of maxima": "OneMinus<HistogramQuantileAffinity<RegionGraphType, 50, ScoreValue, 256>>",
}
def spent(work):
    least = float("inf")
    for _ in range(repeats):
        began = time.process_time(); made = work(); least = min(least, time.process_time() - began)
    return least, made
def joined(name, at, **more):
    return next(iter(waterz.agglomerate(affinities, [at], scoring_function=scoring[name], **more))).copy()
found = {}
found["watershed"], made = spent(lambda: joined("mean", 0.0))
np.save(f"{folder}/watershed.npy", made)
for name in scoring:
    found[f"agglomeration, {name}"], made = spent(lambda: joined(name, threshold, fragments=pieces.copy()))
    np.save(f"{folder}/agglomeration, {name}.npy", made)
found["scores"], _ = spent(lambda: waterz.evaluate(pieces, truth))
print(json.dumps(found))
"""


class Done(NamedTuple):
    """Seconds that a task took, and the labels it made, if any."""

    seconds: float
    labels: Array | None


def main() -> None:
    """Prints a table in Markdown, or what the scores of a large pair take."""
    options = _options()
    if options.scores:
        print_scores(LARGE)
        return
    truth = np.tile(
        read_labels(Path(f"{options.data / STEM}_neurons.tif")), (1, options.tiles, options.tiles)
    )
    affinities = noisy(truth)
    pieces = fragments(affinities, per_section=False, smoothing=1.0)
    print(f"{' x '.join(map(str, truth.shape))} voxels, {pieces.max():,} fragments\n")
    ours = morula(affinities, pieces, truth, options.repeats)
    peers = {"scikit-image": scikit_image(affinities, pieces, truth, options.repeats)}
    if options.waterz:
        peers["waterz"] = waterz(options.waterz, affinities, pieces, truth, options.repeats)
    print(
        "| what | Morula, s | peer | peer, s | peer / Morula | apart, bits | merged, Morula | merged, peer |"
    )
    print("|---" * 8 + "|")
    for what, own in ours.items():
        for peer, done in ((peer, found[what]) for peer, found in peers.items() if what in found):
            ratio = done.seconds / own.seconds
            seconds = f"{own.seconds:.2f} | {peer} | {done.seconds:.2f}"
            print(f"| {what} | {seconds} | {ratio:.1f} | {apart(own, done, truth)} |")


def print_scores(shape: tuple[int, int, int]) -> None:
    """Seconds of the scores of a pair, and the most memory that this process has held, the pair with it."""
    truth, pred = waves(shape, 14, 25), waves(shape, 17, 40)
    count = len(np.unique(truth[:: max(1, len(truth) // 25)]))
    print(f"{' x '.join(map(str, shape))} voxels, at least {count:,} neurons, ids of 64 bits")
    for name, border in (("all voxels", None), ("borders ignored", 1.0)):
        spent = timed(lambda border=border: neuron_scores(pred, truth, border=border), 1).seconds
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name}: {spent:.1f} s, {held:.1f} GiB at most so far")


def waves(shape: tuple[int, int, int], width: int, depth: int) -> Array:
    """Labels `(z, y, x)` int64 of wavy columns, so wide in the section and so many sections long."""
    labels = np.empty(shape, np.int64)
    y, x = np.ogrid[: shape[1], : shape[2]]
    across = shape[2] // width + 3
    for z, section in enumerate(labels):
        row = (y + width * (1 + np.sin(x / (2 * width) + z / 9))) // width
        column = (x + width * (1 + np.sin(y / (3 * width) + z / 7))) // width
        section[:] = 1 + column + across * (row + (shape[1] // width + 3) * (z // depth))
    return labels


def noisy(truth: Array) -> Affinities:
    """Affinities `(3, z, y, x)` as a network might give them: those of the truth, blurred, with noise."""
    exact = affinities_of(truth, NEAREST).values.astype(np.float32)
    noise = Rng(0, "noise").at(0).normal(0, 1, exact.shape).astype(np.float32)
    blurred = [ndimage.gaussian_filter(channel, 0.5) for channel in exact]
    rough = [ndimage.gaussian_filter(channel, 1) for channel in noise]
    return Affinities(np.clip(np.stack(blurred) + 2 * np.stack(rough), 0, 1), NEAREST)


def morula(affinities: Affinities, pieces: Array, truth: Array, repeats: int) -> dict[str, Done]:
    """What this project takes."""

    def joined(linkage: Linkage) -> Array:
        tree = agglomerate(region_graph(pieces, affinities), linkage)
        return relabel(pieces, tree.cut(THRESHOLD))

    return {
        "watershed": timed(lambda: fragments(affinities, per_section=False, smoothing=1.0), repeats),
        **{
            f"agglomeration, {name}": timed(lambda each=each: joined(each), repeats)
            for name, each in LINKAGES.items()
        },
        "scores": Done(timed(lambda: neuron_scores(pieces, truth), repeats).seconds, None),
    }


def scikit_image(affinities: Affinities, pieces: Array, truth: Array, repeats: int) -> dict[str, Done]:
    """What scikit-image takes: markers at the minima, a merge by mean boundary, its two scores."""
    height = boundary(affinities, per_section=False)

    def watershed() -> Array:
        markers: Any = ndimage.label(ndimage.gaussian_filter(height, 1) < 0.2)
        return segmentation.watershed(height, markers[0])

    def joined() -> Array:
        regions = graph.rag_boundary(pieces, height)
        return graph.merge_hierarchical(
            pieces, regions, THRESHOLD, rag_copy=False, in_place_merge=True,
            merge_func=lambda *_: None, weight_func=_pooled,
        )  # fmt: skip

    def scores() -> None:
        metrics.variation_of_information(truth, pieces)
        metrics.adapted_rand_error(truth, pieces)

    return {
        "watershed": timed(watershed, repeats),
        "agglomeration, mean": timed(joined, 1),
        "scores": Done(timed(scores, repeats).seconds, None),
    }


def _pooled(regions: Any, one: int, two: int, other: int) -> dict[str, float]:
    """The contact of two regions that are joined with a third."""
    found = [regions[node].get(other, {"weight": 0.0, "count": 0}) for node in (one, two)]
    count = sum(each["count"] for each in found)
    return {"count": count, "weight": sum(each["count"] * each["weight"] for each in found) / count}


def waterz(
    python: Path, affinities: Affinities, pieces: Array, truth: Array, repeats: int
) -> dict[str, Done]:
    """What waterz takes in an environment of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "affinities.npy", affinities.values)
        for stem, labels in (("pieces", pieces), ("truth", truth)):
            np.save(folder / f"{stem}.npy", labels.astype(np.uint64))
        command = [str(python), "-c", WATERZ, name, str(repeats), str(THRESHOLD)]
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT)
        seconds = json.loads(told.stdout.splitlines()[-1])
        made = {what: folder / f"{what}.npy" for what in seconds}
        return {
            what: Done(seconds[what], np.load(path) if path.exists() else None) for what, path in made.items()
        }


def timed(work: Callable[[], Any], repeats: int) -> Done:
    """Seconds of this process for the fastest run, and what it made."""
    spent: list[float] = []
    made = None
    for _ in range(repeats):
        began = time.process_time()
        made = work()
        spent.append(time.process_time() - began)
    return Done(min(spent), made)


def apart(own: Done, other: Done, truth: Array) -> str:
    """Bits between two segmentations, and of false merges in each of them."""
    if own.labels is None or other.labels is None:
        return "- | - | -"
    pred = other.labels.astype(np.int64)
    between = neuron_scores(own.labels + 1, pred + 1)["voi"]
    merged = [neuron_scores(each, truth)["voi_merge"] for each in (own.labels, pred)]
    return " | ".join(f"{bits:.3f}" for bits in (between, *merged))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path)
    what.add_argument("--scores", action="store_true", help="of a large pair, and nothing else")
    parser.add_argument("--waterz", type=Path, help="Python that has waterz")
    parser.add_argument("--tiles", type=int, default=1, help="the volume so many times along y and x")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
