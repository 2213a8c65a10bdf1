"""A private Ray: closed to the network, apart from any other Ray, cleaned up after a kill."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from training.processes.ray_leftovers import MARK, private_folder, processes_in, remove_leftovers
from training.processes.temporary_folder import MAX_SOCKET_FOLDER

CHECKOUT = Path(__file__).resolve().parents[3]
DRIVER = """
import sys
from training.processes.ray_session import connected

with connected(None, 0) as ray:
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    print(ray.get_runtime_context().gcs_address, file=sys.__stdout__, flush=True)
    sys.stdin.readline()
    assert ray.get(ray.remote(lambda: 2).remote()) == 2
print("done")
"""
STRANGER = """
import sys
import ray

ray.init(address="local", num_cpus=1, include_dashboard=False, _temp_dir=sys.argv[1])
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.readline()
assert ray.get(ray.remote(lambda: 42).remote()) == 42
print("still there")
"""
RAY = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def base():
    """A temporary folder whose path is as long as it may be."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    longest = folder / ("x" * (MAX_SOCKET_FOLDER - len(f"{folder}/")))
    longest.mkdir()
    yield longest
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(base):
    """Starts a script in a process that has said where its Ray is: (process, address)."""
    started = []

    def run(script, *words, **environment):
        given = {"TMPDIR": str(base), "PYTHONPATH": str(CHECKOUT), "HOME": str(base), **environment}
        process = subprocess.Popen(
            [sys.executable, "-c", script, *words],
            env={**os.environ, **given},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        address = process.stdout.readline().strip()
        assert address, process.communicate()[1]
        return process, address

    yield run
    for process in started:
        process.kill()
        process.communicate()
    remove_leftovers(base)


def descendants(process):
    """Numbers of a process and of all below it."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # "number (name) state parent ..."; a name may hold anything.
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(processes):
    """Addresses on which these processes listen, as the kernel writes them: hexadecimal words."""
    addresses = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":  # TCP_LISTEN
                addresses[f"socket:[{words[9]}]"] = words[1].split(":")[0]
    found = []
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            try:
                found.append(addresses.get(os.readlink(descriptor)))
            except OSError:
                continue
    return [address for address in found if address]


LOOPBACK = {
    "0100007F",  # 127.0.0.1
    "0000000000000000FFFF00000100007F",  # ::ffff:127.0.0.1
    "00000000000000000000000001000000",  # ::1
}


class TestWithRay:
    """Each starts one or two."""

    pytestmark = RAY

    def test_a_killed_drivers_leftovers_go_and_what_others_run_stays(self, start, base):
        """A stranger's Ray is neither joined nor stopped, a living driver's neither."""
        folder = base / "evobit-s"  # even if its name is like ours
        folder.mkdir()
        private = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled"}
        stranger, theirs = start(STRANGER, str(folder), **private)
        before = descendants(stranger.pid)
        killed, _ = start(DRIVER)
        (left,) = set(base.glob("evobit-*")) - {folder}
        stopped = next(n for n in processes_in(left) if title(n).startswith(b"ray::IDLE"))
        os.kill(stopped, signal.SIGSTOP)  # it may not notice that its driver is gone
        killed.kill()
        killed.wait()
        assert processes_in(left)  # Ray's agents, for a minute
        living, ours = start(DRIVER, RAY_ADDRESS=theirs)
        assert ours != theirs
        assert processes_in(left) == [] and not left.exists()
        another, _ = start(DRIVER)
        assert len(set(base.glob("evobit-*")) - {folder}) == 2
        for driver in (another, living):
            assert driver.communicate("\n")[0] == "done\n"
        assert list(base.glob("evobit-*")) == [folder]
        assert before <= descendants(stranger.pid)
        assert stranger.communicate("\n")[0] == "still there\n"

    def test_every_process_listens_on_the_loopback_interface_alone_and_ends_on_termination(
        self, start, base
    ):
        driver, _ = start(DRIVER)
        tree = descendants(driver.pid)
        found = listening(tree)
        assert len(found) > 5  # gcs, raylet, driver, workers, agents
        assert set(found) <= LOOPBACK
        driver.terminate()
        errors = driver.communicate()[1]
        assert driver.returncode and errors.splitlines()[-1] == "KeyboardInterrupt"
        assert "SIGTERM" not in errors
        assert list(base.glob("evobit-*")) == []
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{number}").exists() for number in tree):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def title(process):
    """Of a process, as it calls itself."""
    return Path(f"/proc/{process}/cmdline").read_bytes()


def test_a_folder_in_use_and_a_strangers_are_left_alone(base):
    with private_folder(base) as ours:
        (ours / "session").mkdir()
        unmarked = base / "evobit-unmarked"
        unmarked.mkdir()
        (base / "evobit-link").symlink_to(ours)
        remove_leftovers(base)
        assert sorted(base.iterdir()) == sorted([ours, unmarked, base / "evobit-link"])
        assert (ours / "session").exists()
    assert not ours.exists()


def test_the_folder_of_a_dead_driver_is_removed(base):
    script = (
        "import os, sys; from pathlib import Path; from training.processes.ray_leftovers import *\n"
    )
    script += "with private_folder(Path(sys.argv[1])) as folder:\n"
    script += "    (folder / 'session').mkdir(); os._exit(0)"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    subprocess.run([sys.executable, "-c", script, str(base)], env=environment, check=True)
    (left,) = base.iterdir()
    with open(left / MARK, "rb") as mark:  # one that another start is removing
        fcntl.flock(mark, fcntl.LOCK_EX)
        remove_leftovers(base)
        assert left.exists()
    remove_leftovers(base)
    assert list(base.iterdir()) == []
