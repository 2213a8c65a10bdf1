"""What `evobit doctor` looks at: one function a subject."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from deploy.kernels.processor import processor_fields

NEEDED = (
    "torch",
    "torchvision",
    "numpy",
    "ray",
    "pandas",
    "fvcore",
    "typer",
    "pydantic",
    "PyYAML",
    "rich",
    "safetensors",
)
CPU_FLAGS = ("avx2", "avx512f", "avx512_vpopcntdq", "avx512_bf16", "amx_bf16", "asimd", "bf16")
SMALL_DISK = 2 * 1024**3
SMALL_SHARED_MEMORY = 512 * 1024**2
"""Bytes below which a run, or Ray's object store, is likely to fail; chosen, not tuned."""


@dataclass(frozen=True)
class Check:
    """One thing looked for: whether it is well, whether it is needed, and what was found."""

    name: str
    ok: bool
    needed: bool
    found: str

    @property
    def mark(self) -> str:
        """ok, missing (needed), or a note (not needed)."""
        return "ok" if self.ok else "MISSING" if self.needed else "note"


def all_checks(start_ray: bool) -> list[Check]:
    """Every check in the order shown; `start_ray` also starts a Ray, a few seconds."""
    parts: list[Callable[[], Iterator[Check]]] = [
        versions, packages, processor, accelerator, room, data_sets, compiler, kernels,
    ]  # fmt: skip
    if start_ray:
        parts.append(ray_start)
    return [check for part in parts for check in part()]


def versions() -> Iterator[Check]:
    """Python, the install requirements, and whether torch and torchvision fit each other."""
    yield Check("python", sys.version_info >= (3, 11), True, sys.version.split()[0])
    for name in NEEDED:
        try:
            yield Check(name, True, True, version(name))
        except PackageNotFoundError:
            yield Check(name, False, True, "not installed; 'make setup' installs it")
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        yield Check("import torchvision", False, True, f"{type(error).__name__}: {error}")


def packages() -> Iterator[Check]:
    """The seven names lead to this checkout."""
    found = intruders()
    text = "; ".join(f"'{name}' is {where}" for name, where in found.items())
    yield Check("packages", not found, True, text or f"all seven in {CHECKOUT}")


def processor() -> Iterator[Check]:
    """Cores this process may use, and the instructions that matter here."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("cpu cores", True, False, f"{usable} usable of {os.cpu_count()}")
    fields = processor_fields()
    flags = set((fields.get("flags") or fields.get("Features", "")).split())
    found = [flag for flag in CPU_FLAGS if flag in flags]
    yield Check("cpu instructions", True, False, ", ".join(found) or "none known")
    fast = bool(flags & {"amx_bf16", "avx512_bf16", "bf16"})
    text = "in hardware" if fast else "not in hardware"
    yield Check("bf16 on the cpu", fast, False, text)


def accelerator() -> Iterator[Check]:
    """CUDA devices, if torch sees any."""
    try:
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    except Exception as error:
        yield Check("cuda", False, False, f"{type(error).__name__}: {error}")
        return
    yield Check("cuda", bool(names), False, ", ".join(names) or "no device: the CPU is used")


def room() -> Iterator[Check]:
    """Free disk here and free shared memory (Ray's object store)."""
    for name, folder, least in (
        ("free disk", Path.cwd(), SMALL_DISK),
        ("free shared memory", Path("/dev/shm"), SMALL_SHARED_MEMORY),
    ):
        if folder.is_dir():
            free = shutil.disk_usage(folder).free
            yield Check(name, free >= least, False, f"{free / 1024**3:.1f} GiB in {folder}")
    here = Path.cwd()
    text = "writable" if os.access(here, os.W_OK) else "not writable: give --run elsewhere"
    yield Check("working folder", os.access(here, os.W_OK), False, f"{here} is {text}")


def data_sets() -> Iterator[Check]:
    """The embedded images, Debian's Fashion-MNIST, and what lies in $EVOBIT_DATA."""
    from training.data.fashion_mnist import DEBIAN_FOLDER, EMBEDDED_FOLDER

    count = len(list(EMBEDDED_FOLDER.glob("*ubyte*")))
    yield Check("fashion-mnist-mini", count == 4, True, f"embedded, {count} of 4 files")
    present = DEBIAN_FOLDER.is_dir()
    text = str(DEBIAN_FOLDER) if present else "no Debian package dataset-fashion-mnist"
    yield Check("fashion-mnist", present, False, text)
    root = os.environ.get("EVOBIT_DATA")
    if root is None:
        yield Check("EVOBIT_DATA", True, False, "not set")
    elif not Path(root).is_dir():
        yield Check("EVOBIT_DATA", False, False, f"{root} is not a folder")
    else:
        names = sorted(path.name for path in Path(root).iterdir() if path.is_dir())
        yield Check("EVOBIT_DATA", bool(names), False, f"{root}: {', '.join(names) or 'empty'}")


def compiler() -> Iterator[Check]:
    """A C++ compiler and Python's headers: torch.compile on a CPU needs both."""
    from training.compilation import find_compiler, missing_for_compiling

    lacking = missing_for_compiling()
    text = f"no {lacking}: torch.compile stays off" if lacking else str(find_compiler())
    yield Check("c++ compiler", lacking is None, False, text)


def kernels() -> Iterator[Check]:
    """The compiled 1-bit kernels: instruction set and threads."""
    try:
        from deploy.kernels.library import backend_info

        info = backend_info()
    except Exception as error:
        yield Check("1-bit kernels", False, True, str(error))
        return
    if info["backend"] != "native":
        text = "not compiled: packed models run by the slow torch fallback"
        yield Check("1-bit kernels", False, False, text)
        return
    available = ", ".join(info["available_isas"])
    text = f"{info['isa']} in use of {available}; {info['threads']} thread(s) unless --threads"
    yield Check("1-bit kernels", True, False, text)


def ray_start() -> Iterator[Check]:
    """A real start on the loopback interface, one task, and a stop."""
    try:
        from search.pools.ray_pool import check_start

        yield Check("ray start", True, True, check_start())
    except Exception as error:
        yield Check("ray start", False, True, f"{type(error).__name__}: {error}".splitlines()[0])


PACKAGES = (
    "evobit",
    "supernet",
    "training",
    "search",
    "latency_tables",
    "deploy",
    "evaluate",
)
CHECKOUT = Path(__file__).resolve().parent.parent


def intruders() -> dict[str, str]:
    """The packages that resolve elsewhere, with where ("nowhere" where they do not at all).

    `evaluate`, for one, is also a distribution of another project.
    """
    found = {}
    for name in PACKAGES:
        spec = find_spec(name)
        origin = spec.origin if spec is not None else None
        if origin is None or Path(origin).resolve().parent != CHECKOUT / name:
            found[name] = origin or "nowhere"
    return found
