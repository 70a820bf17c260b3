"""Whether two neurons connect the same places: the comparisons of paths that the DIADEM metric is made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from morula.metrics.critical_tree import (
    CriticalTree,
    Heading,
    Place,
    Span,
    crossing,
    deep_crossing,
    distance,
    flat,
)

__all__ = ["Comparison", "DiademSettings", "best_match", "continues", "is_match", "is_near"]

_SLACK = 0.1  # pixel widths along z that rounding may cost
_SHORT = 0.4  # error allowed where only the true path is shorter than the reach
_DISTANT = 3  # times the reach: a joint so far away may still be the same


@dataclass(frozen=True)
class DiademSettings:
    """Tolerances of the DIADEM metric; the defaults are those of the olfactory projection fibres (`-D 5`).

    Attributes:
        reach: largest distance of two nodes in the plane, in pixel widths.
        sections: largest distance along z, in sections.
        xy_per_z: pixel widths in one section.
        path_error: largest difference of the length in the plane, as a share of the length in space.
        z_path_error: the same of the length along z.
        spur: branches that are shorter than this many pixel widths need not be there.
    """

    reach: float = 3.94
    sections: float = 5.0
    xy_per_z: float = 3.034
    path_error: float = 0.08
    z_path_error: float = 0.20
    spur: float = 6.0

    @property
    def z_reach(self) -> float:
        """Largest distance along z in pixel widths."""
        return self.sections * self.xy_per_z


class Comparison(NamedTuple):
    """One tree seen from the other.

    Attributes:
        settings: the tolerances.
        own: the tree whose nodes are asked for.
        other: the tree in which they are sought.
        near: per node of `own` those of `other` that are near, without the root.
        near_back: the same the other way round.
        mine: partners of nodes of `own`.
        theirs: partners of nodes of `other`.
        ways: headings of `own` towards both children; those that depend on the path are filled in by the
            first path that asks.
    """

    settings: DiademSettings
    own: CriticalTree
    other: CriticalTree
    near: list[list[int]]
    near_back: list[list[int]]
    mine: dict[int, int]
    theirs: dict[int, int]
    ways: list[list[Heading]]

    def free(self, node: int) -> list[int]:
        """Nodes of the other tree that are near and have no partner."""
        return [each for each in self.near[node] if each not in self.theirs]


def is_near(settings: DiademSettings, a: Place, b: Place, times: int = 1) -> bool:
    """Whether two nodes may be the same, by their places."""
    return flat(a, b) <= settings.reach * times and abs(a.z - b.z) <= settings.z_reach * times + _SLACK


def is_match(pair: Comparison, node: int, candidate: int) -> bool:
    """Whether a near node of the other tree hangs from the same ancestor by a path of the same length.

    Both paths are climbed, the shorter one first, until two ancestors are near; these decide. Ancestors that
    are near each other but were not met at the same time end the search.
    """
    own, other = pair.own, pair.other
    target, place = node, other.places[candidate]
    span, found = own.spans[node], other.spans[candidate]
    found = _shifted(found, own.places[node], own.up[node], place)
    side, node, candidate = own.sides[node], own.parents[node], other.parents[candidate]
    passed: set[int] = set()
    passed_other: set[int] = set()
    while not is_near(pair.settings, own.places[node], other.places[candidate]):
        if span.whole < found.whole:
            if own.parents[node] < 0 or not passed_other.isdisjoint(pair.near[node]):
                return False
            passed.add(node)
            span = span.plus(own.spans[node])
            side, node = own.sides[node], own.parents[node]
        else:
            if other.parents[candidate] < 0 or not passed.isdisjoint(pair.near_back[candidate]):
                return False
            passed_other.add(candidate)
            found = found.plus(other.spans[candidate])
            candidate = other.parents[candidate]
    way = _fixed_way(pair, node, side, target)
    return _same_length(pair.settings, span, _shifted(found, own.places[node], way, other.places[candidate]))


def best_match(pair: Comparison, node: int, candidates: list[int]) -> int:
    """The candidate whose descendants fit those of a node; the nearest where that does not tell."""
    own, other = pair.own, pair.other
    left = list(candidates)
    confirmed: list[int] = []
    level = [(child, half, own.spans[child]) for half, child in enumerate(own.children[node])]
    while level and not confirmed:
        for below, half, span in level:
            way = _fixed_way(pair, node, half, below)
            for end in pair.free(below):
                found, climber = Span(0.0, 0.0, 0.0), end
                while other.parents[climber] >= 0:
                    found = found.plus(other.spans[climber])
                    climber = other.parents[climber]
                    if climber not in left:
                        continue
                    length = _shifted(found, own.places[node], way, other.places[climber])
                    length = _shifted(length, own.places[below], own.up[below], other.places[end])
                    if _same_length(pair.settings, span, length):
                        confirmed.append(climber)
                        left.remove(climber)
        level = [
            (child, half, own.spans[child].plus(span))
            for below, half, span in level
            for child in own.children[below]
        ]
    place = own.places[node]
    return min(confirmed or left, key=lambda each: distance(place, other.places[each]))


def continues(pair: Comparison, node: int) -> bool:
    """Whether a path of the other tree runs past an unmatched bifurcation: from an ancestor to a descendant.

    Where it runs on to both halves and forks not too far away, that fork becomes the partner.
    """
    own = pair.own
    if own.is_tip(node):
        return False
    span, side, ancestor = own.spans[node], own.sides[node], own.parents[node]
    while ancestor >= 0:
        known = pair.mine.get(ancestor)
        if known is not None:
            return _runs_past(pair, node, (ancestor, side, span), known)
        if any(_runs_past(pair, node, (ancestor, side, span), each) for each in pair.free(ancestor)):
            return True
        span = span.plus(own.spans[ancestor])
        side, ancestor = own.sides[ancestor], own.parents[ancestor]
    return False


def _runs_past(pair: Comparison, node: int, start: tuple[int, int, Span], partner: int) -> bool:
    """Whether paths from the partner of an ancestor lead on to descendants of a node."""
    lengths: dict[int, Span] = {}
    left, right = (_descendant(pair, child, start, partner, lengths) for child in pair.own.children[node])
    if left is not None and right is not None:
        fork = _fork(pair.other, left, right, partner)
        if fork is not None and is_near(
            pair.settings, pair.own.places[node], pair.other.places[fork], _DISTANT
        ):
            pair.mine[node], pair.theirs[fork] = fork, node
    return left is not None or right is not None


def _descendant(
    pair: Comparison, first: int, start: tuple[int, int, Span], partner: int, lengths: dict[int, Span]
) -> int | None:
    """The node of the other tree at the end of a path as long as that to a descendant, depth first."""
    own, other = pair.own, pair.other
    ancestor, side, so_far = start
    stack = [(first, so_far)]
    while stack:
        node, before = stack.pop()
        span = own.spans[node].plus(before)
        known = pair.mine.get(node)
        for end in pair.near[node] if known is None else [known]:
            if not other.hangs_from(end, partner):
                continue
            length = _length_from(other, partner, end, lengths)
            lengths[end] = length
            way = _way(pair, ancestor, side, node)
            found = _shifted(length, own.places[ancestor], way, other.places[partner])
            found = _shifted(found, own.places[node], own.up[node], other.places[end])
            if _same_length(pair.settings, span, found):
                return end
        if known is None:
            stack.extend((child, span) for child in own.children[node])
    return None


def _length_from(tree: CriticalTree, ancestor: int, node: int, lengths: dict[int, Span]) -> Span:
    """Length of the path down to a node, with the help of those that are known."""
    whole, plane, deep = tree.spans[node]
    above = tree.parents[node]
    while above != ancestor:
        known = lengths.get(above)
        part = tree.spans[above] if known is None else known
        whole, plane, deep = whole + part.whole, plane + part.flat, deep + part.deep
        above = tree.parents[above] if known is None else ancestor
    return Span(whole, plane, deep)


def _fork(tree: CriticalTree, left: int, right: int, ancestor: int) -> int | None:
    """The first on the way from `right` to an ancestor that lies above `left`."""
    while right != ancestor:
        if tree.hangs_from(left, right):
            return right
        right = tree.parents[right]
    return None


def _same_length(settings: DiademSettings, truth: Span, found: Span) -> bool:
    """Whether two paths are equally long, in the plane and along z.

    A part that is within reach on both sides is not compared.
    """
    parts = (
        (truth.flat, found.flat, settings.reach, settings.path_error),
        (truth.deep, found.deep, settings.z_reach, settings.z_path_error),
    )
    for expected, length, reach, error in parts:
        if expected < reach:
            if length < reach:
                continue
            error = _SHORT
        if not truth.whole or abs(expected - length) / truth.whole >= error:
            return False
    return True


def _shifted(span: Span, truth: Place, way: Place, found: Place) -> Span:
    """A path's length if it ended at the true node: the ends differ by their distances to where both pass."""
    return Span(
        span.whole,
        span.flat + (flat(truth, way) - flat(found, way)),
        span.deep + (abs(truth.z - way.z) - abs(found.z - way.z)),
    )


