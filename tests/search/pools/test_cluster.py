"""A Ray cluster whose nodes come and go: the same history, and who scored it where.

All nodes are on this machine, bound to the loopback interface.
"""

import os
import shutil
import signal
import socket
import tempfile
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from search.pools import dispatch, lost_workers, ray_cluster, ray_pool
from search.pools.pool import SerialPool
from search.pools.ray_pool import RayPool
from search.scoring.tasks import Score
from supernet.files import UserError
from training.processes.ray_session import LOCAL_SETTINGS

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(120)]


NODE_IS_DEAD = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "300",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}
"""Ray calls a node dead after some 1 s instead of 15 s; a slow one still has 3 s to answer."""


@pytest.fixture(scope="module")
def cluster(shared_ray):
    """A head without CPUs; the folder for node-local files is as short as Ray's sockets need."""
    shared_ray.stop()
    before = dict(os.environ)
    os.environ.update(LOCAL_SETTINGS, RAY_USAGE_STATS_ENABLED="0", **NODE_IS_DEAD)
    folder = tempfile.mkdtemp(prefix="c", dir="/tmp")
    os.environ["TMPDIR"] = folder  # of the nodes; this process has chosen its own
    from ray._private import utils
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # It names the cluster in a file for every ray.init() on this machine.
        patch.setattr(utils, "write_ray_address", lambda *a, **k: None)
        head = {"num_cpus": 0, "temp_dir": folder, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=head)
    started.folder = Path(folder)
    yield started
    started.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def nodes(cluster, notes):
    """Adds nodes of one CPU; those still there go with the test."""

    class Nodes:
        address = cluster.address
        folder = cluster.folder

        @staticmethod
        def add(**resources):
            """The new node; Ray and the notes know it by its `node_id`."""
            return cluster.add_node(**{"num_cpus": 1, **resources})

        @staticmethod
        def kill(node):
            """With all its processes, as a power cut does; of the workers those that scored."""
            cluster.remove_node(node, allow_graceful=False)
            for process in notes.processes(node):
                os.kill(process, signal.SIGKILL)

    yield Nodes
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node)
    _wait(lambda: len(cluster.global_state._live_node_ids()) == 1)


