"""What this machine is, as far as a latency depends on it."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from deploy.kernels.library import VERSION, backend_info
from deploy.kernels.processor import processor_fields
from latency_tables.table import Header
from supernet.files import UserError


@dataclass(frozen=True)
class Device:
    """Processor, instruction set of the kernels, and their version."""

    name: str
    isa: str | None
    kernel_version: int


def this_device() -> Device:
    """The machine this process runs on."""
    return Device(_processor(), backend_info()["isa"], VERSION)


def check_device(header: Header, where: object) -> None:
    """Demand that a table was measured on a machine like this one, by these kernels.

    Raises:
        UserError: says what differs, and how to search for another device.
    """
    here = this_device()
    for what, theirs, ours in (
        ("kernel version", header.kernel_version, here.kernel_version),
        ("instruction set", header.isa, here.isa),
        ("device", header.device, here.name),
    ):
        if theirs != ours:
            raise UserError(
                f"latency table {where}: was measured with {what} '{theirs}', here it is '{ours}'; "
                "set search.latency_device: other to search for that device all the same "
                "(finalists are then not measured)"
            )


def check_use(header: Header, threads: int, batch: int, where: object) -> None:
    """Demand the thread count and batch size that the network will be used with.

    Raises:
        UserError: says what the table was measured with.
    """
    for what, found, wanted in (
        ("threads", header.threads, threads),
        ("batch", header.batch, batch),
    ):
        if found != wanted:
            raise UserError(
                f"latency table {where}: was measured with {what} {found}, the search asks for "
                f"{wanted} (search.latency_{what})"
            )


def _processor() -> str:
    if not (fields := processor_fields()):
        return platform.processor() or platform.machine()
    return fields.get("model name", platform.machine())
