"""What is made of a trained network, once its check found it right; or the refusal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Refused(Exception):
    """What was made does not compute what the trained network does; nothing is written."""


@dataclass(frozen=True)
class Written:
    """What was made of a trained network, and the figures of the check before."""

    path: Path
    """What a program opens; of C sources their folder."""
    files: tuple[Path, ...]
    figures: dict[str, Any]
    """JSON-able: what is said of the files, then how they compare with the network."""

    def as_dict(self) -> dict[str, Any]:
        """The figures."""
        return dict(self.figures)
