"""A space's hand-made designs as limits leave them, and those of them that a search begins with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from search.limits.measure import Measure
from supernet.architecture import Architecture
from supernet.costs.limits import Limit, within
from supernet.files import UserError
from supernet.space import SearchSpace

SHARE = 4
"""Of a population one in so many is a hand-made design, at most."""


@dataclass(frozen=True)
class HandMade:
    """The designs of a space by name, those `within` the limits, and those scored `first`."""

    every: Mapping[str, Architecture]
    within: Mapping[str, Architecture]
    first: tuple[Architecture, ...]

    def __str__(self) -> str:
        if not self.every:
            return "hand-made designs: the space has none"
        kept = f"{len(self.within):,} of {len(self.every):,} keep the limits"
        return f"hand-made designs: {kept}, {len(self.first):,} of them in generation 0"


def hand_made(
    space: SearchSpace,
    measure: Measure,
    constraints: Sequence[Limit],
    given: Collection[Architecture],
    count: int,
) -> HandMade:
    """The designs of `space`, and up to `count` of them that generation 0 holds beside the `given`.

    Raises:
        UserError: one of a space of the user's own is none of its architectures.
    """
    every = _checked(space)
    kept = {name: one for name, one in every.items() if within(constraints, measure(one))}
    known = {space.decode(one) for one in given}
    others = [one for one in kept.values() if space.decode(one) not in known]
    return HandMade(every, kept, spread(others, measure, constraints, count))


def spread(
    designs: Sequence[Architecture], measure: Measure, constraints: Sequence[Limit], count: int
) -> tuple[Architecture, ...]:
    """`count` of the designs, which are all within the limits, or all where they are fewer.

    In their order, in which like ones are neighbours, they are cut into `count` equal parts; of
    each part comes the one nearest to a limit, and the nearest of these first.
    """

    def nearness(one: Architecture) -> float:
        """The greatest share of an upper limit that is used up; without one, the OPs."""
        costs = measure(one)
        uppers = [(limit.measure(costs), limit.maximum) for limit in constraints]
        shares = [cost / upper for cost, upper in uppers if upper]
        return max(shares) if shares else costs["ops"]

    count = min(count, len(designs))
    ends = [place * len(designs) // count for place in range(count + 1)] if count else [0]
    parts = [designs[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    return tuple(sorted((max(part, key=nearness) for part in parts), key=nearness, reverse=True))


def _checked(space: SearchSpace) -> dict[str, Architecture]:
    """The designs, each an architecture of the space."""
    found = {}
    for name, one in space.designs().items():
        try:
            found[name] = space.architecture(dict(one))
        except UserError as error:
            raise UserError(f"design '{name}': {error}") from error
    return found
