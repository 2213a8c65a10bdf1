"""Damaged files of every format: read or refused in one line that names the file.

`make fuzz` runs the long form. A case is known by its target and seed: what fails is printed with
the command that runs it alone, and its bytes are kept in build/fuzz.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fuzz import samples
from tests.fuzz.__main__ import at_file, keep
from tests.fuzz.cases import COMMAND, PROGRAM, Folder, drawn
from tests.fuzz.targets import TARGETS

CHECKOUT = Path(__file__).resolve().parents[2]
FEW, FEW_PROGRAMS = 10, 3
COMMANDS, PROGRAMS = 3_000, 500
MANY = {**{name: target.cases for name, target in TARGETS.items()}, COMMAND: COMMANDS}
SHARDS = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples, undamaged."""
    path = tmp_path_factory.mktemp("fuzz") / "samples"
    samples.make(path)
    return path


def started(
    targets: Sequence[str], first: int, cases: int, whole: Path
) -> tuple[list[dict], subprocess.CompletedProcess]:
    """What a process of its own says of the cases of these seeds, and how it ended."""
    words = [sys.executable, "-m", "tests.fuzz", *targets, "--samples", str(whole)]
    words += ["--first", str(first), "--cases", str(cases)]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()], done


def told(lines: Sequence[dict]) -> list[str]:
    """The faults in words."""
    return [f"{one['case']}: {one['fault']}\n  {one['again']}" for one in lines if "fault" in one]


def faults(target: str, first: int, cases: int, whole: Path) -> list[str]:
    """What is wrong with the cases of these seeds; a process that dies takes one case with it."""
    found, end = [], first + cases
    while first < end:
        lines, done = started([target], first, end - first, whole)
        found += told(lines)
        if done.returncode == 0:
            print(lines[-1])
            break
        at = at_file(whole, target, first)
        assert at.exists(), done.stderr  # it did not come to its first case
        first = int(at.read_text())
        kept = keep(drawn(target, first, Folder(whole)))
        found.append(f"{kept['case']}: ended with {done.returncode}: {done.stderr[-500:]}")
        first += 1
    return found


@pytest.mark.slow
def test_few_files(whole):
    lines, done = started([*TARGETS], 0, FEW, whole)
    assert done.returncode == 0, done.stderr
    assert sum(one.get("cases", 0) for one in lines) == FEW * len(TARGETS)
    assert not told(lines), "\n".join(told(lines))


@pytest.mark.slow
def test_few_programs(whole):
    found = faults(PROGRAM, 0, FEW_PROGRAMS, whole)
    assert not found, "\n".join(found)


@pytest.mark.long
@pytest.mark.fuzz
@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("target", MANY)
def test_many_files(whole, target, shard):
    cases = MANY[target] // SHARDS
    found = faults(target, shard * cases, cases, whole)
    assert not found, f"{len(found)} faults\n" + "\n".join(found[:40])


@pytest.mark.long
@pytest.mark.fuzz
def test_many_programs(whole):
    found = faults(PROGRAM, 0, PROGRAMS, whole)
    assert not found, "\n".join(found)
