"""Two processes on this machine, joined by gloo, and how their weights differ from one's."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from subprocess import Popen

from supernet.files import load_weights


def torchrun(
    config: Path,
    run: Path,
    restarts: int = 0,
    output: int = subprocess.PIPE,
    stage: str = "train-supernet",
) -> Popen:
    """Two processes on this machine, joined by gloo."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--max-restarts", str(restarts)]
    command += ["-m", "--", "evobit", stage, str(config), "--run", str(run), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return Popen(command, stdout=output, stderr=output, text=True, env=environment)


def largest_difference(one: Path, other: Path) -> float:
    """Between any two tensors of equal name, relative to that tensor's largest value."""
    (first, _), (second, _) = load_weights(one), load_weights(other)
    assert first.keys() == second.keys()
    return max(
        ((first[name] - second[name]).abs().max() / first[name].abs().max().clamp(min=1e-3)).item()
        for name in first
        if first[name].is_floating_point()
    )


def pretend_torchrun(rank: int, port: int) -> None:
    """What torchrun tells process `rank` of two on this machine."""
    os.environ |= {
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