def _fixed_way(pair: Comparison, ancestor: int, side: int, target: int) -> Place:
    """As `_way`, and from now on the answer for all targets on this side."""
    x, y, z = place = _way(pair, ancestor, side, target)
    pair.ways[ancestor][side] = Heading((x, y), z)
    return place


def _way(pair: Comparison, ancestor: int, side: int, target: int) -> Place:
    """Where the path from a node down to another one leaves its surroundings."""
    plane, deep = pair.ways[ancestor][side]
    if plane is None or deep is None:
        chain = [target]
        while pair.own.parents[chain[-1]] != ancestor:
            chain.append(pair.own.parents[chain[-1]])
        origin = pair.own.places[ancestor]
        plane = plane or _plane_way(pair, origin, chain[::-1])
        deep = _deep_way(pair, origin, chain[::-1]) if deep is None else deep
    return Place(*plane, deep)


def _plane_way(pair: Comparison, origin: Place, chain: list[int]) -> tuple[float, float]:
    """x and y where a chain of nodes leaves the disc around the origin, or its end.

    As in version 2.1, a chain that leaves it between two bifurcations is given 0 for y.
    """
    own, reach = pair.own, pair.settings.reach
    for node, after in pairwise(chain):
        known = pair.ways[node][own.sides[after]].flat
        if known is not None:
            return known
        if flat(origin, own.places[after]) > reach:
            return crossing(origin, own.places[node], own.places[after], reach)[0], 0.0
    end = own.places[chain[-1]]
    return end.x, end.y


def _deep_way(pair: Comparison, origin: Place, chain: list[int]) -> float:
    """The same along z."""
    own, reach = pair.own, pair.settings.z_reach
    for node, after in pairwise(chain):
        known = pair.ways[node][own.sides[after]].deep
        if known is not None:
            return known
        if abs(origin.z - own.places[after].z) > reach:
            return deep_crossing(origin, own.places[node], own.places[after], reach)
    return own.places[chain[-1]].z
