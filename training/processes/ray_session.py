"""A connection to Ray, private or a cluster: started safely; imports ray inside."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from training.processes.ray_leftovers import private_folder, remove_leftovers

LOCAL_SETTINGS = {
    # Binds every Ray process to 127.0.0.1; otherwise they listen on all interfaces.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Token files in the home folder, of no use on the loopback interface.
    "RAY_AUTH_MODE": "disabled",
}
MAX_TEMP_PATH = 27
"""Bytes. A socket's path may have 107; ours and Ray's folders below take 107 - 27 = 80 of them:
`/evobit-12345678` 16, `/session_2026-01-01_00-00-00_123456_1234567` 43, `/sockets/plasma_store` 21.
"""


@contextmanager
def connected(address: str | None, num_bytes: int) -> Iterator[Any]:
    """The ray module, connected: to this process's Ray, the cluster at `address`, or a new Ray.

    A new Ray is private: loopback only, in a short temporary folder that goes with it, with an
    object store for `num_bytes` of arrays. While connected, stdout leads to stderr, because Ray
    prints messages of its own, and SIGTERM acts as Ctrl-C.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Workers without a GPU leave CUDA_VISIBLE_DEVICES alone; Ray warns until this is chosen.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is None:
        for name, value in LOCAL_SETTINGS.items():
            os.environ.setdefault(name, value)
    import ray

    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))
        if not ray.is_initialized():
            stack.callback(_interrupt_on_sigterm())
            options = {"address": address} if address else _local_options(stack, num_bytes)
            stack.callback(ray.shutdown)
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
            except SystemExit:  # of Ray's own handler, which it sets as it starts
                raise KeyboardInterrupt from None
            _interrupt_on_sigterm()  # Ray's own prints a trace of addresses, too.
        yield ray


def _interrupt_on_sigterm() -> Callable[[], object]:
    """Have SIGTERM end this process as Ctrl-C does, its Ray stopped; gives what undoes that.

    Outside the main thread signals cannot be caught.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = signal.signal(signal.SIGTERM, _interrupt)
    return partial(signal.signal, signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _local_options(stack: ExitStack, num_bytes: int) -> dict[str, Any]:
    """Arguments of `ray.init` for a Ray of our own; its folder goes with `stack`.

    What the Ray of a killed driver left is removed first.
    """
    base = tempfile.gettempdir()
    base = "/tmp" if len(os.fsencode(base)) > MAX_TEMP_PATH else base
    remove_leftovers(Path(base))
    folder = str(stack.enter_context(private_folder(Path(base))))
    # Ray refuses less than 75 MiB; results and code need little.
    store = num_bytes + 128 * 2**20
    options: dict[str, Any] = {
        "address": "local",
        "include_dashboard": False,
        "object_store_memory": store,
        "_temp_dir": folder,
    }
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shutil.disk_usage(shared_memory).free < 1.2 * store:
        options["_plasma_directory"] = folder
    return options
