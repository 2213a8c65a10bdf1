"""What a search's candidates and a training's log say: the best so far, fronts, curves.

What candidates rank by is their loss in nats, less is better, where they have one, else their top-1
in percent. One with `images` was given up early: its top-1 is a guess from so many images. Guesses
are shown, but are never the best and on no front.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from supernet.candidate import Candidate
from training.run_files.log import read_events


def ranked_by(candidates: Iterable[Candidate]) -> str:
    """The field that candidates rank by: "loss" or "top1"."""
    return "loss" if any(one.loss is not None for one in candidates) else "top1"


def figure(candidate: Candidate) -> float | None:
    """What it ranks by, as it is shown: nats or percent; None where scoring failed or guessed."""
    return candidate.counted_top1 if candidate.loss is None else candidate.loss


def best_so_far(candidates: Sequence[Candidate]) -> list[tuple[int, float]]:
    """Index and figure of each candidate that was better than all before it."""
    found: list[tuple[int, float]] = []
    best = -math.inf
    for one in candidates:
        value = figure(one)
        if value is not None and _fitness(one) > best:
            found.append((one.index, value))
            best = _fitness(one)
    return found


def front(candidates: Sequence[Candidate], cost: str) -> list[int]:
    """Indices of those that none is both cheaper and better than, by ascending cost.

    Of candidates equal in both the first stands for all.
    """
    scored = [one for one in candidates if figure(one) is not None and cost in one.costs]
    found: list[int] = []
    best = -math.inf
    for one in sorted(scored, key=lambda one: (one.costs[cost], -_fitness(one), one.index)):
        if _fitness(one) > best:
            found.append(one.index)
            best = _fitness(one)
    return found


def _fitness(candidate: Candidate) -> float:
    return -math.inf if candidate.fitness is None else candidate.fitness


def varying_costs(candidates: Sequence[Candidate]) -> tuple[list[str], dict[str, float]]:
    """The costs in which candidates differ, and the value of those in which all agree.

    One that an older part of the history has not counted is neither.
    """
    counted = candidates[0].costs if candidates else {}
    names = [name for name in counted if all(name in one.costs for one in candidates)]
    values = {name: {one.costs[name] for one in candidates} for name in names}
    same = {name: candidates[0].costs[name] for name in names if len(values[name]) == 1}
    return [name for name in names if name not in same], same


def generations(candidates: Sequence[Candidate]) -> Iterator[dict[str, Any]]:
    """Of each generation: how many of which origin, how many failed, quartiles and best figure.

    `best_top1` is the top-1 of the best, by whatever it ranks.
    """
    by_number: dict[int, list[Candidate]] = {}
    for one in candidates:
        by_number.setdefault(one.generation, []).append(one)
    for number, members in sorted(by_number.items()):
        scored = [value for one in members if (value := figure(one)) is not None]
        best = max((m for m in members if figure(m) is not None), key=_fitness, default=None)
        origins: dict[str, int] = {}
        for one in members:
            origins[one.origin] = origins.get(one.origin, 0) + 1
        low, high = _quartiles(scored)
        yield {
            "generation": number,
            "candidates": len(members),
            "origins": origins,
            "failed": sum(one.top1 is None for one in members),
            "stopped_early": sum(one.images is not None for one in members),
            "best": None if best is None else figure(best),
            "best_top1": None if best is None else best.top1,
            "median": median(scored) if scored else None,
            "lower_quartile": low,
            "upper_quartile": high,
        }


def _quartiles(values: Sequence[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high


MAX_POINTS = 150
"""Points of a curve that is kept; of a longer one every so-manieth, and the last."""

MEASURES = ("loss", "top1")


def curves(path: Path, name: str) -> dict[str, Any]:
    """What the log at `path` says of one training: `{"name", "loss": [[epoch, loss], ...], ...}`.

    Of a step that was trained again after a resume the last counts.
    """
    by_step: dict[Any, dict[str, Any]] = {}
    for event in read_events(path):
        if event.get("event") == "train" and "epoch" in event:
            by_step[event.get("step")] = event
    found: dict[str, Any] = {"name": name}
    for measure in MEASURES:
        points = [
            [round(event["epoch"], 4), round(event[measure], 5)]
            for event in by_step.values()
            if isinstance(event.get(measure), (int, float)) and math.isfinite(event[measure])
        ]
        found[measure] = every_so_many(sorted(points), MAX_POINTS)
    return found


def every_so_many(points: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the points, evenly spaced, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    last = len(points) - 1
    return [points[round(k * last / (most - 1))] for k in range(most)]