def _wait(until):
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Notes:
    """What scorers note: a line (seconds of the wall clock, node, process) a candidate."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def factory(self, score, sleep_s=0.04, extra=None):
        folder = self.folder

        def make(arrays):
            import ray

            where = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"

            def scorer(architecture):
                with open(folder / f"{where} {os.getpid()}", "a") as file:
                    file.write(f"{time.time()} {extra and extra(arrays)}\n")
                time.sleep(sleep_s)
                return score(architecture)

            return scorer

        return make

    def processes(self, node):
        """The processes that scored on a node."""
        return [int(path.name.split()[1]) for path in self.folder.glob(f"{node.node_id} *")]

    def of(self, node):
        """The times at which candidates were scored on a node, and what was noted of each."""
        lines = [
            line.split(maxsplit=1)
            for path in self.folder.glob(f"{node.node_id} *")
            for line in path.read_text().splitlines()
        ]
        return sorted((float(when), what) for when, what in lines)


@pytest.fixture
def notes(tmp_path):
    return Notes(tmp_path / "notes")


@pytest.fixture(autouse=True)
def _probes_come_soon(monkeypatch):
    monkeypatch.setattr(lost_workers, "LAST_PAUSE_S", 0.5)


def test_nodes_go_and_come(wide_space, search, score, factory, nodes, notes, tmp_path):
    stays, goes = nodes.add(), nodes.add()
    happened = {}

    def disturb(candidate):
        if candidate.index == 30:
            nodes.kill(goes)
            happened["gone"] = time.time()
        if candidate.index == 70:
            happened["joins"] = time.time()
            happened["node"] = nodes.add()

    budget = 200
    search(wide_space, "evolution", tmp_path / "serial", budget, pool=SerialPool(factory, {}))
    pool = RayPool(notes.factory(score), {}, 2, address=nodes.address)
    found = search(
        wide_space, "evolution", tmp_path / "ray", budget, pool=pool, on_candidate=disturb
    )
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "serial").read_bytes()
    assert not any(candidate.failure for candidate in found)
    of_stays, of_goes, of_joined = map(notes.of, (stays, goes, happened["node"]))
    first = of_joined[0][0]
    assert of_goes and of_goes[-1][0] < happened["gone"] < happened["joins"] < first
    assert of_stays[0][0] < happened["gone"]
    assert any(happened["gone"] < when < happened["joins"] for when, _ in of_stays)
    assert of_stays[-1][0] > first
    # Each candidate once, but those that were under way or waiting at the lost node: 2 at most.
    assert budget <= len(of_stays) + len(of_goes) + len(of_joined) <= budget + 2
    print(f"\nfrom the join to the first candidate there: {first - happened['joins']:.1f} s")


def test_the_only_node_goes_and_another_comes_or_none(
    space, search, score, nodes, notes, tmp_path, monkeypatch
):
    here = [nodes.add()]

    def check_and_join(lost, *arguments):
        """After a second without any worker another node joins, once."""
        lost_workers.check_alive(lost, *arguments)
        if lost and len(here) == 1 and time.monotonic() - lost[0].since > 1.0:
            here.append(nodes.add())

    def disturb(candidate):
        if candidate.index == 3:
            nodes.kill(here[0])
        if candidate.index == 9:
            pool._dispatcher._start_timeout_s = 1.0
            nodes.kill(here[1])

    monkeypatch.setattr(dispatch, "check_alive", check_and_join)
    search(space, "random", tmp_path / "serial", 18)
    pool = RayPool(notes.factory(score), {}, 1, address=nodes.address)
    with pytest.raises(
        RuntimeError, match="none was alive for 1 s; the same command resumes the search"
    ):
        search(space, "random", tmp_path / "ray", 18, pool=pool, on_candidate=disturb)
    assert 10 <= len((tmp_path / "ray").read_bytes().splitlines()) < 18
    here.append(nodes.add())
    pool = RayPool(notes.factory(score), {}, 1, address=nodes.address)
    search(space, "random", tmp_path / "ray", 18, pool=pool)
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "serial").read_bytes()
    assert all(notes.of(node) for node in here)


def test_arrays_at_a_place_are_copied_once_a_node(space, search, score, nodes, notes, tmp_path):
    one, two = nodes.add(), nodes.add(num_cpus=2)
    arrays = {"weights": np.linspace(0, 1, 10**5), "labels": np.arange(7)}

    def score_of(arrays):
        def score_with(architecture):
            return score(architecture) + float(arrays["weights"].mean())

        return score_with

    def mapped(arrays):
        """The inode of this process's mapped copy, which cannot be written."""
        assert not arrays["weights"].flags.writeable
        maps = Path("/proc/self/maps").read_text().splitlines()
        (inode,) = {line.split()[4] for line in maps if "evobit-arrays" in line}
        return inode

    def factory(arrays):
        return notes.factory(score_of(arrays), extra=mapped)(arrays)

    def copies():
        return sorted(nodes.folder.glob("evobit-arrays-*/*.safetensors"))

    share = tmp_path / "share"
    serial = SerialPool(score_of, arrays)
    search(space, "random", tmp_path / "serial", 27, pool=serial)
    with RayPool(factory, arrays, 3, address=nodes.address, arrays_at=f"file://{share}") as pool:
        kept = copies()
        inodes = {str(path.stat().st_ino) for path in kept}
        search(space, "random", tmp_path / "ray", 27, pool=_Started(pool))
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "serial").read_bytes()
    (file,) = share.iterdir()
    assert [path.name for path in kept] == [file.name] * 2
    assert {path.parent.name.split("-")[-1] for path in kept} == {
        node.node_id[:16] for node in (one, two)
    }
    noted = [{inode for _, inode in notes.of(node)} for node in (one, two)]
    assert [len(of_node) for of_node in noted] == [1, 1] and set.union(*noted) == inodes
    assert len(list(notes.folder.iterdir())) == 3
    assert copies() == []


class _Started:
    """A pool that was entered already."""

    def __init__(self, pool):
        self.pool = pool

    def __enter__(self):
        return self.pool

    def __exit__(self, *error):
        pass


