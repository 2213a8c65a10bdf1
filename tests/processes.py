"""Real processes for tests, begun in milliseconds: forks of one that imported torch once.

They have their own number, streams and end, can be signalled, limited and killed. What is left out
is Python's start and the imports, seconds of each; `python -m evobit` itself is started by
tests/evobit/test_endings.py.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "torch._dynamo",  # what an optimiser imports at its first step
        "evaluate.retrain.run",
        "evobit.main",
        "search.run",
        "training.pretraining.run",
    ]
)


def begin(
    work: Callable[..., object],
    *arguments: object,
    stdout: str | Path = os.devnull,
    stderr: str | Path = os.devnull,
    environment: Mapping[str, str] | None = None,
) -> ForkServerProcess:
    """`work(*arguments)` in a process here, with variables beside this one's; streams to files."""
    variables = {**os.environ, **(environment or {})}
    streams = os.path.abspath(stdout), os.path.abspath(stderr)
    process = CONTEXT.Process(target=_do, args=(os.getcwd(), variables, streams, work, arguments))
    with contextlib.chdir(CHECKOUT):  # the first use starts the process of which all are forks
        process.start()
    return process


def command(words: list[str], max_file_bytes: int | None = None) -> None:
    """As `python -m evobit words` does, where no file may have more bytes; to be begun."""
    from evobit.__main__ import main

    if max_file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))
    sys.argv = ["evobit", *words]
    main()


def _do(
    folder: str,
    variables: dict[str, str],
    streams: tuple[str, str],
    work: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for number, path in enumerate(streams, 1):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    import torch

    torch.set_num_threads(1)
    work(*arguments)
