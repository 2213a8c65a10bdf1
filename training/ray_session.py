"""A connection to Ray, private or a cluster: started safely; imports ray inside."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

LOCAL_SETTINGS = {
    # Binds every Ray process to 127.0.0.1; otherwise they listen on all interfaces.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Token files in the home folder, of no use on the loopback interface.
    "RAY_AUTH_MODE": "disabled",
}
MAX_TEMP_PATH = 40
"""Characters; Ray appends about 60 for its sockets, whose paths may have 107."""


@contextmanager
def connected(address: str | None, num_bytes: int) -> Iterator[Any]:
    """The ray module, connected: to this process's Ray, the cluster at `address`, or a new Ray.

    A new Ray is private: loopback only, in a short temporary folder that goes with it, with an
    object store for `num_bytes` of arrays. While connected, stdout leads to stderr, because Ray
    prints messages of its own.
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
            options = {"address": address} if address else _local_options(stack, num_bytes)
            stack.callback(ray.shutdown)
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        yield ray


def _local_options(stack: ExitStack, num_bytes: int) -> dict[str, Any]:
    """Arguments of `ray.init` for a Ray of our own; its folder goes with `stack`."""
    base = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="evobit-", dir="/tmp" if len(base) > MAX_TEMP_PATH else base)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
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