def test_gpus_are_shared_by_fractions(space, score, nodes, tmp_path):
    """Ray takes a node's word for its GPUs: two here, none in the machine."""
    node = nodes.add(num_cpus=4, num_gpus=2)

    def visible(arrays):
        import ray

        (number,) = ray.get_gpu_ids()
        return f"{os.environ['CUDA_VISIBLE_DEVICES']} {number}"

    for workers, workers_each in ((2, 1), (4, 2)):
        notes = Notes(tmp_path / f"of{workers}")
        factory = notes.factory(score, extra=visible)
        with RayPool(factory, {}, workers, address=nodes.address, use_gpu=True) as pool:
            assert len(list(pool.score((index, space.first()) for index in range(40)))) == 40
        spans = {"0": [], "1": []}
        for path in notes.folder.iterdir():
            assert path.name.startswith(node.node_id)
            lines = [line.split() for line in path.read_text().splitlines()]
            ((device, number),) = {tuple(line[1:]) for line in lines}
            assert device == number
            spans[device].append((float(lines[0][0]), float(lines[-1][0])))
        assert [len(of_device) for of_device in spans.values()] == [workers_each] * 2
        every = [span for of_device in spans.values() for span in of_device]
        assert max(begin for begin, _ in every) < min(end for _, end in every)  # side by side


def test_a_worker_dead_for_good_is_replaced(space, score, nodes, monkeypatch):
    """Ray restarts nothing here: the first candidate kills three actors."""
    nodes.add()
    monkeypatch.setattr(ray_pool, "MAX_RESTARTS", 0)
    architectures = [space.uniform(1), space.uniform(2)]
    poison = str(architectures[0])

    def factory(arrays):
        def scorer(architecture):
            if str(architecture) == poison:
                os._exit(1)
            return score(architecture)

        return scorer

    with RayPool(factory, {}, 1, address=nodes.address) as pool:
        results = dict(pool.score(enumerate(architectures)))
        assert results[0].reason == "its worker died, hung or ran out of memory, 3 times"
        assert results[1] == Score(score(architectures[1]))
        monkeypatch.setattr(dispatch, "MAX_REPLACEMENTS", 1)
        with pytest.raises(RuntimeError, match="no worker is left: each was replaced"):
            list(pool.score([(2, architectures[0]), (3, architectures[0])]))


def test_a_cluster_is_never_stopped(space, score, nodes, factory):
    import ray

    node = nodes.add()
    with RayPool(factory, {}, 1, address=nodes.address) as pool:
        assert dict(pool.score([(0, space.first())])) == {0: Score(score(space.first()))}
    assert not ray.is_initialized()
    with ray_cluster.joined(nodes.address, 0) as again:
        alive = {entry["NodeID"] for entry in again.nodes() if entry["Alive"]}
        assert len(alive) == 2 and node.node_id in alive
        _wait(lambda: again.available_resources().get("CPU") == 1)  # its worker is gone


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("localhost", "expected HOST:PORT"),
        ("local", "expected HOST:PORT"),
        ("host:port", "expected HOST:PORT"),
        ("127.0.0.1:{closed}", r"no Ray cluster can be reached there \(Connection refused\)"),
        ("ray://127.0.0.1:{closed}", r"no Ray cluster can be reached there"),
        ("auto", "cannot join a Ray cluster: Could not find any running Ray"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_refused(address, expected, factory, monkeypatch):
    from ray._private import services

    monkeypatch.setattr(services, "find_gcs_addresses", lru_cache(set))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # not listening
        address = address.format(closed=held.getsockname()[1])
        with pytest.raises(UserError, match=f"search.address {address}: {expected}"):
            RayPool(factory, {}, 1, address=address).__enter__()


def test_the_command_searches_on_a_cluster(stages, nodes, tmp_path, monkeypatch, capsys):
    """The scorer of a real supernet, on a node that has the arrays from a folder."""
    from evobit.main import run

    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))

    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.epochs=1"]) == 0
    assert run(["search", "tiny.yaml", "--run", "serial"]) == 0
    nodes.add()
    cluster = ["search", "tiny.yaml", "--run", "ray", "--address", nodes.address]
    cluster += ["--set", f"search.arrays_at={tmp_path / 'share'}"]
    assert run(cluster) == 2
    assert "--address needs workers: say how many with --workers" in capsys.readouterr().err
    assert run([*cluster, "--workers", "1"]) == 0
    assert Path("ray/history.jsonl").read_bytes() == Path("serial/history.jsonl").read_bytes()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{held.getsockname()[1]}"
        other = ["search", "tiny.yaml", "--run", "other", "--address", closed, "--workers", "2"]
        assert run(other) == 2
    said = capsys.readouterr().err
    assert f"evobit: search.address {closed}: no Ray cluster can be reached" in said
    assert "Traceback" not in said
