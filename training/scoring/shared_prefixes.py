"""Score networks of one supernet together: blocks that several begin with are computed once.

Two networks whose first blocks are equal, name and spec, have equal weights there, hence equal
BatchNorm statistics and activations (`Supernet` gives a block its weights by name and spec alone).
The networks are gone through as the tree of their blocks, depth first. Where paths part, the
activations are kept for those still to come; between two such places batch after batch goes through
all blocks, so that a network by itself takes no more memory than one batch does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from training.scoring.answers import Answers

Maps = TypeVar("Maps")
"""A batch's activations between two blocks: an array or a tensor, or a tuple of them."""


class Segment(Protocol[Maps]):
    """Consecutive blocks of one network, with weights of their own."""

    def calibrated(self, batches: Iterable[Maps]) -> Iterator[Maps]:
        """What becomes of each batch, normalised by its own statistics.

        After the last one the running statistics are the means. Inputs are left as they are.
        """

    def __call__(self, batch: Maps) -> Maps:
        """The same in evaluation, with the running statistics; once it is calibrated."""


class Engine(Protocol[Maps]):
    """What computes, and the images that it computes with."""

    @property
    def num_images(self) -> int:
        """For calibration and for scoring, together."""

    def segment(self, number: int, first: int, last: int) -> Segment[Maps]:
        """The blocks from `first` up to `last`, which is not among them, of network `number`."""

    def calibration(self) -> Iterable[Maps]:
        """The batches of the first block."""

    def images(self, block: int) -> Iterable[Maps]:
        """The batches of one block of images to score."""

    def answers(self, block: int, logits: Iterable[Maps]) -> Answers:
        """What the logits answer to each image of a block."""


@dataclass
class _Place(Generic[Maps]):
    """Where paths part: the activations behind the first `depth` blocks that they share."""

    depth: int
    calibration: Callable[[], Iterable[Maps]]
    compute: Callable[[int], Iterable[Maps]]
    """The activations of one block of images."""
    keeps: bool = True
    kept: dict[int, list[Maps]] = field(default_factory=dict)

    def images(self, block: int) -> Iterable[Maps]:
        """The activations of one block of images, computed if they are not kept."""
        if not self.keeps:
            known = self.kept.pop(block, None)
            return self.compute(block) if known is None else known
        if block not in self.kept:
            self.kept[block] = list(self.compute(block))
        return self.kept[block]

    def keep_no_more(self) -> None:
        """Those that come last are at it, and are calibrated."""
        self.keeps, self.calibration = False, tuple


class SharedPrefixes(Generic[Maps]):
    """Goes through networks, each given by the names and specs of its blocks.

    Iterating gives, in an order of its own, each network's number and the blocks of images, which
    are computed as they are taken, until the next number is.

    Args:
        engine: see there.
        networks: one or more; equal ones are computed once.
        num_blocks: of images.
        max_bytes: of activations that are kept at a time. Where that is too little, what was kept
            before is gone through once more for each way on.
    """

    def __init__(
        self,
        engine: Engine[Maps],
        networks: Sequence[Sequence[Hashable]],
        num_blocks: int,
        max_bytes: int,
    ) -> None:
        self._engine, self._networks, self._num_blocks = engine, networks, num_blocks
        self._free = max_bytes

    def __iter__(self) -> Iterator[tuple[int, Iterator[Answers]]]:
        start = _Place(0, self._engine.calibration, self._engine.images, keeps=False)
        if self._networks:
            yield from self._walk(list(range(len(self._networks))), start, False)

    def _walk(
        self, group: list[int], place: _Place[Maps], is_last: bool
    ) -> Iterator[tuple[int, Iterator[Answers]]]:
        """Networks that are alike up to `place`; `is_last`: no others will come from there."""
        depth = self._common(group, place.depth)
        if depth == max(len(self._networks[number]) for number in group):
            yield from self._finish(group, place, is_last)
            return
        found, num_bytes = self._keep(group[0], place, depth), 0
        if found is not None:
            below, num_bytes = found
            self._free -= num_bytes
            if is_last:
                place.keep_no_more()
            place, is_last = below, True
        ways: dict[Hashable, list[int]] = {}
        for number in group:
            ways.setdefault(self._networks[number][depth], []).append(number)
        # The largest at the end: while it is gone through, nothing is kept for others.
        *others, largest = sorted(ways.values(), key=len)
        for way in others:
            yield from self._walk(way, place, False)
        yield from self._walk(largest, place, is_last)
        self._free += num_bytes

    def _common(self, group: list[int], depth: int) -> int:
        """The number of blocks that a group has in common, `depth` at least."""
        blocks = [self._networks[number][depth:] for number in group]
        for column in zip(*blocks, strict=False):
            if any(block != column[0] for block in column):
                break
            depth += 1
        return depth

    def _keep(
        self, number: int, place: _Place[Maps], depth: int
    ) -> tuple[_Place[Maps], int] | None:
        """The place behind `depth` blocks and its bytes, unless they are too many, or it is here.

        Its bytes are those of all images, whether or not they will be asked for.
        """
        if depth == place.depth:
            return None
        segment = self._engine.segment(number, place.depth, depth)
        batches = iter(segment.calibrated(place.calibration()))
        first = next(batches)
        num_bytes = _bytes_an_image(first) * self._engine.num_images
        if num_bytes > self._free:
            return None
        calibration = [first, *batches]
        return (
            _Place(depth, lambda: calibration, lambda block: map(segment, place.images(block))),
            num_bytes,
        )

    def _finish(
        self, group: list[int], place: _Place[Maps], is_last: bool
    ) -> Iterator[tuple[int, Iterator[Answers]]]:
        """Equal networks, to their logits."""
        engine, number = self._engine, group[0]
        segment = engine.segment(number, place.depth, len(self._networks[number]))
        for _ in segment.calibrated(place.calibration()):
            pass
        if is_last:
            place.keep_no_more()

        @cache
        def answers(block: int) -> Answers:
            return engine.answers(block, map(segment, place.images(block)))

        for number in group:
            yield number, map(answers, range(self._num_blocks))


def _bytes_an_image(maps: Any) -> int:
    parts = maps if isinstance(maps, tuple) else (maps,)
    return sum(part.nbytes // len(part) for part in parts)
