"""A search under random faults for as long as asked: its files must be those of a calm run.

    python tests/search/soak.py --minutes 60 --seed 1

Ends with a table of the faults, and with exit code 1 where one was not survived.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from soak_faults import FAULTS
from soak_run import SPACE, SoakedSearch, SoakFailed, architectures

from supernet.files import save_weights
from training.processes.ray_leftovers import remove_leftovers
from training.run_files.folder import RunFolder
from training.supernet_stage import SupernetStage

BUDGETS = (150, 400, 800)
"""A search runs to the first, is grown to the others, and gives way to one of another seed."""

MAX_CALM_S = 300.0
"""Without a fault injected: if one comes too late for so long, something else is wrong."""

METHODS = (
    {"searcher": "evolution"},
    {"searcher": "evolution", "lag": 4},
    {"searcher": "evolution", "batch": 3},
    {"searcher": "regularized", "screen": 4},
    {"searcher": "nsga2"},
    {"searcher": "nsga2", "lag": 6},
    {"searcher": "random"},
)


class Soak:
    """What was injected so far, of which kind, and what of it is survived."""

    def __init__(self, work, seed, seconds, faults=None):
        self.work = work
        self.rng = random.Random(seed)
        self.began = time.monotonic()
        self.end = self.began + seconds
        self.most_faults = faults
        self.deck = []
        self.last = self.began
        self.injected, self.survived = Counter(), Counter()
        self.pending = []
        self.num_candidates = self.num_searches = 0
        self.recorded = set()

    def run(self):
        """Searches one after the other until the time is over."""
        while not self.is_over():
            method = self.rng.choice(METHODS)
            search = SoakedSearch(self.work, self.num_searches, method)
            self.num_searches += 1
            try:
                for budget in BUDGETS:
                    if not self.is_over():
                        search.ask(budget)
                        self.complete(search)
            finally:
                if search.driver is not None:
                    search.driver.kill()
                    search.driver.wait()
            self.num_candidates += search.budget
        self.check_nothing_is_left()
        self.count_inner_faults()

    def is_over(self):
        """Whether faults are no longer injected: the time is over, or there were enough."""
        enough = self.most_faults is not None and self.injected.total() >= self.most_faults
        return enough or time.monotonic() > self.end

    def complete(self, search):
        """Bring a search to its budget under faults; it checks itself."""
        while True:
            if search.driver is None:
                search.start()
            if search.is_done(1.0 if self.is_over() else 0.0):
                break
            self.settle(search)
            if not self.is_over():
                self.inject(search)
        self.settle(search, is_complete=True)
        self.recorded |= architectures(search.lines())
        method = ", ".join(f"{name} {value}" for name, value in search.method.items())
        self.say(f"search {search.seed} ({method}) has its {search.budget} candidates")

    def inject(self, search):
        """The next fault of a shuffled deck of all kinds; one that came too late is drawn again."""
        if not self.deck:
            self.deck = list(FAULTS)
            self.rng.shuffle(self.deck)
        kind = self.deck[-1]
        if time.monotonic() - self.last > MAX_CALM_S:
            raise SoakFailed(f"{kind}: could not be injected for {MAX_CALM_S:g} s")
        if FAULTS[kind](search, self.rng):
            self.last = time.monotonic()
            self.deck.pop()
            self.injected[kind] += 1
            self.pending.append((kind, len(search.lines())))
            self.say(f"{kind}, at {len(search.lines())} candidates")

    def settle(self, search, is_complete=False):
        """Those faults are survived after which more candidates were recorded than were at work."""
        lines = len(search.lines())
        done = [one for one in self.pending if is_complete or lines > one[1] + 4]
        self.pending = [one for one in self.pending if one not in done]
        self.survived.update(kind for kind, _ in done)

    def say(self, text):
        """One line, with the time since the start."""
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", flush=True)

    def check_nothing_is_left(self):
        """Of Ray and of drivers: no process and no temporary folder."""
        deadline = time.monotonic() + 10
        while (left := processes_of(self.work)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            raise SoakFailed(f"processes are left: {left}")
        if folders := list((self.work / "t").iterdir()):
            raise SoakFailed(f"temporary files are left: {folders}")

    def count_inner_faults(self):
        """What the scorer injected; survived where the candidate is in a history that was right."""
        for line in (self.work / "faults").read_text().splitlines():
            kind, architecture = line.rsplit(" ", 1)
            self.injected[f"candidate: {kind}"] += 1
            self.survived[f"candidate: {kind}"] += architecture in self.recorded

    def table(self):
        """How often each kind was injected and survived."""
        rows = [f"| {kind} | {self.injected[kind]} | {self.survived[kind]} |" for kind in FAULTS]
        inner = sorted(set(self.injected) - set(FAULTS))
        rows += [f"| {kind} | {self.injected[kind]} | {self.survived[kind]} |" for kind in inner]
        return "\n".join(["| fault | injected | survived |", "|---|---|---|", *rows])


def processes_of(work):
    """Processes that were started with its temporary folder, or have a file below it open."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            texts = [(process / name).read_bytes() for name in ("cmdline", "environ")]
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    texts.append(os.fsencode(os.readlink(descriptor)))
        except OSError:
            continue
        if texts[0] and any(os.fsencode(work / "t") in text for text in texts):
            found[process.name] = texts[0].replace(b"\0", b" ").decode(errors="replace")[:80]
    return found


def prepare(work):
    """A finished supernet run, as far as a search with its own scorer looks at it."""
    for folder in (work / "t", work / "once"):
        folder.mkdir()
    for name in ("calls", "faults"):
        (work / name).touch()
    trained = SupernetStage(space=SPACE).model_dump(mode="json")
    folder = RunFolder.open(work / "supernet", "supernet", trained)
    save_weights(folder.path / "supernet.safetensors", {"weight": torch.zeros(1)})
    folder.finish({})


def main():
    """Soak, print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, help="end after so many, if they come sooner")
    given = parser.parse_args()
    # A shell that starts a command in the background has it ignore SIGINT, and its children too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Short: Ray's sockets lie below, and a socket's path has a limit.
    work = Path(tempfile.mkdtemp(prefix="soak", dir="/tmp"))
    prepare(work)
    soak = Soak(work, given.seed, 60 * given.minutes, given.faults)
    try:
        soak.run()
    except SoakFailed as error:
        print(f"failed: {error}; all files are in {work}")
        return 1
    finally:
        remove_leftovers(work / "t")
        print(soak.table())
    if soak.injected != soak.survived:
        print(f"failed: not all were survived; all files are in {work}")
        return 1
    shutil.rmtree(work)
    print(
        f"{soak.num_candidates} candidates in {soak.num_searches} searches as in calm runs, by "
        f"{SoakedSearch.life} drivers"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
