"""A traced neuron reduced to its bifurcations and tips, and the lengths and directions of what joins them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from morula.core.tree import Tree

__all__ = [
    "CriticalTree",
    "Heading",
    "Place",
    "Span",
    "critical_tree",
    "crossing",
    "deep_crossing",
    "distance",
    "flat",
]


class Place(NamedTuple):
    """A point in pixel widths; z, too."""

    x: float
    y: float
    z: float


class Span(NamedTuple):
    """Length of a path: in space, within the plane, and along z."""

    whole: float
    flat: float
    deep: float

    def plus(self, other: Span) -> Span:
        """The length of one path after the other."""
        return Span(self.whole + other.whole, self.flat + other.flat, self.deep + other.deep)


class Heading(NamedTuple):
    """Where a path leaves the surroundings of its start: in the plane and along z, as far as known."""

    flat: tuple[float, float] | None
    deep: float | None


@dataclass(frozen=True)
class CriticalTree:
    """The root, number 0, and all bifurcations and tips: a node, then its left half, then its right half.

    Attributes:
        places: of each node.
        rows: of each in the `Tree` it came from.
        parents: the critical node before it; -1 for the root.
        sides: 0 where it is the left child, else 1; 0 for the nodes that follow the root.
        children: `(left, right)`, or nothing at a tip and at the root.
        first: the nodes that follow the root.
        spans: from the critical node before it.
        up: where the path towards the root leaves the surroundings of the node.
        ways: the same for the paths to both children; unknown where another bifurcation comes first.
        behind: one more than the last number below each node.
    """

    places: list[Place] = field(default_factory=list[Place])
    rows: list[int] = field(default_factory=list[int])
    parents: list[int] = field(default_factory=list[int])
    sides: list[int] = field(default_factory=list[int])
    children: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    first: list[int] = field(default_factory=list[int])
    spans: list[Span] = field(default_factory=list[Span])
    up: list[Place] = field(default_factory=list[Place])
    ways: list[tuple[Heading, ...]] = field(default_factory=list[tuple[Heading, ...]])
    behind: list[int] = field(default_factory=list[int])

    def __len__(self) -> int:
        return len(self.places)

    def is_tip(self, node: int) -> bool:
        """Whether the path ends here."""
        return not self.children[node]

    def hangs_from(self, node: int, ancestor: int) -> bool:
        """Whether one node lies below another."""
        return ancestor < node < self.behind[ancestor]

    def depth_first(self, start: int) -> Iterator[int]:
        """All nodes below and including one, parents first, right halves first."""
        stack = [start]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(self.children[node])


def distance(a: Place, b: Place) -> float:
    """Distance in space."""
    return math.sqrt(_squared(a, b))


def flat(a: Place, b: Place) -> float:
    """Distance in the plane."""
    x, y = a.x - b.x, a.y - b.y
    return math.sqrt(x * x + y * y)


def crossing(origin: Place, inside: Place, outside: Place, reach: float) -> tuple[float, float]:
    """x and y at which a segment leaves a disc, by linear interpolation of the distance."""
    near, far = flat(origin, inside), flat(origin, outside)
    share = (reach - near) / (far - near)
    return inside.x + share * (outside.x - inside.x), inside.y + share * (outside.y - inside.y)


def deep_crossing(origin: Place, inside: Place, outside: Place, reach: float) -> float:
    """z at which a segment leaves a slab."""
    near, far = abs(origin.z - inside.z), abs(origin.z - outside.z)
    return inside.z + (reach - near) / (far - near) * (outside.z - inside.z)


def critical_tree(tree: Tree, z_scale: float, reach: float, z_reach: float) -> CriticalTree:
    """Bifurcations and tips of the tree that hangs from the first root.

    A node with more than two children becomes a stack of bifurcations at one place: the two children that are
    nearest to each other are joined first, until two are left. Only the root may keep any number.

    Args:
        tree: points in voxels.
        z_scale: pixel widths in one section.
        reach: radius of the surroundings of a node in the plane, in pixel widths.
        z_reach: half their height, in pixel widths.

    >>> line = Tree.of([[0, 0, 0], [0, 0, 9], [0, 5, 9], [0, -5, 9]], [-1, 0, 1, 1])
    >>> reduced = critical_tree(line, 1.0, 2.0, 2.0)
    >>> reduced.rows, reduced.children[1], reduced.spans[2].whole
    ([0, 1, 2, 3], (2, 3), 5.0)
    """
    found = CriticalTree()
    if not len(tree):
        return found
    wide = _Binary.of(tree, z_scale)
    root = wide.places[0]
    stack = [(head, 0, 0) for head in reversed(wide.below[0])]
    _add(found, wide, 0, (-1, 0, Span(0.0, 0.0, 0.0)))
    found.up.append(root)
    found.ways.append((Heading((root.x, root.y), root.z),) * 2)
    while stack:
        start, parent, side = stack.pop()
        node, span = start, _span(found.places[parent], wide.places[start])
        while len(wide.below[node]) == 1:
            below = wide.below[node][0]
            node, span = below, span.plus(_span(wide.places[node], wide.places[below]))
        number = _add(found, wide, node, (parent, side, span))
        origin = wide.places[node]
        up = _heading(origin, wide.towards_root(node), reach, z_reach)
        found.up.append(_ended(up, root))
        ways = (_way(wide, origin, child, reach, z_reach) for child in wide.below[node])
        found.ways.append(tuple(ways))
        stack.extend((child, number, half) for half, child in reversed(list(enumerate(wide.below[node]))))
    found.behind.extend(range(1, len(found) + 1))
    for node in range(len(found) - 1, 0, -1):
        parent = found.parents[node]
        found.behind[parent] = max(found.behind[parent], found.behind[node])
    return found


class _Binary(NamedTuple):
    """All nodes of one tree, none but the root with more than two children."""

    places: list[Place]
    rows: list[int]
    above: list[int]
    below: list[list[int]]

    @classmethod
    def of(cls, tree: Tree, z_scale: float) -> _Binary:
        wide = cls([], [], [], [])
        number: dict[int, int] = {}
        for row, ((z, y, x), parent) in enumerate(
            zip(tree.points.tolist(), tree.parent.tolist(), strict=True)
        ):
            if row and parent not in number:
                continue
            number[row] = wide._append(Place(x, y, z_scale * z), row, number.get(parent, -1))
        for node in range(1, len(number)):
            wide._halve(node)
        return wide

    def _append(self, place: Place, row: int, above: int) -> int:
        self.places.append(place)
        self.rows.append(row)
        self.above.append(above)
        self.below.append([])
        if above >= 0:
            self.below[above].append(len(self.places) - 1)
        return len(self.places) - 1

    def _halve(self, node: int) -> None:
        while len(self.below[node]) > 2:
            children = self.below[node]
            pairs = ((a, b) for at, a in enumerate(children) for b in children[at + 1 :])
            nearest = min(pairs, key=lambda pair: _squared(self.places[pair[0]], self.places[pair[1]]))
            for child in nearest:
                children.remove(child)
            joint = self._append(self.places[node], self.rows[node], node)
            self.below[joint].extend(nearest)
            for child in nearest:
                self.above[child] = joint

    def towards_root(self, node: int) -> Iterator[Place]:
        while (node := self.above[node]) >= 0:
            yield self.places[node]

    def unbranched(self, node: int) -> list[int]:
        """This node and those after it, up to the next bifurcation or tip."""
        chain = [node]
        while len(self.below[chain[-1]]) == 1:
            chain.append(self.below[chain[-1]][0])
        return chain


def _add(found: CriticalTree, wide: _Binary, node: int, link: tuple[int, int, Span]) -> int:
    number = len(found)
    parent, side, span = link
    found.places.append(wide.places[node])
    found.rows.append(wide.rows[node])
    found.parents.append(parent)
    found.sides.append(side)
    found.children.append(())
    found.spans.append(span)
    if parent == 0:
        found.first.append(number)
    elif parent > 0:
        found.children[parent] += (number,)
    return number


def _way(wide: _Binary, origin: Place, child: int, reach: float, z_reach: float) -> Heading:
    chain = wide.unbranched(child)
    heading = _heading(origin, (wide.places[node] for node in chain), reach, z_reach)
    if wide.below[chain[-1]]:
        return heading
    x, y, z = _ended(heading, wide.places[chain[-1]])
    return Heading((x, y), z)


def _heading(origin: Place, walk: Iterable[Place], reach: float, z_reach: float) -> Heading:
    """Where a walk from `origin` first leaves the disc and the slab around it."""
    plane: tuple[float, float] | None = None
    deep: float | None = None
    before = origin
    for place in walk:
        if plane is None and flat(origin, place) > reach:
            plane = crossing(origin, before, place, reach)
        if deep is None and abs(origin.z - place.z) > z_reach:
            deep = deep_crossing(origin, before, place, z_reach)
        if plane is not None and deep is not None:
            break
        before = place
    return Heading(plane, deep)


def _ended(heading: Heading, end: Place) -> Place:
    """The heading of a walk that ends inside: there."""
    x, y = (end.x, end.y) if heading.flat is None else heading.flat
    return Place(x, y, end.z if heading.deep is None else heading.deep)


def _span(a: Place, b: Place) -> Span:
    return Span(distance(a, b), flat(a, b), abs(a.z - b.z))


def _squared(a: Place, b: Place) -> float:
    x, y, z = a.x - b.x, a.y - b.y, a.z - b.z
    return x * x + y * y + z * z
