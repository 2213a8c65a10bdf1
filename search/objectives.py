"""The Pareto front of a search: its objectives, their reference point, front and hypervolume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from search.searchers.pareto import Point, hypervolume, nondominated
from supernet.candidate import Candidate, rank_key
from supernet.files import UserError
from supernet.space import SearchSpace

FULL_TOP1 = 100.0


@dataclass(frozen=True)
class Objectives:
    """Top-1, maximised, and the costs of `reference`, minimised, in its order.

    `reference` is the worst of each cost that counts, in the cost's unit; the worst top-1 is 0.
    With `worst_loss`, in nats, the cross-entropy takes the place of top-1.
    """

    reference: Mapping[str, float]
    worst_loss: float | None = None

    @classmethod
    def within(
        cls, costs: Sequence[str], report: Mapping[str, Any], worst_loss: float | None = None
    ) -> Objectives:
        """The reference point out of a feasibility report (`feasibility.json`), before any score.

        It is the dearest of the space in each cost, or the limit on it where that is lower.

        Raises:
            UserError: a cost is unknown, or named twice.
        """
        if unknown := [name for name in costs if name not in report["costs"]]:
            known = ", ".join(report["costs"])
            raise UserError(f"no objective '{unknown[0]}'; objectives beside top1 are {known}")
        if len(set(costs)) < len(costs):
            raise UserError(f"an objective is named twice: {', '.join(costs)}")
        dearest = {name: report["costs"][name]["maximum"] for name in costs}
        limits = {name: report["limits"].get(f"max_{name}", dearest[name]) for name in costs}
        return cls({name: min(dearest[name], limits[name]) for name in costs}, worst_loss)

    @classmethod
    def at(cls, point: Mapping[str, float]) -> Objectives:
        """Back from a recorded `reference_point`."""
        costs = {name: worst for name, worst in point.items() if name not in ("top1", "loss")}
        return cls(costs, point.get("loss"))

    @property
    def reference_point(self) -> dict[str, float]:
        """The worst of every objective, as it is recorded with a run."""
        worst = {"top1": 0.0} if self.worst_loss is None else {"loss": self.worst_loss}
        return {**worst, **self.reference}

    def front(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """The scored candidates that none is better than, by the first cost in ascending order.

        Of candidates equal in all objectives the one that ranks best stands for all.
        """
        scored = sorted((c for c in candidates if c.fitness is not None), key=rank_key)
        points = [(*self._costs(candidate), -_fitness(candidate)) for candidate in scored]
        return [scored[i] for i in nondominated(points)]

    def hypervolume(self, candidates: Iterable[Candidate]) -> float:
        """The share (0-1) that is dominated of the box between reference and best at no cost.

        The best is 100 %, or 0 nats.

        Grows with every candidate that the front takes in; a candidate as dear as the reference
        adds nothing.
        """
        points = [self._scaled(c) for c in candidates if c.fitness is not None]
        return hypervolume(points, (1.0, *(1.0 for _ in self.reference)))

    def curve(self, candidates: Iterable[Candidate]) -> Iterator[float]:
        """The hypervolume after each candidate, in the order given; failed ones included."""
        front: list[Candidate] = []
        for candidate in candidates:
            front = self.front([*front, candidate])
            yield self.hypervolume(front)

    def _costs(self, candidate: Candidate) -> Point:
        return tuple(candidate.costs[name] for name in self.reference)

    def _scaled(self, candidate: Candidate) -> Point:
        """All objectives as shares of the box, less is better."""
        # A cost that the whole space has none of is worth 0 of 1: it must not divide by 0.
        costs = zip(self._costs(candidate), self.reference.values(), strict=True)
        shares = (value / worst if worst else 1.0 for value, worst in costs)
        if self.worst_loss is None:
            return 1 - _fitness(candidate) / FULL_TOP1, *shares
        return min(-_fitness(candidate) / self.worst_loss, 1.0), *shares


def loss_of_guessing(space: SearchSpace) -> float:
    """The cross-entropy, in nats, of a network that finds every class equally likely."""
    return log(space.decode(space.first()).num_classes)


class GrowingFront:
    """The front of candidates that are added to: each is looked at once, however many there are."""

    def __init__(self, objectives: Objectives) -> None:
        self._objectives = objectives
        self._front: list[Candidate] = []
        self._num_seen = 0

    def hypervolume(self, candidates: Sequence[Candidate]) -> float:
        """As `Objectives.hypervolume`; `candidates` begin with those of the call before."""
        new = candidates[self._num_seen :]
        self._front = self._objectives.front([*self._front, *new])
        self._num_seen += len(new)
        return self._objectives.hypervolume(self._front)


def _fitness(candidate: Candidate) -> float:
    assert candidate.fitness is not None
    return candidate.fitness
