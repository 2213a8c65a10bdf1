"""Two processes on this machine, joined by gloo, and how their weights differ from one's.

A `pair` is told what torchrun tells its processes; torchrun itself is for what only it does.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import NamedTuple

from supernet.files import load_weights
from tests.processes import begin, command


class Ended(NamedTuple):
    """How a process ended, and what it said."""

    code: int | None
    stdout: str
    stderr: str


def pair(work: Callable[..., object], *arguments: object, folder: Path) -> tuple[Ended, Ended]:
    """`work(*arguments)` in two processes that `processes` joins; they write into `folder`."""
    port, streams = free_port(), [[folder / f"{s}{rank}" for s in "oe"] for rank in range(2)]
    started = [
        begin(work, *arguments, stdout=out, stderr=err, environment=as_torchrun(rank, port))
        for rank, (out, err) in enumerate(streams)
    ]
    for process in started:
        process.join(240)
    first, second = (
        Ended(process.exitcode, out.read_text(), err.read_text())
        for process, (out, err) in zip(started, streams, strict=True)
    )
    return first, second


def pair_of(stage: str, config: Path, run: Path) -> tuple[Ended, Ended]:
    """The command of a stage in two processes."""
    return pair(command, [stage, str(config), "--run", str(run), "--json"], folder=config.parent)


def torchrun(config: Path, run: Path, restarts: int = 0) -> Popen:
    """Two processes that train a supernet, started by torchrun."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += ["--nproc-per-node", "2", "--max-restarts", str(restarts)]
    words += ["-m", "--", "evobit", "train-supernet", str(config), "--run", str(run), "--json"]
    # A process that waits for the killed one does not end on SIGTERM: torchrun waits 30 s for it.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "2"}
    return Popen(words, stdout=subprocess.PIPE, stderr=DEVNULL, text=True, env=environment)


def largest_difference(one: Path, other: Path) -> float:
    """Between any two tensors of equal name, relative to that tensor's largest value."""
    (first, _), (second, _) = load_weights(one), load_weights(other)
    assert first.keys() == second.keys()
    return max(
        ((first[name] - second[name]).abs().max() / first[name].abs().max().clamp(min=1e-3)).item()
        for name in first
        if first[name].is_floating_point()
    )


def as_torchrun(rank: int, port: int) -> dict[str, str]:
    """What torchrun tells process `rank` of two on this machine."""
    return {
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
    }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])
