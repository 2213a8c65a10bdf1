"""A table whose times a test can add up: a layer takes its number of groups in ms."""

from pathlib import Path

import pandas as pd

from latency_tables.layer_keys import distinct_layers
from latency_tables.machine import this_device
from latency_tables.table import COLUMNS, Errors, Header, LatencyTable, save_table
from supernet.space import SearchSpace

NOTHING = 1e-6


def save_group_table(path: Path, space: SearchSpace, **changes) -> Path:
    """Write the table of `space`; `changes` replace fields of its header."""
    device = this_device()
    fields = {
        "space": space.describe(),
        "device": device.name,
        "isa": device.isa,
        "threads": 1,
        "batch": 1,
        "kernel_version": device.kernel_version,
        "date": "2026-01-01",
        "source": "measured",
        "held_out": Errors(30, 5.0, 9.0, 0.99),
    }
    rows = []
    for block, key in distinct_layers(space).items():
        ms = float(getattr(block, "groups", NOTHING))
        rows.append((key, ms, ms, ms, 1, "packed"))
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).set_index("layer")
    save_table(path, LatencyTable(Header(**{**fields, **changes}), frame))
    return path
