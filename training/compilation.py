"""Whether compiling a network's binary units pays for itself before the run ends."""

from __future__ import annotations

import os
import shutil
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.files import UserError
from supernet.files.telling import is_first_process, tell
from supernet.spec import BinaryUnitSpec, BlockSpec, NetworkSpec, StemSpec
from training.device import place
from training.processes.distributed import on_first
from training.processes.temporary_folder import is_plain
from training.run_files.folder import RunFolder

# Measured on 2 cores (benchmarks/results): starting the compiler once, then each graph.
STARTUP_SECONDS = 20.0
SECONDS_PER_GRAPH = 3.5
TIME_SAVED = 0.5
"""Share of an eager step's time that compiled units save, at least."""


@dataclass(frozen=True)
class CompileDecision:
    """`compile` or not, and why, in words for the log; what it takes and saves, where known."""

    compile: bool
    reason: str
    takes_s: float = 0.0
    saves_s: float = 0.0


def num_graphs(blocks: list[BlockSpec]) -> int:
    """Graphs that torch.compile makes for these blocks: one a distinct binary unit or stem.

    None where there are stems alone, which are too little of a network to wait for.
    """
    compiled = {block for block in blocks if isinstance(block, BinaryUnitSpec | StemSpec)}
    return len(compiled) if any(isinstance(block, BinaryUnitSpec) for block in compiled) else 0


def decide(
    setting: Literal["auto", "on", "off"],
    device: torch.device,
    graphs: int,
    planned_steps: int,
    eager_step_seconds: Callable[[], float],
    *,
    waits_for_others: bool = False,
) -> CompileDecision:
    """`auto` compiles where the time saved over `planned_steps` exceeds the time compiling takes.

    Not where a unit's BatchNorm waits for other processes (`waits_for_others`).

    Raises:
        UserError: 'on' without a C++ compiler for the CPU.
    """
    if setting == "off":
        return CompileDecision(False, "switched off")
    if waits_for_others:
        return CompileDecision(False, "BatchNorm statistics are shared by processes")
    if setting == "auto" and graphs == 0:
        return CompileDecision(False, "there are no binary units to compile")
    lacking = None if device.type == "cuda" else missing_for_compiling()
    cost = STARTUP_SECONDS + SECONDS_PER_GRAPH * graphs
    if setting == "on":
        if lacking:
            raise UserError(f"compile 'on' needs {lacking}; none was found")
        return CompileDecision(True, "switched on", cost)
    if lacking:
        return CompileDecision(False, f"no {lacking} found")
    if planned_steps < 100:
        return CompileDecision(False, f"{planned_steps} steps are too few")
    saved = planned_steps * eager_step_seconds() * TIME_SAVED
    words = f"compiling {graphs} graphs takes about {cost:.0f} s and saves about {saved:.0f} s"
    return CompileDecision(saved > cost, words, cost, saved)


def decided_once(folder: RunFolder, decision: Callable[[], CompileDecision]) -> bool:
    """The decision of the run in `folder`: compiled and eager arithmetic differ in last bits."""

    def record() -> dict[str, Any]:
        made = decision()
        folder.record("compile", {"compile": made.compile, "reason": made.reason})
        return folder.manifest["compile"]

    decided = on_first(lambda: folder.manifest.get("compile")) or on_first(record)
    return bool(decided["compile"])


def tell_compiling(label: str) -> None:
    """Say why the first steps are silent, which compile what they need."""
    if is_first_process():
        tell(f"{label}: compiling ...; the first steps can take minutes")


def missing_for_compiling() -> str | None:
    """What torch.compile lacks here for the CPU, in words; None where nothing is missing."""
    if find_compiler() is None:
        return "C++ compiler (g++ or clang++)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "Python headers (Python.h; on Debian the package python3-dev)"
    place = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or tempfile.gettempdir()
    if not is_plain(place):
        return f"temporary folder (TMPDIR) of a plain path, not {place!r}"
    return None


def find_compiler() -> str | None:
    """The C++ compiler that torch.compile would use on the CPU, if any."""
    names = (os.environ.get("CXX"), "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def time_step(module: nn.Module, step: Callable[[], object], rounds: int = 3) -> float:
    """Median seconds of `step`, after one call to warm up; `module`'s buffers are put back.

    `step` may run forward and backward passes but must not change parameters.
    """
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    module.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(buffers[name])
    return sorted(seconds[1:])[rounds // 2]


def zero_images(spec: NetworkSpec, count: int, device: torch.device) -> Tensor:
    """`count` black images of the network's input shape."""
    return torch.zeros(count, spec.in_channels, spec.image_size, spec.image_size, device=device)


def training_step_seconds(
    module: nn.Module, path: nn.Module, spec: NetworkSpec, batch_size: int, device: torch.device
) -> float:
    """Seconds of a forward and backward pass of `path`, a part of `module` or all of it.

    Moves `module` to the device; its parameters and buffers stay as they are.
    """
    place(module, device)
    x = zero_images(spec, batch_size, device).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch_size, dtype=torch.long, device=device)
    return time_step(module, lambda: F.cross_entropy(path(x), labels).backward())
