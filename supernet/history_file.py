"""The search history: an append-only file of JSON lines, one a candidate, in index order.

Whoever goes on with a search reads it by `read_history`, which checks it against the space;
whoever only shows one, by `read_without_space`; who watches one grow ranks its lines by
`rank_of_line`.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from supernet.architecture import Architecture
from supernet.candidate import Candidate, RankKey, SharedChoices, rank
from supernet.files import UserError, open_to_append
from supernet.files.plain_data import is_number
from supernet.space import SearchSpace

_NOT_A_CANDIDATE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What taking a damaged line for a candidate raises."""


def read_history(path: str | Path, space: SearchSpace) -> list[Candidate]:
    """All whole candidates of a history file; a torn last line is left out.

    Raises:
        UserError: the file cannot be read, or any other line is damaged; names file and line.
    """
    return _read(Path(path), space)[0]


def _read(path: Path, space: SearchSpace) -> tuple[list[Candidate], int]:
    """The candidates, and the number of bytes that they take in the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"history {path}: cannot be read ({error.strerror})") from error
    candidates: list[Candidate] = []
    choices = SharedChoices(space)
    start = 0
    while start < len(content):
        end = content.find(b"\n", start) + 1
        if end == 0:
            break  # A kill in the middle of a write leaves a last line without its newline.
        try:
            document = json.loads(content[start:end])
        except (ValueError, RecursionError) as error:
            if end == len(content):
                break
            raise UserError(
                f"history {path}, line {len(candidates) + 1}: not valid JSON ({error})"
            ) from error
        try:
            candidate = Candidate.from_json(document, choices)
            if candidate.index != len(candidates):
                raise ValueError(f"index is {candidate.index}, expected {len(candidates)}")
        except (ValueError, UserError) as error:
            raise UserError(f"history {path}, line {len(candidates) + 1}: {error}") from error
        candidates.append(candidate)
        start = end
    return candidates, start


def read_without_space(path: str | Path) -> list[Candidate]:
    """All whole lines of a history, with their choices as they stand: its space is not known.

    A torn last line is left out, a missing file is empty. `correct` is not kept.

    Raises:
        UserError: any other line is damaged; names file and line.
    """
    path = Path(path)
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    candidates: list[Candidate] = []
    for line in whole.split(b"\n") if whole else []:
        try:
            candidates.append(_as_it_stands(json.loads(line), len(candidates)))
        except _NOT_A_CANDIDATE as error:
            number = len(candidates) + 1
            raise UserError(f"history {path}, line {number}: not a candidate") from error
    return candidates


def _as_it_stands(line: Mapping[str, Any], index: int) -> Candidate:
    if line["index"] != index:
        raise ValueError("out of order")
    costs = {sys.intern(name): float(value) for name, value in line["costs"].items()}
    top1 = None if line["top1"] is None else float(line["top1"])
    if not all(map(math.isfinite, [*costs.values(), top1 or 0.0])):
        raise ValueError("not a number")
    choices = dict(line["architecture"]).items()
    return Candidate(
        index=index,
        # Names are interned: JSON makes them anew in each line.
        architecture=Architecture(tuple((sys.intern(name), choice) for name, choice in choices)),
        costs={name: int(value) if value.is_integer() else value for name, value in costs.items()},
        top1=top1,
        generation=int(line["generation"]),
        origin=sys.intern(str(line["origin"])),
        failure=line.get("failure"),
        images=line.get("images"),
        loss=None if line.get("loss") is None else _finite(line["loss"]),
        loss_error=None if line.get("loss_error") is None else _finite(line["loss_error"]),
    )


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number


def rank_of_line(line: Mapping[str, Any]) -> RankKey:
    """`rank_key` of a decoded line with a top-1, by its loss if it has one; fewer OPs first.

    Lines of a retraining name no OPs: the first of equals stays. A damaged one comes after equals.
    """
    costs, choices, loss = line.get("costs"), line.get("architecture"), line.get("loss")
    fitness = -float(loss) if loss is not None and is_number(loss) else line["top1"]
    if (
        isinstance(costs, dict)
        and isinstance(choices, dict)
        and is_number(costs.get("ops", 0))
        and all(isinstance(choice, int | float | str) for choice in choices.values())
    ):
        return rank(fitness, costs.get("ops", 0), Architecture(tuple(choices.items())))
    return rank(fitness, math.inf, Architecture(()))


class History:
    """A history file open for appending; a context manager.

    Opening cuts off a torn last line. `candidates` holds everything read and appended.
    """

    def __init__(self, path: str | Path, space: SearchSpace) -> None:
        """Open or create `path`.

        Raises:
            UserError: the file is damaged elsewhere than in a torn last line.
        """
        self.path = Path(path)
        self._file = open_to_append(self.path, buffering=0)
        try:
            self.candidates, whole = _read(self.path, space)
            if os.fstat(self._file.fileno()).st_size > whole:
                os.ftruncate(self._file.fileno(), whole)
        except BaseException:
            self._file.close()
            raise

    def append(self, candidate: Candidate) -> None:
        """Add the candidate with the next index; it survives the end of this process."""
        if candidate.index != len(self.candidates):
            raise ValueError(f"index is {candidate.index}, expected {len(self.candidates)}")
        line = candidate.to_json().encode() + b"\n"
        while line:  # Unbuffered: a full disk raises here, once, and leaves a torn line.
            line = line[self._file.write(line) :]
        self.candidates.append(candidate)

    def sync(self) -> None:
        """Make all that was appended survive a power cut."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> History:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
