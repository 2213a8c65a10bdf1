"""A candidate: an architecture with its costs and estimated accuracy; how candidates rank."""

from __future__ import annotations

import json
import math
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from supernet.architecture import Architecture
from supernet.files.plain_data import is_number
from supernet.space import SearchSpace

FIELDS = ("index", "architecture", "costs", "top1", "generation", "origin")
MORE_FIELDS = ("failure", "images", "correct", "loss", "loss_error")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One architecture that was proposed and scored.

    `index` counts proposals from 0. `costs` is open: name -> number, in the cost's own unit.
    `top1` is percent (0-100) on the search split, None where scoring failed; `failure` then says
    why. `origin` says how the architecture arose: "random", "mutation", "crossover", ...

    In a search that ranks by cross-entropy: `loss` is that on the search split, in nats, and
    `loss_error` its standard error over images.

    In a search of races: `images` is the number of images after which the candidate was stopped,
    `top1` a guess then; of one that was not, `correct` has a bit for each image.
    """

    index: int
    architecture: Architecture
    costs: Mapping[str, int | float]
    top1: float | None
    generation: int
    origin: str
    failure: str | None = None
    images: int | None = None
    correct: bytes | None = None
    loss: float | None = None
    loss_error: float | None = None

    @property
    def fitness(self) -> float | None:
        """What candidates rank by, more is better: -`loss` where there is one, else `top1`.

        None where scoring failed.
        """
        return self.top1 if self.loss is None else -self.loss

    @property
    def counted_top1(self) -> float | None:
        """Top-1 on all search images; None where scoring failed or `top1` is a guess."""
        return self.top1 if self.images is None else None

    def to_json(self) -> str:
        """One line of `history.jsonl`, without the newline."""
        document: dict[str, Any] = {
            "index": self.index,
            "architecture": dict(self.architecture.choices),
            "costs": dict(self.costs),
            "top1": self.top1,
            "generation": self.generation,
            "origin": self.origin,
        }
        if self.failure is not None:
            document["failure"] = self.failure
        if self.images is not None:
            document["images"] = self.images
        if self.correct is not None:
            document["correct"] = b64encode(self.correct).decode()
        if self.loss is not None:
            document["loss"] = self.loss
        if self.loss_error is not None:
            document["loss_error"] = self.loss_error
        return json.dumps(document, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, document: Any, choices: SharedChoices) -> Candidate:
        """Check one decoded history line and make it a candidate of shared choices.

        Raises:
            ValueError: a field is missing, unknown or of the wrong kind; the message names it.
            UserError: the architecture is not one of the space.
        """
        if not isinstance(document, dict):
            raise ValueError(f"expected an object, found {type(document).__name__}")
        if tuple(document) != FIELDS:
            _check_fields(document)
        for name in ("index", "generation"):
            if type(document[name]) is not int or document[name] < 0:
                raise ValueError(f"field '{name}' is {document[name]!r}, expected a count")
        costs, top1, failure = document["costs"], document["top1"], document.get("failure")
        if not isinstance(costs, dict) or not all(map(is_number, costs.values())):
            raise ValueError("field 'costs' is not an object of numbers")
        if (top1 is None) == (failure is None) or not (top1 is None or is_number(top1)):
            raise ValueError(f"field 'top1' is {top1!r}, expected percent (or null and a failure)")
        for name in ("loss", "loss_error"):
            if not (document.get(name) is None or is_number(document[name])):
                raise ValueError(f"field '{name}' is {document[name]!r}, expected nats")
        images, correct = document.get("images"), document.get("correct")
        if images is not None and (type(images) is not int or images < 1):
            raise ValueError(f"field 'images' is {images!r}, expected a count of 1 or more")
        if not isinstance(document["architecture"], dict):
            raise ValueError("field 'architecture' is not an object")
        return cls(
            index=document["index"],
            architecture=choices.read(document["architecture"]),
            costs={sys.intern(name): number for name, number in costs.items()},
            top1=top1,
            generation=document["generation"],
            origin=sys.intern(str(document["origin"])),
            failure=failure,
            images=images,
            correct=None if correct is None else _bits(correct),
            loss=document.get("loss"),
            loss_error=document.get("loss_error"),
        )


def _bits(text: Any) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise ValueError("field 'correct' is not base64") from error


def _check_fields(document: Mapping[str, Any]) -> None:
    """Demand all fields, in any order, and none but those of `MORE_FIELDS` beside them."""
    if missing := [name for name in FIELDS if name not in document]:
        raise ValueError(f"field '{missing[0]}' is missing")
    if unknown := [name for name in document if name not in (*FIELDS, *MORE_FIELDS)]:
        raise ValueError(f"unknown field '{unknown[0]}'")


class _ById:
    """Sorts like the architecture's id, which is a hash: taken only where all before it tie."""

    __slots__ = ("architecture",)

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.architecture == other.architecture

    def __lt__(self, other: _ById) -> bool:
        return self.architecture.id < other.architecture.id


RankKey = tuple[float, float, _ById]


def rank_key(candidate: Candidate) -> RankKey:
    """Sorting key, best first: higher fitness, then fewer OPs, then architecture id."""
    fitness = -math.inf if candidate.fitness is None else candidate.fitness
    return rank(fitness, candidate.costs.get("ops", 0), candidate.architecture)


def rank(fitness: float, ops: float, architecture: Architecture) -> RankKey:
    """The `rank_key` of a candidate of which no more is known."""
    return -fitness, ops, _ById(architecture)


def best(candidates: Iterable[Candidate], count: int) -> list[Candidate]:
    """The `count` best scored candidates, best first; failed ones never count."""
    return sorted((c for c in candidates if c.fitness is not None), key=rank_key)[:count]


class SharedChoices:
    """Makes architectures out of one set of (position, choice) pairs: 8 bytes each, not 64."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._names = tuple(position.name for position in space.positions)
        pairs = (
            (position.name, choice) for position in space.positions for choice in position.choices
        )
        self._pairs = {pair: pair for pair in pairs}

    def of(self, architecture: Architecture) -> Architecture:
        """An equal architecture of shared pairs."""
        return Architecture(tuple(map(self._pairs.__getitem__, architecture.choices)))

    def read(self, choices: Mapping[str, Any]) -> Architecture:
        """`SearchSpace.architecture` for choices out of JSON, in a third of its time.

        Raises:
            UserError: a position is missing or unknown, or a choice is not one of its choices.
        """
        # bool is an int in Python; True must not pass for the choice 1.
        if tuple(choices) == self._names and bool not in map(type, choices.values()):
            try:
                return Architecture(tuple(map(self._pairs.__getitem__, choices.items())))
            except (KeyError, TypeError):
                pass  # no choice, or nothing that can be one: refused below
        return self.of(self._space.architecture(choices))
