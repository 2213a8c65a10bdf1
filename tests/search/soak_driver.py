"""One driver of the soak: a search whose scorer misbehaves; ends as the command `evobit` does.

    python soak_driver.py STAGE RUN SUPERNET WORK LIFE

STAGE is JSON, LIFE a number; the scorer notes its calls and its faults in the folder WORK.
"""

import hashlib
import os
import resource
import signal
import sys
import time
from pathlib import Path

from evobit.errors import exit_code
from search.config import SearchStage
from search.run import run_search

MEMORY_ERROR = "memory error once"
KILLED = "killed for memory once"
OF_256 = {"not a number": 5, "exception": 5, "poison": 2, KILLED: 3, MEMORY_ERROR: 3}
"""How many of 256 candidates misbehave, by kind; which ones they are is the same in every run."""

WHILE_CALM = "WhileCalm"
"""Stands in the calm run's history before what a poisonous candidate's failure says here."""


class WhileCalm(Exception):
    """Raised for a poisonous candidate where there is no worker to kill."""


def calm_scorer(arrays):
    """What every candidate gives when nothing is injected."""

    def scorer(architecture):
        top1, kind, _ = traits(architecture)
        return result(top1, kind)

    return scorer


def traits(architecture):
    """A pretend top-1, the kind of misbehaviour if any, and a time in seconds; all by its hash."""
    digest = hashlib.sha256(str(architecture).encode()).digest()
    drawn, kind = digest[4], None
    for name, share in OF_256.items():
        if 0 <= drawn < share:
            kind = name
        drawn -= share
    return round(50 + sum(digest[:4]) / 25.5, 2), kind, 0.02 + 0.03 * digest[5] / 255


def result(top1, kind):
    """What scoring gives in the end."""
    if kind == "exception":
        raise ValueError("cannot\nrun")
    if kind == "poison":
        raise WhileCalm
    return float("nan") if kind == "not a number" else top1


def run_out_of_memory():
    """A real MemoryError: 1 GiB asked for where 64 MiB more are allowed."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    allowed = pages * resource.getpagesize() + 64 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (allowed, before[1]))
    try:
        return bytearray(2**30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def faulty_factory(work, life):
    """Makes the worker's scorer; nested, so that Ray ships it by value."""

    def note(name, *words):
        # One short write to a file opened for appending: whole, whoever is killed.
        with open(f"{work}/{name}", "ab", buffering=0) as file:
            file.write((" ".join(map(str, words)) + "\n").encode())

    def is_first(kind, architecture):
        digest = hashlib.sha256(str(architecture).encode()).hexdigest()[:16]
        try:
            Path(f"{work}/once/{kind.replace(' ', '-')}-{digest}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def factory(arrays):
        def scorer(architecture):
            top1, kind, seconds = traits(architecture)
            note("calls", life, os.getpid(), architecture)
            time.sleep(seconds)
            if kind is not None and is_first(kind, architecture):
                note("faults", kind, architecture)
                if kind == MEMORY_ERROR:
                    run_out_of_memory()
                if kind == KILLED:
                    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does
            if kind == "poison":
                os.kill(os.getpid(), signal.SIGKILL)
            return result(top1, kind)

        return scorer

    return factory


def main():
    """Run the search to its end; returns the exit code."""
    stage, run, supernet, work, life = sys.argv[1:]
    factory = faulty_factory(work, life)

    def search():
        given = SearchStage.model_validate_json(stage)
        run_search(given, Path(run), Path(supernet), scorer_factory=factory)

    return exit_code(search)


if __name__ == "__main__":
    sys.exit(main())
