"""SIGINT and SIGTERM at any moment: the line and the codes that are documented, no traceback."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM)

AS_IT_STARTS = """
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "evobit.main":
            os.kill(os.getpid(), NUMBER)
sys.meta_path.insert(0, Finder())
"""
AS_IT_ENDS = """
import atexit
class Last:
    def __del__(self, kill=os.kill, own=os.getpid()):
        kill(own, NUMBER)
sys.last_one = Last()
atexit.register(os.kill, os.getpid(), NUMBER)
"""
IN_WHAT_CANNOT_RAISE = """
from evobit import errors, main
class Unlucky:
    def __del__(self):
        os.kill(os.getpid(), NUMBER)
        for _ in range(1000):
            pass
def command(arguments):
    def work():
        Unlucky()
        time.sleep(20)
    return errors.exit_code(work)
main.run = command
"""


def ended(number: signal.Signals, lines: str) -> subprocess.CompletedProcess[str]:
    """`evobit --version` with `lines` run before it, which send themselves signal `number`."""
    text = f"""
import os, sys, time
{lines.replace("NUMBER", str(int(number)))}
from evobit.__main__ import main
sys.argv = ["evobit", "--version"]
main()
"""
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, cwd=CHECKOUT
    )


@pytest.mark.parametrize("number", SIGNALS)
def test_as_it_starts_it_ends_at_once(number: signal.Signals) -> None:
    done = ended(number, AS_IT_STARTS)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "evobit: interrupted; nothing had begun\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_as_it_ends_nothing_changes(number: signal.Signals) -> None:
    done = ended(number, AS_IT_ENDS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("evobit ")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_falls_into_what_cannot_raise_is_not_lost(number: signal.Signals) -> None:
    done = ended(number, IN_WHAT_CANNOT_RAISE)
    assert done.returncode == 1
    assert done.stderr == "evobit: interrupted; the same command resumes where this one stopped\n"
