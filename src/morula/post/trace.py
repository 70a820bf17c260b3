"""From a probability map or a mask to a traced neuron: minimal paths from the root, pruned, as a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from morula.core.tree import Tree
from morula.core.types import Array
from morula.post.bridges import bridged, continued
from morula.post.components import components
from morula.post.untyped import csgraph, ndi, spatial
from morula.post.voxel_graph import voxel_graph

__all__ = ["Tracing", "neuron_piece", "trace", "trace_piece"]

_SOMA = 2.5  # times the median radius; a blob as thick as this is a cell body
_BODY = 1e-3  # of a voxel's weight has one in a cell body
_MINOR = 0.25  # of the greatest weight or length: a piece above it is another neuron if it has a cell body
_NEAR = 6.0  # voxels around a given root in which the neuron's greatest piece is looked for, or its fork
_WIDER = 4.0  # times the gap is bridged from end to end where what is joined to a given root is minor
_CENTRED = 8.0  # times longer counts a step along the surface than one along the centre line
_LIKELY = 0.1  # of its length counts at least of a gap whose voxels are nearly foreground
_AROUND = 5  # edge of the cube in which a voxel's radius is compared with the largest
_SMOOTHED = 3  # voxels to either side of one on a path that are averaged
_WINDOW = (3, 2, 2)  # voxels to either side over which a point is moved to the centre of probability
_LEAST = 1e-3  # of a probability counts a voxel of the neuron at least: a bridge may lead through none


@dataclass(frozen=True)
class Tracing:
    """How to trace; lengths in voxels, along z too: sections are taken as far apart as the image is blurred.
    Only for gaps, which nothing blurs, it counts how deep a section is.

    Attributes:
        threshold: probability from which a voxel is foreground.
        weak: probability from which a voxel is, if it touches foreground.
        gap: widest gap between two pieces that is bridged, in pixels, of which likely voxels count less; from
            a broken end at a given root four times as wide.
        depth: of a section, in pixels.
        speck: smaller pieces are not joined to others, and the neuron only if there is no other, in voxels.
        least_branch: shorter branches are dropped.
        step: distance of the nodes.
    """

    threshold: float = 0.5
    weak: float = 0.25
    gap: float = 12.0
    depth: float = 1.0
    speck: int = 0
    least_branch: float = 8.0
    step: float = 3.0


@dataclass(frozen=True)
class _Graph:
    """The voxels of one neuron.

    Attributes:
        voxels: `(n, 3)` z, y, x.
        places: where the centre of probability around each is.
        scale: `(3,)` of a voxel, z, y, x, in pixels.
        radius: `(n,)` distance to the background, in voxels along each axis.
        wide: the same in pixels, sections as deep as they are.
        thick: what is as wide is a cell body.
        links: `(n, n)` sparse, lengths of steps to neighbours, longer away from the centre line.
    """

    voxels: Array
    places: Array
    scale: Array
    radius: Array
    wide: Array
    thick: float
    links: Any


def trace(
    probability: Array,
    *,
    root: Sequence[float] | None = None,
    tracing: Tracing | None = None,
) -> Tree:
    """Traces one neuron.

    `neuron_piece` says which voxels are the neuron. Paths that keep to the centre line lead from the root to
    the furthest voxel, then to the furthest that no path has come near, and so on (after TEASAR, Sato et al.,
    2000). The root is the given one, or the cell body, or the thicker end of the longest path. From a given
    root that is no cell body a tracing starts: only the longest subtree stays of two that leave what is
    near it. Of three or more that are long all stay, for then it is a cell body or a fork after all.

    Args:
        probability: `(z, y, x)` floats in [0, 1], or a mask or labels: whole numbers, non-zero inside.
        root: where the neuron begins, z, y, x in voxels.
        tracing: thresholds and lengths.

    Returns:
        A tree with one root, in voxels, its radii in pixels; empty where no voxel reaches the threshold.
    """
    return trace_piece(
        neuron_piece(probability, root=root, tracing=tracing), probability, root=root, tracing=tracing
    )


def neuron_piece(
    probability: Array,
    *,
    root: Sequence[float] | None = None,
    tracing: Tracing | None = None,
) -> Array:
    """The voxels of one neuron among all that is bright.

    It is the greatest piece of foreground near the root, or else of all; a piece counts by its volume times
    its probability, cell bodies left out, so that the longest neurites win and not the brightest blob. Other
    pieces are joined to it where gaps are small, but not a large one with a cell body of its own. Where only
    a minor part is joined to a given root, and its ends face those of others one after the other until the
    greatest is reached, the mask is taken for broken there, and gaps four times as wide are bridged.

    Args:
        probability: `(z, y, x)` floats in [0, 1], or a mask.
        root: where the neuron begins, z, y, x in voxels.
        tracing: thresholds and lengths.

    Returns:
        `(z, y, x)` bool; all False where no voxel reaches the threshold.
    """
    settings, probability = tracing or Tracing(), _likely(probability)
    whole = _foreground(probability, settings)
    if not whole.any():
        return whole
    pieces = components(whole)
    weight, has_body = _weights(pieces, whole, probability)
    large = np.bincount(pieces.ravel()) >= settings.speck
    main = _chosen(np.where(large[pieces], pieces, 0) if large[1:].any() else pieces, weight, root)
    others = (weight > _MINOR * weight[main]) & has_body
    others[main] = False
    ours = ~others & large
    ours[main], ours[0] = True, False
    cost = _gap_cost(probability, settings.weak)
    cost[others[pieces]] = np.inf
    joined = bridged(ours[pieces], settings.gap, depth=settings.depth, cost=cost)
    neuron = _around(joined, pieces == main)
    return neuron if root is None else _followed(joined, neuron, pieces, np.where(ours, weight, 0), settings)


def trace_piece(
    piece: Array,
    probability: Array,
    *,
    root: Sequence[float] | None = None,
    tracing: Tracing | None = None,
) -> Tree:
    """Traces the voxels that `neuron_piece` found; see `trace`.

    Args:
        piece: `(z, y, x)` bool, connected.
        probability: `(z, y, x)` floats in [0, 1], or a mask.
        root: where the neuron begins, z, y, x in voxels.
        tracing: thresholds and lengths.
    """
    if not piece.any():
        return Tree.of(np.zeros((0, 3)), [])
    settings = tracing or Tracing()
    graph = _graph(piece, _likely(probability), settings.depth)
    start, begins = _start(graph, None if root is None else np.asarray(root))
    return _tree(_paths(graph, start, settings), graph, settings, stem=begins)


def _likely(probability: Array) -> Array:
    """Probabilities as they are, or a mask: what number a label has says nothing of how likely it is."""
    return probability if probability.dtype.kind == "f" else probability != 0


def _followed(joined: Array, neuron: Array, pieces: Array, weight: Array, settings: Tracing) -> Array:
    """A minor component with those that continue it one after the other, if that leads to the greatest."""
    reached = np.unique(pieces[neuron])
    beyond = weight.copy()
    beyond[reached] = 0
    if weight[reached].sum() >= _MINOR * beyond.max():
        return neuron
    piece, greatest = neuron, pieces == beyond.argmax()
    while not (piece & greatest).any():
        longer = continued(joined, piece, _WIDER * settings.gap, depth=settings.depth)
        if longer is joined:
            return neuron
        joined, piece = longer, _around(longer, piece)
    return piece


def _around(mask: Array, piece: Array) -> Array:
    """The component of a mask that has a piece of it."""
    pieces = components(mask)
    return pieces == pieces[np.unravel_index(int(piece.argmax()), piece.shape)]


def _foreground(probability: Array, settings: Tracing) -> Array:
    if probability.dtype.kind != "f":
        return probability
    weak = components(probability >= settings.weak)
    strong = np.zeros(int(weak.max(initial=0)) + 1, np.bool_)
    strong[np.unique(weak[probability >= settings.threshold])] = True
    strong[0] = False
    return strong[weak]


def _gap_cost(probability: Array, weak: float) -> Array:
    """How much of its length a way through a voxel counts: the less, the nearer to foreground it is."""
    return np.clip(1 - probability / np.float32(weak), _LIKELY, 1).astype(np.float32)


def _weights(pieces: Array, whole: Array, probability: Array) -> tuple[Array, Array]:
    """Volume times probability of each piece without cell bodies, and whether it has one; of 0 neither."""
    box = ndi.find_objects(whole.astype(np.uint8))[0]
    inside = np.pad(whole[box], 1)
    depth: Array = ndi.distance_transform_edt(inside)
    ridge = inside & (depth == ndi.maximum_filter(depth, 3))
    thick = float(_SOMA * np.median(depth[ridge]))
    neurite = inside
    if depth.max() >= thick:
        neurite = inside & (ndi.distance_transform_edt(depth < thick) > thick)
    likely = np.asarray(probability[box], np.float64) * neurite[1:-1, 1:-1, 1:-1]
    weight = np.bincount(pieces[box].ravel(), likely.ravel(), minlength=int(pieces.max()) + 1)
    body = (inside & ~neurite)[1:-1, 1:-1, 1:-1]
    thick_part = np.bincount(pieces[box].ravel(), body.ravel(), minlength=len(weight))
    weight += _BODY * thick_part  # so that a cell body alone is still something
    weight[0] = 0
    return weight, thick_part > 0


def _chosen(pieces: Array, weight: Array, root: Sequence[float] | None) -> int:
    """Number of the piece that is the neuron."""
    if root is None:
        return int(weight.argmax())
    voxels = np.argwhere(pieces)
    number = pieces[tuple(voxels.T)]
    away = np.linalg.norm(voxels - np.asarray(root), axis=1)
    near = np.unique(number[away <= max(float(away.min()), _NEAR)])
    return int(near[weight[near].argmax()])


def _graph(mask: Array, probability: Array, section: float) -> _Graph:
    box = ndi.find_objects(mask.astype(np.uint8))[0]
    inside = np.pad(mask[box], 1)
    depth: Array = ndi.distance_transform_edt(inside)
    voxels = np.argwhere(inside)
    radius = depth[tuple(voxels.T)]
    widest: Array = ndi.maximum_filter(depth, size=_AROUND)[tuple(voxels.T)]
    cost = 1 + (_CENTRED - 1) * (1 - radius / widest) ** 2
    weight = np.maximum(np.pad(np.asarray(probability[box], np.float64), 1), _LEAST) * inside
    corner = np.array([each.start for each in box]) - 1
    scale = np.array([section, 1.0, 1.0])
    true: Array = depth if section == 1 else ndi.distance_transform_edt(inside, sampling=scale)
    thick = float(_SOMA * np.median(true[inside & (true == ndi.maximum_filter(true, 3))]))
    wide, places = true[tuple(voxels.T)], _centred(voxels, weight) + corner
    return _Graph(voxels + corner, places, scale, radius, wide, thick, voxel_graph(inside, cost))


def _centred(voxels: Array, weight: Array) -> Array:
    """The centre of the weights, float64 and positive at each voxel, in a window around it."""
    size = tuple(2 * half + 1 for half in _WINDOW)
    mass: Array = ndi.uniform_filter(weight, size, mode="constant")[tuple(voxels.T)]
    grids = np.meshgrid(
        *(np.arange(length, dtype=np.float64) for length in weight.shape), indexing="ij", sparse=True
    )
    sums = [ndi.uniform_filter(weight * grid, size, mode="constant")[tuple(voxels.T)] for grid in grids]
    return np.stack(sums, axis=1) / mass[:, None]


def _start(graph: _Graph, root: Array | None) -> tuple[int, bool]:
    """The voxel to start from, and whether the neuron lies on one side of it."""
    thick, places = graph.thick, graph.places * graph.scale
    if root is not None:
        nearest = int(np.linalg.norm(graph.places - root, axis=1).argmin())
        around = np.linalg.norm(places - places[nearest], axis=1) <= thick
        return nearest, float(graph.wide[around].max()) < thick
    deepest = int(graph.wide.argmax())
    if graph.wide[deepest] >= thick:
        return deepest, False
    one = int(_finite(csgraph.dijkstra(graph.links, directed=False, indices=deepest)).argmax())
    other = int(_finite(csgraph.dijkstra(graph.links, directed=False, indices=one)).argmax())
    ends = [
        float(graph.wide[np.linalg.norm(places - places[end], axis=1) < 2 * thick].max())
        for end in (one, other)
    ]
    return (one if ends[0] >= ends[1] else other), False


def _finite(distance: Array) -> Array:
    return np.where(np.isfinite(distance), distance, -1)


def _paths(graph: _Graph, start: int, settings: Tracing) -> list[list[int]]:
    """Rows of voxels from a voxel of an earlier path, or the start, to a tip; the longest path first."""
    cost, before = csgraph.dijkstra(graph.links, directed=False, indices=start, return_predecessors=True)
    around = [_balls(graph.places, graph.radius)]
    if graph.scale[0] != 1:
        around.append(_balls(graph.places * graph.scale, graph.wide))
    covered = ~np.isfinite(cost)
    order: list[int] = np.argsort(-_finite(cost), kind="stable").tolist()
    on_path = {start}
    paths = [[start]]
    for tip in order:
        if covered[tip]:
            continue
        path = [tip]
        while path[-1] not in on_path:
            path.append(int(before[path[-1]]))
        covered[path] = True
        for near in chain.from_iterable(find(path) for find in around):
            covered[near] = True
        length = float(np.linalg.norm(np.diff(graph.places[path], axis=0), axis=1).sum())
        if length - graph.radius[path[-1]] >= settings.least_branch:
            on_path.update(path)
            paths.append(path[::-1])
    return paths


def _balls(places: Array, radius: Array) -> Callable[[list[int]], Iterable[list[int]]]:
    """Finds, for each voxel of a path, those around it to which no other path is looked for."""
    index = spatial.cKDTree(places)
    return lambda path: index.query_ball_point(places[path], 1.5 * radius[path] + 2.0)


def _tree(paths: list[list[int]], graph: _Graph, settings: Tracing, *, stem: bool) -> Tree:
    """Thins out and smooths the paths, and joins them."""
    joints = {path[0] for path in paths}
    rows = [paths[0][0]]
    points = [graph.places[rows[0]]]
    parents = [-1]
    place = {rows[0]: 0}
    for path in paths[1:]:
        smooth = _smoothed(graph.places[path])
        smooth[0] = points[place[path[0]]]
        last, since = place[path[0]], 0.0
        for number in range(1, len(path)):
            since += float(np.linalg.norm(graph.places[path[number]] - graph.places[path[number - 1]]))
            if since >= settings.step or path[number] in joints or number == len(path) - 1:
                place[path[number]] = len(rows)
                rows.append(path[number])
                points.append(smooth[number])
                parents.append(last)
                last, since = place[path[number]], 0.0
    tree = Tree.of(np.array(points), parents, graph.wide[rows])
    return _one_stem(tree) if stem else tree


def _smoothed(places: Array) -> Array:
    """A running mean along a path whose ends stay."""
    width = 2 * _SMOOTHED + 1
    padded = np.pad(places, ((_SMOOTHED, _SMOOTHED), (0, 0)), mode="edge")
    mean = np.stack([np.convolve(column, np.ones(width) / width, "valid") for column in padded.T], axis=1)
    mean[0], mean[-1] = places[0], places[-1]
    return mean


def _one_stem(tree: Tree) -> Tree:
    """The way from the root to the longest of the subtrees around it; the whole tree if three are long.

    They are counted where they leave a ball around the root, for one that is given by eye lies beside the
    fork, and paths share their first voxels.
    """
    child, parent = tree.edges.T
    within = np.linalg.norm(tree.points - tree.points[0], axis=1) <= _NEAR
    stem = np.zeros(len(tree), np.int64)
    for row, above in zip(child.tolist(), parent.tolist(), strict=True):
        stem[row] = stem[above] or (0 if within[row] else row)
    length = np.bincount(
        stem[child], np.linalg.norm(tree.points[child] - tree.points[parent], axis=1), minlength=len(tree)
    )
    length[0] = 0  # what never leaves the ball
    if np.count_nonzero(length >= _MINOR * length.max()) > 2:
        return tree
    longest = int(length.argmax())
    keep = stem == longest
    while longest:
        longest = int(tree.parent[longest])
        keep[longest] = True
    return tree.kept(keep)
