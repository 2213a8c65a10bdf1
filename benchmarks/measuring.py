"""What every benchmark shares: the machine, and a dated result file."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.kernels.processor import processor_fields

RESULTS = Path(__file__).parent / "results"
SPINS = "1000"  # some 40 us: longer than from one layer to the next, short against a turn


def machine() -> dict[str, object]:
    """Processor, cores, load and versions."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "ray")}
    return {
        "processor": processor_fields().get("model name", "unknown"),
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        **versions,
    }


def spin_briefly() -> None:
    """Start this program anew with OpenMP threads that soon sleep when they have nothing to do.

    Else torch's idle threads would take the cores from the next side for milliseconds, and from
    each other where other programs run. To be called before anything is computed.
    """
    if "GOMP_SPINCOUNT" not in os.environ:
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "GOMP_SPINCOUNT": SPINS})


def memory_kib(name: str) -> int:
    """A line of /proc/self/status: VmRSS in use now, VmHWM at most since the reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0])


def peak_growth_bytes(run: Callable[[], object]) -> int:
    """Bytes by which this process grows at most while `run` runs (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak (VmHWM) to what is in use
    before = memory_kib("VmRSS")
    run()
    return 1024 * (memory_kib("VmHWM") - before)


def write_result(theme: str, result: Mapping[str, object]) -> Path:
    """Write benchmarks/results/<theme>_<date>.json, and print it."""
    date = datetime.date.today().isoformat()
    command = f"python {Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".strip()
    document = {"date": date, "command": command, "machine": machine(), **result}
    text = json.dumps(document, indent=2)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{theme}_{date}.json"
    path.write_text(text + "\n")
    print(text)
    return path
