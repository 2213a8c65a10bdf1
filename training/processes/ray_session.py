"""A connection to Ray, private or a cluster: started safely; imports ray inside."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from supernet.files import RunFailed, UserError
from training.processes.ray_leftovers import private_folder, remove_leftovers
from training.processes.temporary_folder import socket_folder

LOCAL_SETTINGS = {
    # Binds every Ray process to 127.0.0.1; otherwise they listen on all interfaces.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Token files in the home folder, of no use on the loopback interface.
    "RAY_AUTH_MODE": "disabled",
}


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
            except Exception as error:  # of many kinds: what its processes said as they started
                if address:
                    raise
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
                raise RunFailed(
                    f"Ray cannot be started here ({reason}); workers: 0 does without it"
                ) from error
            _interrupt_on_sigterm()  # Ray's own prints a trace of addresses, too.
        yield ray


def check_workers(workers: int, threads: int, section: str) -> None:
    """Demand workers for whom a new Ray on this machine has cores; before it is started.

    Raises:
        UserError: there are more.
    """
    cores = os.cpu_count() or 1
    is_given = "ray" in sys.modules and sys.modules["ray"].is_initialized()
    if workers * threads > cores and not is_given:
        raise UserError(
            f"{section}.workers is {workers} of {threads} thread{'s' * (threads > 1)} each: this "
            f"machine has {cores} cores; lower the workers or their threads"
        )


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
    base = socket_folder()
    remove_leftovers(base)
    folder = str(stack.enter_context(private_folder(base)))
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
