"""How quickly and how well a shipped latency table predicts whole networks of its space."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import write_result
from latency_tables.predictor import Predictor
from latency_tables.table import load_table
from supernet.spaces import space_from_description

TABLES = Path(__file__).resolve().parent.parent / "latency_tables" / "tables"
NUM_NETWORKS = 1000


def lookup_microseconds(predict: Predictor, description: dict) -> float:
    """Median microseconds to predict a network that is decoded already."""
    space, rng = space_from_description(description), Random(0)
    specs = [space.decode(space.sample(rng)) for _ in range(NUM_NETWORKS)]
    spent = []
    for spec in specs:
        began = time.perf_counter()
        predict(spec)
        spent.append(1e6 * (time.perf_counter() - began))
    return statistics.median(spent)


def main() -> None:
    result = {}
    for path in sorted(TABLES.glob("*.csv")):
        table = load_table(path)
        header = table.header
        errors = {name: getattr(header, name) for name in ("held_out", "by_macs", "by_ops")}
        result[path.stem] = {
            "layers": len(table.frame),
            "measured": header.date,
            "isa": header.isa,
            "threads": header.threads,
            **{name: asdict(found) if found else None for name, found in errors.items()},
            "repeat_correlation": header.repeat_correlation,
            "lookup_us": round(lookup_microseconds(Predictor(table), header.space), 1),
        }
    write_result("latency_prediction", result)


if __name__ == "__main__":
    main()
