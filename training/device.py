"""Which device, precision and threads a stage runs on; chosen once, and said."""

from __future__ import annotations

import os
from typing import Literal

import torch
from torch import nn

from supernet.files import UserError
from supernet.layers.binary_conv import Precision
from training.bounds import MAX_THREADS

DeviceName = Literal["auto", "cpu", "cuda"]
PrecisionName = Literal["auto", "fp32", "exact", "bf16"]


def choose_device(name: DeviceName) -> torch.device:
    """The device of that name; auto takes CUDA where there is one.

    Raises:
        UserError: cuda is asked for and absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was asked for, but torch finds no GPU here; use 'auto'")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def place(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to the device, in place, laid out channels last: convolutions are faster so."""
    return module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def choose_precision(name: PrecisionName, device: torch.device, compiled: bool) -> Precision:
    """auto is 'exact' where it is faster than fp32, else fp32.

    That is on GPUs that multiply bf16, and on CPUs that do where units are compiled: without, the
    conversions cost more than the products gain (benchmarks/training_speed.py).
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "exact" if torch.cuda.is_bf16_supported() else "fp32"
    return "exact" if compiled and torch.cpu._is_avx512_bf16_supported() else "fp32"


def usable_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(threads: int | None) -> int:
    """Let torch use `threads` CPU threads; returns their number.

    None: as many as OMP_NUM_THREADS says, or else all cores.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    told = int(wanted[:9]) if wanted.isdecimal() else 0
    torch.set_num_threads(min(threads or told or usable_cores(), MAX_THREADS))
    return torch.get_num_threads()
