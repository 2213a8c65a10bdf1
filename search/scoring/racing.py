"""Racing: a candidate that has clearly lost against the leaders is not scored to the end.

All candidates are scored on the same blocks of search images in the same order. After each block
but the last a paired one-sided sign test compares a candidate with its rival, the last of the
leaders: among the images that just one of the two classifies right, is the rival's share above
1/2? (The exact test of McNemar, Psychometrika 12, 1947; racing as in Maron and Moore, 1993.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from search.scoring.tasks import Score
from supernet.candidate import Candidate, best
from training.bounds import MAX_COUNT
from training.section import Section

Bits = NDArray[np.bool_]


class RacingConfig(Section):
    """How early a loser is stopped.

    `blocks`: equal parts of the search images, after each of which is tested. `level`: chance that
    a candidate as good as its rival is stopped, over all tests, at most. `leaders`: a candidate
    races against the last of so many best ones; those are always scored in full.
    """

    blocks: int = Field(default=8, ge=2, le=MAX_COUNT)
    level: float = Field(default=0.02, gt=0, lt=1)
    leaders: int = Field(default=10, ge=1, le=MAX_COUNT)


def sign_test(wins: int, losses: int) -> float:
    """P[X >= losses] of X ~ Binomial(wins + losses, 1/2), exactly."""
    flips = wins + losses
    return sum(comb(flips, k) for k in range(losses, flips + 1)) / 2**flips


def race(blocks: Iterable[Bits], rival: bytes | None, config: RacingConfig, images: int) -> Score:
    """The score of a candidate, stopped where it has lost against `rival`.

    A loser's top-1 is guessed from the images that both have seen: with w images that it alone has
    right and l that its rival alone has, of n, top1 = rival's top1 + 100 (w - l) / n. As it lost,
    w < l: its top1 is below the rival's.

    Args:
        blocks: which images of each block the candidate classifies right, `images` in all.
        rival: the rival's bits in the same order; None: on to the end.
    """
    level = config.level / (config.blocks - 1)
    other = None if rival is None else from_bytes(rival, images)
    seen: list[Bits] = []
    count = wins = losses = 0
    for block in blocks:
        seen.append(block)
        if other is not None:
            theirs = other[count : count + len(block)]
            wins += int((block & ~theirs).sum())
            losses += int((theirs & ~block).sum())
        count += len(block)
        if other is None or count == images:
            continue
        if losses > wins and sign_test(wins, losses) <= level:
            guess = 100.0 * int(other.sum()) / images + 100.0 * (wins - losses) / count
            return Score(max(guess, 0.0), images=count)
    bits = np.concatenate(seen)
    return Score(100.0 * int(bits.sum()) / len(bits), correct=to_bytes(bits))


def to_bytes(bits: Bits) -> bytes:
    """Eight images a byte, the first in the highest bit."""
    return np.packbits(bits).tobytes()


def from_bytes(data: bytes, count: int) -> Bits:
    """The first `count` bits of `to_bytes`.

    Raises:
        ValueError: they are of another number of images.
    """
    if len(data) != -(-count // 8):
        raise ValueError(f"{len(data)} bytes of bits are not of {count} images")
    return np.unpackbits(np.frombuffer(data, np.uint8), count=count).astype(np.bool_)


class Leaders:
    """The best candidates learnt so far, of those scored in full."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._best: list[Candidate] = []

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Take in candidates; those that were stopped rank below all leaders anyway."""
        full = [candidate for candidate in candidates if candidate.images is None]
        self._best = best([*self._best, *full], self._count)

    @property
    def rival(self) -> Candidate | None:
        """The last of the leaders; None while there are not so many."""
        return self._best[-1] if len(self._best) == self._count else None
