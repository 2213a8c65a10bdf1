"""Run cases of targets in this process: python -m tests.fuzz TARGET... --first SEED --cases N.

On stdout a line of JSON a fault, and one of the cases and seconds at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

from tests.fuzz import samples
from tests.fuzz.cases import COMMAND, PROGRAM, Case, Folder, drawn, fault_of
from tests.fuzz.commands import COMMANDS
from tests.fuzz.limits import limit_memory
from tests.fuzz.targets import TARGETS

KEPT = Path(__file__).resolve().parents[2] / "build" / "fuzz"


def main() -> None:
    """Run the cases that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    names = [*TARGETS, COMMAND, PROGRAM]
    parser.add_argument("targets", nargs="+", choices=names, metavar="TARGET", help=str(names))
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--cases", type=int, default=1, help="of each target")
    parser.add_argument("--samples", type=Path, help="made where they are not there yet")
    given = parser.parse_args()
    # A warning is nothing that a command may end by; as in the program, it is printed.
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="evobit-fuzz-") as scratch:
        whole = given.samples or Path(scratch, "samples")
        if not whole.exists():
            samples.make(whole)
        work = Path(scratch, "work")
        shutil.copytree(whole, work)
        for name in ("temporary", "home"):
            Path(scratch, name).mkdir()
        tempfile.tempdir = os.environ["TMPDIR"] = str(Path(scratch, "temporary"))
        os.chdir(work)
        folder = Folder(work)
        for target in given.targets:
            _try_whole_files(target, folder)
        if PROGRAM not in given.targets:
            limit_memory()
        for target in given.targets:
            _run(target, given.first, given.cases, folder, at_file(whole, target, given.first))


def at_file(whole: Path, target: str, first: int) -> Path:
    """Says which seed is being tried, beside the samples; gone at the end."""
    return whole.parent / f"at-{target}-{first}"


def _run(target: str, first: int, cases: int, folder: Folder, at: Path) -> None:
    began = time.monotonic()
    slowest, of = 0.0, -1
    for seed in range(first, first + cases):
        at.write_text(str(seed))
        start = time.monotonic()
        case = drawn(target, seed, folder)
        if (fault := fault_of(case, folder)) is not None:
            _say({"fault": fault, **keep(case)})
        if (seconds := time.monotonic() - start) > slowest:
            slowest, of = seconds, seed
    at.unlink()
    _say(
        {
            "target": target,
            "cases": cases,
            "seconds": round(time.monotonic() - began, 1),
            "slowest_s": round(slowest, 2),
            "slowest_seed": of,
        }
    )


def _try_whole_files(target: str, folder: Folder) -> None:
    """What is whole must be read; and everything is imported before memory is limited."""
    if target == PROGRAM:
        return
    for number in range(len(COMMANDS) if target == COMMAND else 5):
        case = drawn(target, number, folder)
        command = COMMANDS[number] if target == COMMAND else None
        file = command.files[0] if command else case.file
        whole = Case(target, number, file, "whole", folder.content[file], case.rng, command)
        fault = fault_of(whole, folder)
        assert fault is None or target == "override", f"{whole}: {fault}"


def keep(case: Case) -> dict[str, str | int]:
    """Keep a case's bytes; returns what one must know of it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"{case.target}-{case.seed}-{Path(case.file).name}"
    kept.write_bytes(case.content)
    again = f"python -m tests.fuzz {case.target} --first {case.seed}"
    return {"case": str(case), "kept": str(kept), "again": again}


def _say(document: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
