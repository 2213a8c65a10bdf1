"""How long a part of every step takes, without making the device wait at each."""

from __future__ import annotations

import time
from types import TracebackType

import torch


class Stopwatch:
    """A context manager that adds up the time spent inside on `device`; `take` returns it."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._seconds = self._entered = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def __enter__(self) -> None:
        if self._on_gpu:
            pair = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            self._events.append(pair)
            pair[0].record()
        self._entered = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._on_gpu:
            self._events[-1][1].record()
        else:
            self._seconds += time.perf_counter() - self._entered

    def take(self) -> float:
        """Seconds since the last call; waits for a GPU."""
        if self._events:
            self._events[-1][1].synchronize()
            # milliseconds
            self._seconds += sum(begun.elapsed_time(ended) for begun, ended in self._events) / 1e3
            self._events = []
        seconds, self._seconds = self._seconds, 0.0
        return seconds
