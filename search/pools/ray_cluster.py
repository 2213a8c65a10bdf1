"""Joining a Ray cluster: one that cannot be joined is the user's error, found soon."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from supernet.files import UserError
from training.processes.ray_session import connected

CONNECT_TIMEOUT_S = 10.0

ATTEMPTS = ("RAY_NUM_REDIS_GET_RETRIES", "2")
"""Of Ray itself, 43 s each where something listens that does not answer; else 20 (ray 2.60)."""


@contextmanager
def joined(address: str | None, num_bytes: int) -> Iterator[Any]:
    """As `connected`: the ray module, connected to the cluster at `address`, or to a private Ray.

    Raises:
        UserError: the cluster cannot be joined.
    """
    if address is None:
        with connected(None, num_bytes) as ray:
            yield ray
        return
    _check_reachable(address)
    os.environ.setdefault(*ATTEMPTS)  # read where ray is imported
    with ExitStack() as stack:
        try:
            ray = stack.enter_context(connected(address, num_bytes))
        except Exception as error:  # of many types, depending on what Ray found
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise UserError(
                f"search.address {address}: cannot join a Ray cluster: {reason}"
            ) from error
        yield ray


def _check_reachable(address: str) -> None:
    """Demand something that listens at HOST:PORT; Ray itself would try for minutes.

    Raises:
        UserError: nothing does, or this is no address.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise UserError(
            f"search.address {address}: expected HOST:PORT as 'ray start --head' prints it, "
            f"ray://HOST:PORT or auto"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"search.address {address}: no Ray cluster can be reached there ({reason})"
        ) from error
