"""Ray: the same history for any number of workers, through deaths, hangs and poison."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.pools.pool import SerialPool
from search.pools.ray_pool import RayPool
from search.scoring.tasks import Failure, Score
from supernet.files import UserError

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(120)]
CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def make_factory(score, tmp_path):
    """A factory whose scorer notes its calls in a file a process, and may misbehave first."""
    calls = tmp_path / "calls"
    calls.mkdir()

    def make(misbehave=None, sleep_s=0.0):
        def factory(arrays):
            def scorer(architecture):
                with open(calls / str(os.getpid()), "a") as file:
                    file.write(f"{architecture}\n")
                time.sleep(sleep_s)
                if misbehave is not None:
                    misbehave(architecture)
                return score(architecture)

            return scorer

        return factory

    make.calls = calls
    return make


@pytest.mark.parametrize("name", ["evolution", "nsga2"])
def test_the_same_history_for_any_number_of_workers(
    ray, wide_space, search, make_factory, tmp_path, name
):
    def fails_sometimes(architecture):
        if architecture["block1.spatial"] == 8:
            raise ValueError(f"cannot run {architecture}")

    factory = make_factory(fails_sometimes)
    search(wide_space, name, tmp_path / "serial", 40, pool=SerialPool(factory, {}))
    for workers in (1, 2):
        path = tmp_path / f"ray{workers}"
        search(wide_space, name, path, 40, pool=RayPool(factory, {}, workers))
        assert path.read_bytes() == (tmp_path / "serial").read_bytes()
    assert b"cannot run" in path.read_bytes()


def test_a_killed_worker_changes_nothing(ray, wide_space, search, make_factory, tmp_path):
    search(wide_space, "evolution", tmp_path / "serial", 40)
    driver = os.getpid()

    def kill_one(candidate):
        if candidate.index in (5, 17, 18):
            newest = max(make_factory.calls.iterdir(), key=lambda path: path.stat().st_mtime)
            assert int(newest.name) != driver
            os.kill(int(newest.name), signal.SIGKILL)

    pool = RayPool(make_factory(sleep_s=0.03), {}, 2)
    found = search(wide_space, "evolution", tmp_path / "ray", 40, pool=pool, on_candidate=kill_one)
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "serial").read_bytes()
    assert not any(candidate.failure for candidate in found)
    assert len(list(make_factory.calls.iterdir())) >= 4  # 2 workers and at least 2 restarted ones


def test_a_candidate_that_kills_its_worker_is_given_up(ray, space, score, make_factory):
    architectures = [space.uniform(1), space.uniform(2), space.uniform(4)]
    poison = str(architectures[0])

    def die(architecture):
        if str(architecture) == poison:
            os.kill(os.getpid(), signal.SIGKILL)

    with RayPool(make_factory(die), {}, 1) as pool:
        results = dict(pool.score(list(enumerate(architectures))))
        again = dict(pool.score([(3, architectures[1])]))
    assert results[0] == Failure("its worker died, hung or ran out of memory, 3 times")
    assert [results[1], results[2]] == [Score(score(a)) for a in architectures[1:]]
    assert again == {3: Score(score(architectures[1]))}
    calls = "".join(path.read_text() for path in make_factory.calls.iterdir()).splitlines()
    assert calls.count(poison) == 3


def test_a_hung_call_is_killed_and_scored_again(ray, space, score, make_factory, tmp_path):
    once = tmp_path / "once"

    def hang_once(architecture):
        if str(architecture) == "2,2,2" and not once.exists():
            once.touch()
            time.sleep(600)

    began = time.monotonic()
    items = list(enumerate([space.uniform(1), space.uniform(2), space.uniform(4)]))
    with RayPool(make_factory(hang_once), {}, 1, timeout_s=1.0) as pool:
        assert dict(pool.score(items)) == {index: Score(score(a)) for index, a in items}
    assert time.monotonic() - began < 30


def test_more_workers_than_cpus_are_refused_soon(ray, factory):
    began = time.monotonic()
    with pytest.raises(UserError, match="asked for 1000 workers .* the cluster offers [0-9]+ CPUs"):
        RayPool(factory, {}, 1000).__enter__()
    assert time.monotonic() - began < 10


def test_workers_that_find_no_room_are_refused_in_time(ray, factory):
    cpus = int(ray.cluster_resources()["CPU"])
    with RayPool(factory, {}, 1, threads=cpus):
        with pytest.raises(UserError, match="asked for 1 workers, the cluster offers 0"):
            RayPool(factory, {}, 1, start_timeout_s=1.0).__enter__()


def test_a_scorer_that_cannot_be_made_is_an_error(ray):
    def users_mistake(arrays):
        raise UserError("weights w: cannot be read")

    def bug(arrays):
        raise KeyError("weights")

    with pytest.raises(UserError, match="weights w: cannot be read"):
        RayPool(users_mistake, {}, 1).__enter__()
    with pytest.raises(RuntimeError, match="no scorer in a worker: KeyError: 'weights'"):
        RayPool(bug, {}, 1).__enter__()


def test_arrays_are_shared_and_read_only(ray, space):
    import numpy as np

    def factory(arrays):
        return lambda architecture: float(arrays["a"].sum()) + arrays["a"].flags.writeable

    with RayPool(factory, {"a": np.full(10**6, 2e-5)}, 1) as pool:
        assert dict(pool.score([(0, space.first())])) == {0: Score(pytest.approx(20.0))}


SCRIPT = """
import sys
from search.pools.ray_pool import RayPool
from search.scoring.tasks import Failure, Score
from supernet.spaces.mobilenet_groups import MobileNetGroups

def factory(arrays):
    return lambda architecture: print("worker speaks") or 50.0

space = MobileNetGroups(width=0.25, groups=(1, 2))
if __name__ == "__main__":
    with RayPool(factory, {}, 2) as pool:
        print("driver speaks while Ray runs")
        assert dict(pool.score([(0, space.first())])) == {0: Score(50.0)}
    print("done")
"""


def test_a_private_ray_leaves_nothing_behind(short_folder):
    environment = {**os.environ, "TMPDIR": str(short_folder), "HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
    assert "driver speaks" in done.stderr
    assert list(short_folder.iterdir()) == []
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in running if str(short_folder).encode() in line]


@pytest.fixture
def short_folder():
    """A temporary folder with a path short enough for Ray's sockets."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
