"""Times of networks and their layers, with random weights: no time depends on them.

A network is packed where its blocks have packed operations; the others run in torch in between
(`deploy/parts/mixed.py`), so that every layer is timed in the company it will have.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deploy import kernels
from deploy.engine.packed_network import PackedNetwork
from deploy.lowering.network import is_packable, pack
from deploy.parts.mixed import MixedNetwork
from supernet.spec import NetworkSpec

AnyNetwork = PackedNetwork | MixedNetwork

PEAK_ITERATIONS = 100_000
MIN_CALLS = 3
SAMPLE_SECONDS = 0.005
"""A sample is the median of a few calls, of more where they are short."""


@dataclass(frozen=True)
class Sample:
    """One measurement, in milliseconds, and the peak loop's rate around it in G MAC/s."""

    ms: list[float]
    peak: float


def random_network(spec: NetworkSpec) -> AnyNetwork:
    """The network of `spec`, packed where it can be, with weights drawn by a fixed seed.

    torch's state is kept.
    """
    import torch

    from supernet.network import build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(spec).eval()
    ones = (1.0,) * spec.in_channels
    if not all(map(is_packable, spec.blocks)):
        return MixedNetwork(network, ones, ones)
    return pack(network, ones, ones, tuple(map(str, range(spec.num_classes))))


def pixels(spec: NetworkSpec, batch: int) -> np.ndarray:
    """`batch` images of noise, uint8 (batch, C, S, S)."""
    shape = (batch, spec.in_channels, spec.image_size, spec.image_size)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def peak_rate() -> float:
    """Binary multiply-adds of the register-only loop, in G a second."""
    began = time.perf_counter()
    macs = kernels.peak_macs(PEAK_ITERATIONS)
    return 1e-9 * macs / (time.perf_counter() - began)


def time_layers(network: AnyNetwork, block_names: Sequence[str], images: np.ndarray) -> Sample:
    """Milliseconds of each block of a network while the whole network runs.

    A block's steps are those named after it; what belongs to none (the conversion of the image)
    counts to the first.
    """
    calls = _calls(network, images)
    before = peak_rate()
    times = network.layer_times(images, calls)
    after = peak_rate()
    by_block = dict.fromkeys(block_names, 0.0)
    for step in times:
        block = step.name.partition(".")[0].partition(":")[0]
        by_block[block if block in by_block else block_names[0]] += 1e3 * step.seconds
    return Sample(list(by_block.values()), (before + after) / 2)


def time_network(network: AnyNetwork, images: np.ndarray) -> Sample:
    """Milliseconds of a call, image in, class out: the median of a few after a warm-up."""
    calls = _calls(network, images)
    before = peak_rate()
    spent = []
    for _ in range(calls):
        began = time.perf_counter()
        network(images).argmax(1)
        spent.append(1e3 * (time.perf_counter() - began))
    after = peak_rate()
    return Sample([statistics.median(spent)], (before + after) / 2)


def _calls(network: AnyNetwork, images: np.ndarray) -> int:
    """Calls that make up a sample; they are made after a warm-up, which this is."""
    network(images)
    began = time.perf_counter()
    network(images)
    return max(MIN_CALLS, round(SAMPLE_SECONDS / (time.perf_counter() - began)))
