"""Pareto dominance, sorting, crowding and exact hypervolume, on plain tuples of numbers.

Source: NSGA-II (Deb, Pratap, Agarwal, Meyarivan, IEEE TEC 6(2), 2002), section III for the sorting
and the crowding distance, section VI for constraint-domination.
A point holds one value for each objective, and less is better in each of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

Point = tuple[float, ...]


def dominates(first: Point, second: Point) -> bool:
    """Whether `first` is nowhere worse than `second`, and somewhere better."""
    return first != second and _covers(first, second)


def constraint_dominates(
    first: Point, second: Point, first_violation: float, second_violation: float
) -> bool:
    """Dominance under limits, each point with its total violation, 0 where all are kept.

    Feasible beats infeasible; of two infeasible points the one of less violation wins.
    """
    if first_violation != second_violation:
        return first_violation < second_violation
    return first_violation == 0 and dominates(first, second)


def sort_into_fronts(points: Sequence[Point], violations: Sequence[float]) -> list[list[int]]:
    """The indices of `points`, front by front, each front in ascending order.

    The first front is dominated by no point, the second by points of the first alone, and so on.
    """
    beats: list[list[int]] = [[] for _ in points]
    num_above = [0] * len(points)
    for i, j in permutations(range(len(points)), 2):
        if constraint_dominates(points[i], points[j], violations[i], violations[j]):
            beats[i].append(j)
            num_above[j] += 1
    fronts = []
    front = [i for i, above in enumerate(num_above) if above == 0]
    while front:
        fronts.append(front)
        following = []
        for winner in front:
            for loser in beats[winner]:
                num_above[loser] -= 1
                if num_above[loser] == 0:
                    following.append(loser)
        front = sorted(following)
    return fronts


def crowding_distances(points: Sequence[Point]) -> list[float]:
    """How far apart the neighbours of each point of one front lie, summed over the objectives.

    Each objective counts as a share of its range in the front; its ends are infinitely far apart.
    """
    distances = [0.0] * len(points)
    for values in zip(*points, strict=True):
        order = sorted(range(len(points)), key=values.__getitem__)
        low, high = values[order[0]], values[order[-1]]
        if low == high:
            continue  # An objective in which all agree tells none apart.
        distances[order[0]] = distances[order[-1]] = math.inf
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            distances[here] += (values[after] - values[before]) / (high - low)
    return distances


def nondominated(points: Sequence[Point]) -> list[int]:
    """Indices of the points that no other point dominates or repeats, in ascending point order.

    Of equal points the first one counts.
    """
    front: list[int] = []
    # Whatever dominates a point comes before it in this order.
    for i in sorted(range(len(points)), key=lambda i: (points[i], i)):
        if not any(_covers(points[kept], points[i]) for kept in front):
            front.append(i)
    return front


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume that `points` dominate and that dominates `reference`; exact.

    Points that are not better than the reference in every objective add nothing. Two objectives
    take one sweep; each further one (any number) cuts the volume into slices and adds up theirs.
    """
    inside = [p for p in points if all(a < r for a, r in zip(p, reference, strict=True))]
    return _volume([inside[i] for i in nondominated(inside)], reference)


def _volume(front: Sequence[Point], reference: Point) -> float:
    """The hypervolume of points inside the reference, in ascending order."""
    volume = 0.0
    if len(reference) == 2:
        ceiling = reference[1]
        for x, y in front:
            if y < ceiling:
                volume += (reference[0] - x) * (ceiling - y)
                ceiling = y
        return volume
    slices: list[Point] = []
    for point, following in zip(front, [*front[1:], reference], strict=False):
        end = following[0]
        slices.append(point[1:])
        if end > point[0]:
            volume += (end - point[0]) * _volume(sorted(slices), reference[1:])
    return volume


def _covers(first: Point, second: Point) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True))
