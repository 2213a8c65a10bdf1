"""The faults of the soak: each is given the search and a random generator, and returns whether it
was injected (the search may end before)."""

import contextlib
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

from soak_run import PATIENCE_S, SoakFailed

NO_ROOM = "evobit: no room to write"
INTERRUPTED = "evobit: interrupted; the same command resumes where this one stopped"
FAILED, REFUSED = 1, 2


def comes_to(search, condition):
    """Wait until the driver comes to `condition`; False where it ends before."""
    while not condition():
        if search.driver.poll() is not None:
            return False
        if time.monotonic() - search.began > PATIENCE_S:
            raise SoakFailed(f"the driver does not get on, {search.last_words()}")
        time.sleep(0.02)
    return True


def running(pause_s):
    """Makes a fault of one that needs workers which score: waits for them, and a while more."""

    def needs_workers(inject):
        def fault(search, rng):
            if not comes_to(search, lambda: len(search.calls()) > 2):
                return False
            time.sleep(rng.uniform(0, pause_s))
            return search.driver.poll() is None and inject(search, rng)

        return fault

    return needs_workers


def signal_worker(search, rng, number):
    """Send a signal to one of the two youngest workers of this life."""
    youngest = list(dict.fromkeys(process for process, _ in reversed(search.calls())))[:2]
    process = rng.choice(youngest)
    # A number may be another process's by now; a worker calls itself by its actor's class.
    with contextlib.suppress(OSError):
        if Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::"):
            os.kill(process, number)
            return True
    return False


@running(2)
def kill_worker(search, rng):
    """It dies at once, with what it scores."""
    return signal_worker(search, rng, signal.SIGKILL)


@running(2)
def stop_worker(search, rng):
    """It hangs, until search.timeout_s."""
    return signal_worker(search, rng, signal.SIGSTOP)


def kill_driver(search, rng):
    """At any instant: while it starts, too."""
    wait_for_any_instant(search, rng)
    search.driver.kill()
    search.bury()
    return True


def wait_for_any_instant(search, rng):
    """Of the driver's first seconds, where they are not over."""
    since = time.monotonic() - search.began
    time.sleep(max(0.0, rng.uniform(0, 8) - since))


@running(2)
def interrupt(search, rng):
    """Ctrl-C: the terminal's whole process group has it."""
    os.killpg(search.driver.pid, signal.SIGINT)
    return ended_with(search, INTERRUPTED)


@running(2)
def terminate(search, rng):
    """As a shutdown does."""
    search.driver.send_signal(signal.SIGTERM)
    return ended_with(search, INTERRUPTED)


def interrupt_early(search, rng):
    """Either of the two at any instant; before the search begins no line is promised."""
    wait_for_any_instant(search, rng)
    with contextlib.suppress(ProcessLookupError):
        if rng.random() < 0.5:
            os.killpg(search.driver.pid, signal.SIGINT)
        else:
            search.driver.send_signal(signal.SIGTERM)
    code = search.bury()
    if code == REFUSED:
        raise SoakFailed(f"the driver was refused: {search.last_words()}")
    return code != 0


def ended_with(search, line):
    """Whether the driver failed with this line; False where it was done before."""
    code = search.bury()
    if code == 0:
        return False
    if code != FAILED or not search.last_words().startswith(line):
        raise SoakFailed(f"the driver ended with {code}: {search.last_words()}")
    return True


@running(1)
def fill_disk(search, rng):
    """No room for the next line or so of the history."""
    # By then the history is longer than all else that the driver writes.
    if not comes_to(search, lambda: len(search.content()) > 10_000):
        return False
    size = len(search.content()) + rng.randrange(400)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(search.driver.pid, resource.RLIMIT_FSIZE, (size, size))
    return ended_with(search, NO_ROOM)


@running(1)
def start_second(search, rng):
    """The same command while it runs."""
    before = settings_of(search)
    code, line = run_refused(search, search.command(life=-1))
    if search.driver.poll() is not None:
        return False  # it ended before the second one looked
    expect_refusal(search, before, code, line, "another process is working in it")
    return True


def ask_too_many(search, rng):
    """More workers than the machine has CPUs; then the driver starts again as it was."""
    kill_driver(search, rng)
    before = (*settings_of(search), search.content())
    code, line = run_refused(search, search.command(workers=1000, life=-1))
    begun = [search.folder / "manifest.json", search.folder / "config.yaml"]
    if code == 0 or not all(path.exists() for path in begun):
        return False  # it was done; or nothing had been written before the driver was killed
    expect_refusal(search, before, code, line, "asked for 1000 workers")
    # A torn line may be cut off; whole ones stay.
    if not before[-1].startswith(search.content()):
        raise SoakFailed("a refused command wrote to the history")
    return True


def run_refused(search, command):
    """Exit code and last line of a command that should be refused."""
    done = subprocess.run(
        command,
        env=search.environment(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        start_new_session=True,
    )
    return done.returncode, (done.stderr.splitlines() or [""])[-1]


def expect_refusal(search, before, code, line, reason):
    """Exit code 2, the reason in one line, no setting changed, nothing scored."""
    if code != REFUSED or not line.startswith("evobit: ") or reason not in line:
        raise SoakFailed(f"expected a refusal '{reason}', found exit code {code}: {line}")
    if settings_of(search) != before[:2] or search.calls(life=-1):
        raise SoakFailed(f"a command that was refused ({reason}) changed the run")


def settings_of(search):
    """Manifest and config as they are on disk."""
    files = [search.folder / name for name in ("manifest.json", "config.yaml")]
    return tuple(path.read_bytes() if path.exists() else b"" for path in files)


def cut_tail(search, rng):
    """A kill, and the last line of the history loses some bytes, or all of them."""
    if not comes_to(search, search.content):
        return False
    kill_driver(search, rng)
    content = search.content()
    last = content.splitlines(keepends=True)[-1]
    os.truncate(search.folder / "history.jsonl", len(content) - rng.randint(1, len(last)))
    return True


def append_tail(search, rng):
    """A kill in the middle of a write."""
    if not comes_to(search, lambda: search.content().endswith(b"\n")):
        return False
    kill_driver(search, rng)
    line = search.calm.splitlines(keepends=True)[0]
    with open(search.folder / "history.jsonl", "ab") as file:
        file.write(line[: rng.randrange(1, len(line))])
    return True


FAULTS = {
    "worker killed": kill_worker,
    "worker stopped": stop_worker,
    "driver killed": kill_driver,
    "driver interrupted (SIGINT)": interrupt,
    "driver terminated (SIGTERM)": terminate,
    "driver interrupted or terminated early": interrupt_early,
    "history's last line cut": cut_tail,
    "half a line appended": append_tail,
    "no room on the disk": fill_disk,
    "second driver": start_second,
    "more workers than CPUs": ask_too_many,
}
"""Every kind of fault that comes from outside, by its name in the table."""
