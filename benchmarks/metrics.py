"""Times every instance score of one image: 2000 x 2000 pixels, 5,000 objects by default.

    python benchmarks/metrics.py [--size 2000] [--objects 5000]

Prints the seconds of counting the overlap table and of all scores together, best of five.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from morula.core.types import Array
from morula.metrics import instance_scores, overlap


def jittered_tiles(size: int, objects: int, rng: np.random.Generator) -> Array:
    """`(size, size)` labels: one tilted ellipse in each cell of a grid, in shuffled order."""
    side = int(np.ceil(np.sqrt(objects)))
    pitch = size / side
    y, x = np.mgrid[:size, :size].astype(np.float32)
    cell_y, cell_x = (y // pitch).astype(int), (x // pitch).astype(int)
    cells = cell_y * side + cell_x
    shift = rng.uniform(-0.15, 0.15, (2, side * side)).astype(np.float32) * pitch
    away_y = y - (cell_y + 0.5) * pitch - shift[0][cells]
    away_x = x - (cell_x + 0.5) * pitch - shift[1][cells]
    inside = away_y**2 * 1.4 + away_x**2 < (0.45 * pitch) ** 2
    names = np.zeros(side * side, np.int32)
    names[rng.permutation(side * side)[:objects]] = rng.permutation(objects) + 1
    return np.where(inside, names[cells], 0)


def best_of_five(work: Callable[[], object]) -> float:
    """Seconds of the fastest of five runs."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Makes two label images, the prediction shifted by a few pixels, and times their scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=2000, help="edge of the image in pixels")
    parser.add_argument("--objects", type=int, default=5000, help="how many objects it shows")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    truth = jittered_tiles(options.size, options.objects, rng)
    pred = np.roll(truth, (6, 9), (0, 1))
    table = overlap(pred, truth)
    print(f"{len(table.truth_ids)} true objects, {len(table.pred_ids)} predicted, {len(table.truth)} pairs")
    print(f"overlap table    {best_of_five(lambda: overlap(pred, truth)):.3f} s")
    print(f"instance_scores  {best_of_five(lambda: instance_scores(pred, truth)):.3f} s")


if __name__ == "__main__":
    main()
