"""One training step of ReActNet-A and Bi-Real-18, against the papers' plain code: time, memory."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import (
    in_turns,
    peak_growth_bytes,
    ratio,
    spin_briefly,
    write_result,
)
from benchmarks.plain_networks import build_plain
from supernet.blocks.building import set_precision
from supernet.network import build, compile_units
from supernet.networks import network_spec

NETWORKS = ("reactnet-a", "bireal-18")
PLAIN = "plain"
OURS = {
    "eager-fp32": ("fp32", False),
    "eager": ("bf16", False),
    "compiled-fp32": ("fp32", True),
    "compiled": ("bf16", True),
}
"""Precision of the +-1 operands, and whether units are compiled."""

Step = Callable[[], None]


def make_module(side: str, network: str, image_size: int) -> nn.Module:
    spec = network_spec(network, image_size=image_size)
    if side == PLAIN:
        return build_plain(spec)
    precision, compiled = OURS[side]
    module = build(spec)
    set_precision(module, precision)
    if compiled:
        compile_units(module)
    return module


def make_step(side: str, network: str, arguments: argparse.Namespace) -> Step:
    """Forward, backward and Adam on one batch; returns when the device is done."""
    torch.manual_seed(0)
    size, device = arguments.image_size, torch.device(arguments.device)
    layout = torch.contiguous_format if side == PLAIN else torch.channels_last
    module = make_module(side, network, size).to(device=device, memory_format=layout).train()
    images = torch.randn(arguments.batch, 3, size, size).to(device, memory_format=layout)
    labels = torch.randint(0, 1000, (arguments.batch,), device=device)
    # The papers' code leaves Adam's form to torch's default.
    fused = None if side == PLAIN else True
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3, fused=fused)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(module(images), labels).backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def measure_times(network: str, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of a step of each side, in turns."""
    steps = {side: make_step(side, network, arguments) for side in arguments.sides}
    for step in steps.values():
        for _ in range(arguments.warm_up):  # compiles; chooses algorithms; makes Adam's moments
            step()
    return in_turns(steps, arguments.rounds)


def measure_memory(side: str, network: str, arguments: argparse.Namespace) -> int:
    """Peak bytes of training steps, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", side, "--network", network]
    for name in ("batch", "image_size", "threads", "device"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(json.loads(done.stdout.splitlines()[-1]))


def peak_bytes(side: str, network: str, arguments: argparse.Namespace) -> int:
    """Peak bytes of three steps: weights, gradients, moments, images, what is saved for backward.

    A first network is made, trained and let go, so that kernels and graphs do not count.
    """

    def three_steps() -> None:
        step = make_step(side, network, arguments)
        for _ in range(3):
            step()

    three_steps()
    gc.collect()
    if arguments.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        three_steps()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)  # else freed memory would be taken again unseen
    return peak_growth_bytes(three_steps)


def measure(network: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Times, peaks and ratios of one network."""
    seconds = measure_times(network, arguments)
    memory = {side: measure_memory(side, network, arguments) for side in arguments.sides}
    ours = [side for side in arguments.sides if side != PLAIN]
    return {
        "milliseconds": {
            side: round(1000 * statistics.median(values), 1) for side, values in seconds.items()
        },
        "images_per_second": {
            side: round(arguments.batch / statistics.median(values), 2)
            for side, values in seconds.items()
        },
        "plain_over": {side: ratio(seconds[PLAIN], seconds[side]) for side in ours},
        "peak_memory_bytes": memory,
        "peak_memory_over_plain": {side: round(memory[side] / memory[PLAIN], 3) for side in ours},
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--sides", nargs="+", choices=OURS, default=["eager", "compiled"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=3, help="steps of a side before its turns")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--no-write", action="store_true", help="print, and leave no file")
    parser.add_argument("--memory-of", choices=(PLAIN, *OURS), help="print one side's peak memory")
    arguments = parser.parse_args()
    arguments.sides = [PLAIN, *arguments.sides]
    return arguments


def main() -> None:
    arguments = parse()
    spin_briefly()
    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.benchmark = True  # as the papers' code does
    if arguments.memory_of:
        print(peak_bytes(arguments.memory_of, arguments.network[0], arguments))
        return
    on_gpu = arguments.device == "cuda"
    result: dict[str, object] = {
        "step": "forward, backward, Adam; 1000 classes",
        "image_size": arguments.image_size,
        "batch": arguments.batch,
        "threads": arguments.threads,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
    }
    for network in arguments.network:
        result[network] = measure(network, arguments)
        if arguments.no_write:
            print(json.dumps(result, indent=2))
        else:
            write_result("training_step", result)  # after each: a run takes many minutes


if __name__ == "__main__":
    main()
