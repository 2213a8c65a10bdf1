"""The search history: an append-only file of JSON lines, one a candidate, in index order."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType

from supernet.candidate import Candidate, SharedChoices
from supernet.files import UserError
from supernet.space import SearchSpace


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
        self.path.touch()
        self.candidates, whole = _read(self.path, space)
        if self.path.stat().st_size > whole:
            os.truncate(self.path, whole)
        self._file = open(self.path, "ab", buffering=0)

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
