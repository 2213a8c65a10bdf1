"""Measurements so far, on disk line by line, so that an interrupted build resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from latency_tables.timing import Sample
from supernet.files import UserError


class Records:
    """Samples by what was measured, kept in a file of JSON lines so that a build can resume."""

    def __init__(self, output: Path, about: dict[str, Any]) -> None:
        self.path = output.with_name(output.name + ".progress")
        self._samples: dict[str, Sample] = {}
        first = json.dumps(about)
        lines = self.path.read_text().split("\n") if self.path.exists() else []
        if len(lines) > 1 and lines[0] != first:
            raise UserError(
                f"{self.path}: holds measurements of another space, device or settings; "
                "remove it to start anew"
            )
        for line in lines[1:-1]:  # what follows the last newline is torn or empty
            try:
                name, ms, peak = json.loads(line)
            except ValueError:
                break
            self._samples[name] = Sample(ms, peak)
        kept = [first, *(sample_line(name, sample) for name, sample in self._samples.items())]
        output.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(kept) + "\n")

    def __enter__(self) -> Records:
        self._file = self.path.open("a")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.close()

    @property
    def count(self) -> int:
        """Samples so far."""
        return len(self._samples)

    def get(self, name: str) -> Sample | None:
        """What was measured under this name."""
        return self._samples.get(name)

    def add(self, name: str, sample: Sample) -> None:
        """Keep a sample, on disk too."""
        self._samples[name] = sample
        self._file.write(sample_line(name, sample) + "\n")
        self._file.flush()

    def peaks(self, phase: str) -> list[float]:
        """The peak loop's rate beside each sample whose name begins so."""
        return [s.peak for name, s in self._samples.items() if name.startswith(phase)]

    def remove(self) -> None:
        """The build is finished."""
        self.path.unlink()


def sample_line(name: str, sample: Sample) -> str:
    return json.dumps([name, sample.ms, sample.peak])
