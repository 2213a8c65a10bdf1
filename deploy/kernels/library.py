"""The shared library of the kernels: finding it, its structs, instruction set and threads."""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import os
from ctypes import POINTER, c_int32, c_int64, c_void_p
from pathlib import Path
from typing import Literal, TypedDict

from supernet.files import UserError

VERSION = 2
ISAS = ("portable", "avx2", "avx512")
MAX_THREADS = 256


def _structure(name: str, integers: str, longs: str, pointers: str) -> type[ctypes.Structure]:
    """A struct of 32-bit integers, 64-bit integers and pointers, in this order."""
    fields: list[tuple[str, type]] = [(field, c_int32) for field in integers.split()]
    fields += [(field, c_int64) for field in longs.split()]
    fields += [(field, c_void_p) for field in pointers.split()]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


ConvStruct = _structure(
    "ConvStruct",
    "kind batch out_channels num_steps num_tiles num_units num_pixels out_width vector_pixels "
    "pixel_words lane_bits lane_outputs gathered reserved",
    "image_words num_macs",
    "input tiles weights masks lane_words step_offset pixel_offset pixel_class correction",
)
EpilogueStruct = _structure(
    "EpilogueStruct",
    "activation residual_channels bits_height bits_width bits_padding bits_words",
    "",
    "scale bias residual slope gamma beta zeta thresholds counts out bits",
)
PackStruct = _structure(
    "PackStruct", "batch height width channels padding num_words", "", "input thresholds bits"
)
MomentsStruct = _structure("MomentsStruct", "width reserved", "num_rows", "input sums squares")

# Those of native/plan.h.
InputStruct = _structure("InputStruct", "channels size padding reserved", "", "levels out")
PadStruct = _structure("PadStruct", "batch height width channels padding reserved", "", "input out")
PoolStruct = _structure(
    "PoolStruct",
    "batch height width channels out_height out_width window_height window_width stride padding "
    "is_max reserved",
    "",
    "input out",
)
RealConvStruct = _structure(
    "RealConvStruct",
    "batch out_channels num_tiles num_runs run_length num_pixels out_width group_outputs",
    "image_values num_macs",
    "input tiles weights run_offset pixel_offset pixel_class correction",
)
StepStruct = _structure("StepStruct", "kind reserved", "", "operands epilogue")
PlanStruct = _structure(
    "PlanStruct", "batch num_steps channels size num_classes reserved", "", "steps logits"
)


class BackendInfo(TypedDict):
    """Which code runs the kernels."""

    backend: Literal["native", "torch-reference"]
    isa: str | None
    threads: int
    available_isas: list[str]


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library, with the best instruction set or that of EVOBIT_ISA; None if it is not built.

    Raises:
        UserError: the library is of another version, or EVOBIT_ISA cannot be had.
    """
    path = _path()
    wanted = os.environ.get("EVOBIT_ISA")
    if path is None:
        if wanted:
            raise UserError(
                f"EVOBIT_ISA={wanted}: the compiled kernels are not installed; "
                "reinstall evobit where a C++ compiler is found, or unset EVOBIT_ISA"
            )
        return None
    library = ctypes.CDLL(str(path))
    if library.evobit_version() != VERSION:
        raise UserError(
            f"{path} is version {library.evobit_version()} of the kernels, this evobit needs "
            f"{VERSION}; install evobit again to rebuild it"
        )
    if not hasattr(library, "evobit_run_moments"):  # the newest entry; kernels are timed as before
        raise UserError(f"{path} was built from older sources; install evobit again to rebuild it")
    library.evobit_run_pack.argtypes = [POINTER(PackStruct)]
    library.evobit_run_conv.argtypes = [POINTER(ConvStruct), POINTER(EpilogueStruct)]
    library.evobit_run_moments.argtypes = [POINTER(MomentsStruct)]
    library.evobit_run_peak.argtypes = [c_int64]
    library.evobit_run_peak.restype = c_int64
    library.evobit_run_plan.argtypes = [
        POINTER(PlanStruct), c_int32, c_void_p, c_int32, c_void_p, c_void_p, POINTER(c_int32),
    ]  # fmt: skip
    if wanted:
        _select(library, wanted, "EVOBIT_ISA=")
    return library


def _path() -> Path | None:
    """The library in `deploy/`, as the build names it; or the one EVOBIT_KERNELS names."""
    if named := os.environ.get("EVOBIT_KERNELS"):
        if not Path(named).is_file():
            raise UserError(f"EVOBIT_KERNELS={named}: no such file")
        return Path(named)
    names = [f"_kernels{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    paths = (Path(__file__).parent.parent / name for name in names)
    return next((path for path in paths if path.is_file()), None)


def _available(library: ctypes.CDLL) -> list[str]:
    return [isa for i, isa in enumerate(ISAS) if library.evobit_available() >> i & 1]


def _select(library: ctypes.CDLL, isa: str, prefix: str = "") -> None:
    if isa not in ISAS:
        raise UserError(f"{prefix}{isa}: unknown instruction set; one of {', '.join(ISAS)}")
    if library.evobit_select(ISAS.index(isa)) != 0:
        have = ", ".join(_available(library))
        raise UserError(f"{prefix}{isa}: this machine does not have it; it has {have}")


def select_isa(isa: str) -> None:
    """Use one instruction set from now on; convolutions made before may refuse to run.

    Raises:
        UserError: it is unknown, the machine lacks it, or the kernels are not compiled.
    """
    library = load()
    if library is None:
        raise UserError(f"{isa}: the compiled kernels are not installed")
    _select(library, isa)


def set_threads(threads: int) -> None:
    """Threads that a kernel may use; small layers stay on one.

    Raises:
        UserError: not between 1 and 256.
    """
    if not 1 <= threads <= MAX_THREADS:
        raise UserError(f"threads: expected 1 to {MAX_THREADS}, found {threads}")
    library = load()
    if library is not None:
        library.evobit_set_threads(threads)


def backend_info() -> BackendInfo:
    """Which backend, instruction set and number of threads run the kernels."""
    library = load()
    if library is None:
        return {"backend": "torch-reference", "isa": None, "threads": 1, "available_isas": []}
    return {
        "backend": "native",
        "isa": ISAS[library.evobit_selected()],
        "threads": library.evobit_threads(),
        "available_isas": _available(library),
    }
