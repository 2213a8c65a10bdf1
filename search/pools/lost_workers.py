"""A lost worker: when it is looked for again, and what is known of it until it is back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from supernet.files import RunFailed
from supernet.files.telling import tell

FIRST_PAUSE_S = 0.2
"""From the loss of a worker to the first probe."""

LAST_PAUSE_S = 5.0
"""Between two probes at most: each pause is twice the one before."""

MAX_REPLACEMENTS = 10
"""New actors in one worker's place with no score between them.

Each is restarted 30 times (search.pools.ray_pool.MAX_RESTARTS): a cluster whose nodes come and go
never gets there, for scores come in between. Candidates that all kill their workers do: after
11 x 31 deaths of this worker, three a candidate.
"""

TOLD_AFTER_S = 10.0
"""A worker that is back sooner is not spoken of."""


@dataclass
class Absence:
    """Of a worker lost at `since`; the next probe is at `probe_at`, both of time.monotonic.

    `probe_at` is None while a probe is under way. `is_for_good`: Ray restarts its actor no more.
    `problem`: why the last probe made no scorer.
    """

    since: float
    probe_at: float | None = None
    pause_s: float = FIRST_PAUSE_S
    is_for_good: bool = False
    problem: str = ""
    is_told: bool = False

    def probe_later(self, now: float, *, is_probed: bool) -> None:
        """Probe after the pause, which doubles where a probe was in vain."""
        if is_probed:
            self.pause_s = min(2 * self.pause_s, LAST_PAUSE_S)
        self.probe_at = now + self.pause_s

    def tell_back(self, now: float) -> None:
        """Say that a worker is back whose absence was spoken of."""
        if self.is_told:
            tell(f"a worker is back after {now - self.since:.0f} s")


def check_alive(
    lost: Sequence[Absence], num_workers: int, start_timeout_s: float, now: float
) -> None:
    """Say once on stderr of each worker that it is long lost.

    Raises:
        RuntimeError: of `num_workers` none was alive for `start_timeout_s`.
    """
    num_ready = num_workers - len(lost)
    for absence in lost:
        if not absence.is_told and now - absence.since > TOLD_AFTER_S:
            absence.is_told = True
            reason = f" ({absence.problem})" if absence.problem else ""
            tell(
                f"a worker is lost{reason}, {num_ready} of {num_workers} score; it takes part "
                f"again as soon as it finds room"
            )
    if num_ready:
        return
    why = ""
    if not lost:
        why = f"each was replaced {MAX_REPLACEMENTS} times and scored nothing since"
    elif now - max(absence.since for absence in lost) > start_timeout_s:
        problem = next((f" ({absence.problem})" for absence in lost if absence.problem), "")
        why = f"none was alive for {start_timeout_s:g} s{problem}"
    if why:
        raise RunFailed(f"no worker is left: {why}; the same command resumes the search")
