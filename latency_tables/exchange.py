"""Tables from elsewhere: the layers that another device must measure, and what it measured."""

from __future__ import annotations

import csv
import datetime
import io
import json
from dataclasses import fields
from pathlib import Path
from random import Random

from latency_tables.build import DRAWS, NETWORKS_FITTED, NETWORKS_HELD_OUT
from latency_tables.fit import fit_and_test
from latency_tables.layer_keys import distinct_layers, spread_over
from latency_tables.predictor import Predictor
from latency_tables.table import Header, LatencyTable, check_layers, frame_of, read_text, save_table
from supernet.architecture import Architecture
from supernet.costs import cost
from supernet.files import UserError, as_written, write_text
from supernet.space import SearchSpace


def export_layers(space: SearchSpace, output: Path) -> int:
    """Write a CSV with a row a layer: its key, an empty latency_ms, and every field of it.

    Returns the number of layers.
    """
    layers = distinct_layers(space)
    names = list(dict.fromkeys(f.name for block in layers for f in fields(block)))
    text = io.StringIO()
    rows = csv.DictWriter(text, ["layer", "latency_ms", *names], lineterminator="\n")
    rows.writeheader()
    for block, key in layers.items():
        values = {f.name: getattr(block, f.name) for f in fields(block)}
        rows.writerow({"layer": key, **values})
    write_text(output, text.getvalue())
    return len(layers)


def export_networks(space: SearchSpace, output: Path) -> int:
    """Write a CSV of whole networks for the device to measure: choices as JSON, empty latency_ms.

    They are spread over the OPs; half of them will fit the correction, half test it. Returns their
    number.
    """
    rng = Random("latency table")
    drawn = list(dict.fromkeys(space.sample(rng) for _ in range(DRAWS)))
    ops = [float(cost(space.decode(one)).ops) for one in drawn]
    count = min(NETWORKS_FITTED + NETWORKS_HELD_OUT, len(drawn))
    chosen = [drawn[i] for i in spread_over(ops, count)]
    rng.shuffle(chosen)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["choices", "latency_ms"])
    rows.writerows([json.dumps(dict(one.choices)), ""] for one in chosen)
    write_text(output, text.getvalue())
    return len(chosen)


def import_table(
    space: SearchSpace,
    rows: Path,
    output: Path,
    *,
    device: str,
    threads: int = 1,
    batch: int = 1,
    networks: Path | None = None,
) -> LatencyTable:
    """Make a table of a CSV of layer key and milliseconds, and write it.

    With `networks`, the measured CSV of `export_networks`, the correction is fitted and its errors
    are known; without, the table predicts by plain sums of unknown error.

    Raises:
        UserError: unreadable, a layer missing or twice, a time that is no number above 0.
    """
    keys = distinct_layers(space)
    known = {field.name for block in keys for field in fields(block)}
    frame = frame_of(read_text(rows), rows, ignored=known)
    header = Header(
        space=space.describe(),
        device=device,
        isa=None,
        threads=threads,
        batch=batch,
        kernel_version=0,
        date=datetime.date.today().isoformat(),
        source="imported",
    )
    table = LatencyTable(header, frame)
    check_layers(table, keys, rows)
    if networks is not None:
        measured = _measured_networks(space, networks)
        specs = [space.decode(architecture) for architecture, _ in measured]
        times = [[ms] for _, ms in measured]
        with as_written(f"{rows}, {networks}"):  # times too far apart for any line
            fitted = fit_and_test(Predictor(table), specs, times, len(specs) // 2)
        table = table.with_header(**fitted)
    save_table(output, table)
    return table


def _measured_networks(space: SearchSpace, path: Path) -> list[tuple[Architecture, float]]:
    found = []
    try:
        measured = list(csv.DictReader(io.StringIO(read_text(path))))
    except csv.Error as error:
        raise UserError(f"{path}: is no readable CSV ({error})") from error
    for number, row in enumerate(measured, start=2):
        try:
            architecture = space.architecture(json.loads(row["choices"]))
            milliseconds = float(row["latency_ms"])
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from error
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise UserError(
                f"{path}, line {number}: expected choices as JSON and latency_ms as a number"
            ) from error
        if not 0 < milliseconds < float("inf"):
            raise UserError(
                f"{path}, line {number}: latency_ms is {milliseconds}, expected a number above 0"
            )
        found.append((architecture, milliseconds))
    if len(found) < 8:
        raise UserError(f"{path}: {len(found)} networks; at least 8 are needed to fit and test")
    return found
