"""What every benchmark shares: sides timed in turns, medians, and a dated result file."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def in_turns(
    sides: Mapping[str, Callable[[], object]], rounds: int, seed: int = 0
) -> dict[str, list[float]]:
    """Seconds of each side in each round; the order of the sides is drawn anew every round."""
    rng, seconds = random.Random(seed), {name: [] for name in sides}
    for _ in range(rounds):
        for name in rng.sample(list(sides), len(sides)):
            began = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Median and quartiles of slow/fast, formed within each round."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    return {
        "median": round(statistics.median(ratios), 2),
        "quartile_low": round(low, 2),
        "quartile_high": round(high, 2),
        "n": len(ratios),
    }


def machine() -> dict[str, object]:
    """Processor, cores, load and versions."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "ray")}
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        **versions,
    }


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
