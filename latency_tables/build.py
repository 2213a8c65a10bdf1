"""Build a table: measure every layer inside networks, then fit and test the sum on whole ones.

A layer that has no packed operations runs in torch, in a network whose other layers are packed.
"""

from __future__ import annotations

import datetime
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd

from deploy import kernels
from latency_tables.fit import fit_and_test
from latency_tables.layer_keys import (
    covering_architectures,
    distinct_layers,
    layer_key,
    layers_in_torch,
    spread_over,
)
from latency_tables.machine import this_device
from latency_tables.predictor import Predictor
from latency_tables.records import Records
from latency_tables.table import COLUMNS, Header, LatencyTable, save_table
from latency_tables.timing import Sample, pixels, random_network, time_layers, time_network
from supernet.architecture import Architecture
from supernet.files import UserError, check_output
from supernet.space import SearchSpace
from supernet.spec import NetworkSpec

TURNS = 4
ROUNDS = 10
NETWORKS_FITTED = 30
NETWORKS_HELD_OUT = 30
NUM_REFERENCES = 3
DRAWS = 2000
AT_ONCE = 8
"""Networks in memory together; their order within a round is drawn."""

Advance = Callable[[int, int], None]
"""Told the rounds done and their number."""


@dataclass(frozen=True)
class BuildSettings:
    """What a table depends on besides the machine."""

    threads: int = 1
    batch: int = 1
    turns: int = TURNS
    rounds: int = ROUNDS
    fitted: int = NETWORKS_FITTED
    held_out: int = NETWORKS_HELD_OUT


def build_table(
    space: SearchSpace,
    output: Path,
    settings: BuildSettings = BuildSettings(),
    advance: Advance = lambda done, total: None,
) -> LatencyTable:
    """Measure the table of `space` on this machine and write it; resumes an interrupted build.

    Measurements so far lie beside `output`, in a file that is removed at the end.

    Raises:
        UserError: the kernels are not compiled, or measurements of other settings lie there.
    """
    check_output(output)
    if kernels.backend_info()["backend"] != "native":
        raise UserError("the compiled 1-bit kernels are not installed: there is nothing to measure")
    kernels.set_threads(settings.threads)
    device = this_device()
    about = {"space": space.describe(), **asdict(settings), **asdict(device)}
    rng = Random("latency table")
    cover = covering_architectures(space, settings.turns, rng)
    drawn = list(dict.fromkeys(space.sample(rng) for _ in range(DRAWS)))
    num_networks = min(settings.fitted + settings.held_out, len(drawn))
    num_fitted = num_networks * settings.fitted // (settings.fitted + settings.held_out)
    total = settings.rounds * (len(cover) + num_networks)
    with Records(output, about) as records:
        measure = _Measurement(records, settings, lambda: advance(records.count, total))
        by_layer = measure.layers([space.decode(one) for one in cover])
        table = _table(space, settings, by_layer)
        sums = Predictor(table)
        predicted = [sums(space.decode(architecture)) for architecture in drawn]
        chosen = [drawn[i] for i in spread_over(predicted, num_networks)]
        rng.shuffle(chosen)
        specs = [space.decode(architecture) for architecture in chosen]
        whole = measure.networks(specs)
        table = table.with_header(
            peak_gmacs_per_s=measure.reference_peak,
            references=_references(chosen, whole),
            **fit_and_test(sums, specs, whole, num_fitted),
        )
        save_table(output, table)
        records.remove()
    return table


class _Measurement:
    """Rounds over networks, a few of them in memory at a time."""

    def __init__(
        self, records: Records, settings: BuildSettings, advance: Callable[[], None]
    ) -> None:
        self._records, self._settings, self._advance = records, settings, advance

    @property
    def reference_peak(self) -> float:
        """The median rate of the peak loop beside the layers; every time is normalised to it."""
        return statistics.median(self._records.peaks("layers"))

    def layers(self, specs: Sequence[NetworkSpec]) -> dict[str, list[float]]:
        """Normalised milliseconds of every layer, by key."""
        found: dict[str, list[float]] = defaultdict(list)
        samples = list(self._rounds("layers", specs))
        for spec, sample in samples:
            for block, ms in zip(spec.blocks, self._normalised(sample), strict=True):
                found[layer_key(block)].append(ms)
        return found

    def networks(self, specs: Sequence[NetworkSpec]) -> list[list[float]]:
        """Normalised milliseconds of every network, in each round."""
        found: dict[NetworkSpec, list[float]] = {spec: [] for spec in specs}
        for spec, sample in self._rounds("networks", specs):
            found[spec] += self._normalised(sample)
        return [found[spec] for spec in specs]

    def _normalised(self, sample: Sample) -> list[float]:
        """As if the peak loop had run at its median rate."""
        return [ms * sample.peak / self.reference_peak for ms in sample.ms]

    def _rounds(
        self, phase: str, specs: Sequence[NetworkSpec]
    ) -> Iterator[tuple[NetworkSpec, Sample]]:
        rng = Random(phase)
        for first in range(0, len(specs), AT_ONCE):
            group = range(first, min(first + AT_ONCE, len(specs)))
            wanted = [
                (r, i) for r in range(self._settings.rounds) for i in rng.sample(group, len(group))
            ]
            missing = {i for r, i in wanted if self._records.get(f"{phase} {i} {r}") is None}
            networks = {i: random_network(specs[i]) for i in sorted(missing)}
            for round_number, i in wanted:
                name = f"{phase} {i} {round_number}"
                sample = self._records.get(name)
                if sample is None:
                    images = pixels(specs[i], self._settings.batch)
                    if phase == "layers":
                        sample = time_layers(networks[i], specs[i].block_names, images)
                    else:
                        sample = time_network(networks[i], images)
                    self._records.add(name, sample)
                    self._advance()
                yield specs[i], sample


def _references(
    architectures: Sequence[Architecture], rounds: Sequence[Sequence[float]]
) -> list[dict[str, Any]]:
    """A few networks spread over the latencies, with what they take."""
    medians = [statistics.median(times) for times in rounds]
    return [
        {"choices": dict(architectures[i].choices), "latency_ms": round(medians[i], 6)}
        for i in spread_over(medians, min(NUM_REFERENCES, len(medians)))
    ]


def _table(
    space: SearchSpace, settings: BuildSettings, by_layer: dict[str, list[float]]
) -> LatencyTable:
    """Medians and quartiles of the layers, uncorrected."""
    rows, in_torch = [], layers_in_torch(space)
    for key in distinct_layers(space).values():
        low, median, high = np.percentile(by_layer[key], (25, 50, 75))
        runs_on = "torch" if key in in_torch else "packed"
        rows.append((key, median, low, high, len(by_layer[key]), runs_on))
    device = this_device()
    header = Header(
        space=space.describe(),
        device=device.name,
        isa=device.isa,
        threads=settings.threads,
        batch=settings.batch,
        kernel_version=device.kernel_version,
        date=datetime.date.today().isoformat(),
        source="measured",
        layers_in_torch=len(in_torch),
    )
    return LatencyTable(header, pd.DataFrame(rows, columns=list(COLUMNS)).set_index("layer"))
