"""What the solvers of bioimage-cpp 0.10.0 give for one small scene; another version has to give the same.

No two affinities are alike, nor is one as far from 1 as another from 0, so that no order is left to the
solver; a multicut is approximate all the same. Pictures show a label as a letter, in the order of the first
voxel of each; sections are side by side.
"""

from __future__ import annotations

import numpy as np

from morula.core.affinities import NEAREST, Affinities
from morula.core.rng import Rng
from morula.core.types import Array
from morula.post import fragments, multicut, mutex_watershed, region_graph
from morula.post.untyped import grids, ndi
from morula.targets import affinities

SHAPE = (2, 8, 16)
OFFSETS = (*NEAREST, (-1, -2, 0), (0, -4, 0), (0, 0, -4))

RNG = Rng(0, "golden")

WATERSHED = [
    "AAAAAAAAAAABBBBB AAAAAAAAAAABBBBB",
    "AAAAAAAAAACCCBBB AAAAAAAAAAACCBBB",
    "AAADDDDAAACCCCBB AAAAADDAAACCCBBB",
    "AAADDDDDDAACCCBB AADDDDDDDAAABBBB",
    "EEEEDDDDDAAAAABB EEEDDDDDAAAAABBB",
    "EEEEEDDDAAAAAABB EEEEEDDDAAAAABBA",
    "EEEDEEDDAAAAAABB EEEDDDDDAAAAAAAA",
    "EDDDEEEAAAAAAAAA EEEDEEEAAAAAAAAA",
]
FRAGMENTS = [
    "AAAABBBBBBBCCCCC AAABBBBBBBBCCCCC",
    "AAAABBBBBBCCCCCC AAABBBBBBBBCCCCC",
    "AAABBBBBBBCCCCCC AAABBBBBBBCCCCCC",
    "AAABBBBBBDDCCCCC AABBBBBBBDDDCCCC",
    "BBBBBBBBBDDDDDCC BBBBBBBBDDDDDCCC",
    "BBBBBBBBDDDDDDCC BBBBBBBBDDDDDCCD",
    "BBBBBBBBDDDDDDCC BBBBBBBBDDDDDDDD",
    "EBBBBBBDDDDDDDDD EBBBBBBDDDDDDDDD",
]
MUTEX = [
    "AAAABBBBBBBCCCCC AAABBBBBBBBCCCCC",
    "AAAABBBBBBCCCCCC AAADBBBBBBBCCCCC",
    "AAADDDDBBBCCCCCC AAADDDDBBBECCCCC",
    "AAADDDDDDEECCCCC AADDDDDDDEEECCCC",
    "FFFFDDDDDEEECCCC FFFDDDDDEEEEHCCC",
    "FFFFFDDDEEEEECCC FFFFFDDDEEEEEICC",
    "GGGGFFDDEEEEEECC FGGGDDDDEEEEEEEC",
    "GGGGFFFEEEEEEEEE GGGGFFFEEEEEEEEE",
]
MULTICUT = [0, 1, 2, 1, 1, 3, 1, 1, 1, 3, 2, 1, 1, 1, 3]


def cells(number: int, index: int) -> Array:
    """Labels `(z, y, x)` of what lies nearest to each of some random voxels."""
    places = RNG.at(index).choice(np.prod(SHAPE), number, replace=False)
    voxels = np.indices(SHAPE).reshape(3, -1).T
    away = ((voxels[:, None] - voxels[places]) ** 2 * (4, 1, 1)).sum(axis=-1)
    return away.argmin(axis=1).reshape(SHAPE) + 1


def scene() -> Affinities:
    """Those of six cells, with noise; the k-th of n, in rising order, is (3 k + 1) / 3 n."""
    exact = affinities(cells(6, 0), OFFSETS).values.astype(np.float64)
    rough = exact + 2 * RNG.at(1).random(exact.shape)
    ranks = rough.ravel().argsort().argsort().reshape(rough.shape)
    return Affinities(((3 * ranks + 1) / (3 * ranks.size)).astype(np.float32), OFFSETS)


def picture(labels: Array) -> list[str]:
    _, firsts, index = np.unique(labels, return_index=True, return_inverse=True)
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))[firsts.argsort().argsort()][index.reshape(SHAPE)]
    return [" ".join("".join(row) for row in rows) for rows in letters.swapaxes(0, 1)]


def test_the_watershed_of_affinities() -> None:
    seeds = np.zeros(SHAPE, np.int32)
    places = RNG.at(2).choice(seeds.size, 5, replace=False)
    seeds.flat[places] = np.arange(1, 6)
    edges = scene().nearest().values
    found = grids.watershed_from_affinities(edges, list(NEAREST), seeds)
    assert np.array_equal(found, flooded(edges, seeds))
    assert picture(found) == WATERSHED


def flooded(edges: Array, seeds: Array) -> Array:
    """The strongest edge between a fragment and a voxel of none, again and again."""
    found = seeds.copy()
    order = [
        (place, np.subtract(place, (axis == 0, axis == 1, axis == 2)))
        for axis, *place in np.stack(np.unravel_index(np.argsort(-edges, axis=None), edges.shape), 1).tolist()
    ]
    inside = [(tuple(one), tuple(other.tolist())) for one, other in order if other.min() >= 0]
    while not found.all():
        one, other = next(pair for pair in inside if (found[pair[0]] > 0) != (found[pair[1]] > 0))
        found[one] = found[other] = max(found[one], found[other])
    return found


def test_fragments() -> None:
    """With the seeds and the flooding of SciPy and scikit-image before."""
    assert picture(fragments(scene(), per_section=False, smoothing=1.0)) == FRAGMENTS


def test_the_mutex_watershed() -> None:
    assert picture(mutex_watershed(scene())) == MUTEX


def test_the_multicut() -> None:
    pieces = cells(14, 3)
    assert len(ndi.find_objects(pieces)) == 14
    labels = multicut(region_graph(pieces, scene()))
    assert labels.tolist() == MULTICUT
