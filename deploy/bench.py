"""How long a packed network takes on this machine, beside the same network in torch fp32."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deploy import kernels, packed_file
from deploy.engine.packed_network import PackedNetwork

TURN_SECONDS = 0.02
"""A side's turn lasts about this long: clocks and calls then cost little against it."""


def bench(
    model: str | Path, threads: int = 1, rounds: int = 15, against_torch: bool = True
) -> dict[str, Any]:
    """Time a packed file at batch 1, image in, class out.

    `latency_ms`: median over the rounds. `spread`: distance of the quartiles over the median.
    `torch_fp32_ratio`: time of the same network in torch fp32 with BatchNorm folded, on as many
    threads, in the better memory layout of each round, over the packed network's in that round.
    `layers`: milliseconds of each operation, and the kernel that ran it.

    Raises:
        UserError: a damaged file, or threads out of range.
    """
    kernels.set_threads(threads)
    network = packed_file.load(model)
    plan = network.plan
    pixels = np.random.default_rng(0).integers(
        0, 256, (1, plan.channels, plan.size, plan.size), np.uint8
    )
    sides: dict[str, Callable[[], object]] = {"packed": lambda: network(pixels).argmax(1)}
    if against_torch:
        sides |= _torch_sides(network, threads)
    times = {name: _times_for(call) for name, call in sides.items()}
    turns = {name: _repeated(call, times[name]) for name, call in sides.items()}
    seconds = {
        name: [value / times[name] for value in values]
        for name, values in in_turns(turns, rounds).items()
    }
    low, median, high = statistics.quantiles(seconds["packed"], n=4)
    result: dict[str, Any] = {
        "file": str(model),
        "batch": 1,
        "latency_ms": 1e3 * median,
        "spread": (high - low) / median,
        **network.backend,
        "rounds": rounds,
    }
    if against_torch:
        better = [min(pair) for pair in zip(seconds["nchw"], seconds["nhwc"], strict=True)]
        ratios = ratio(better, seconds["packed"])
        result["torch_fp32_ms"] = 1e3 * statistics.median(better)
        result["torch_fp32_ratio"] = ratios["median"]
        result["torch_fp32_ratio_quartiles"] = [ratios["quartile_low"], ratios["quartile_high"]]
    result["layers"] = [
        {"name": step.name, "kernel": step.kernel, "ms": 1e3 * step.seconds}
        for step in network.layer_times(pixels, rounds)
    ]
    return result


def _torch_sides(network: PackedNetwork, threads: int) -> dict[str, Callable[[], object]]:
    """The network in torch, in either memory layout, from a normalised image to a class."""
    import torch

    from deploy.plan.module import PlanModule

    torch.set_num_threads(threads)
    plan = network.plan
    image = torch.randn(1, plan.channels, plan.size, plan.size)

    def side(layout: torch.memory_format) -> Callable[[], object]:
        module = PlanModule(plan, network.parameters).eval().to(memory_format=layout)
        x = image.to(memory_format=layout)

        @torch.inference_mode()
        def run() -> object:
            return module(x).argmax(1)

        return run

    return {"nchw": side(torch.contiguous_format), "nhwc": side(torch.channels_last)}


def _repeated(call: Callable[[], object], times: int) -> Callable[[], object]:
    def many() -> None:
        for _ in range(times):
            call()

    return many


def _times_for(call: Callable[[], object]) -> int:
    """Calls that last about TURN_SECONDS, measured after a warm-up."""
    call()
    began = time.perf_counter()
    for _ in range(3):
        call()
    return max(1, round(TURN_SECONDS * 3 / (time.perf_counter() - began)))


def in_turns(
    sides: Mapping[str, Callable[[], object]], rounds: int, seed: int = 0
) -> dict[str, list[float]]:
    """Seconds of each side in each round; the order of the sides is drawn anew every round."""
    rng = random.Random(seed)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
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
