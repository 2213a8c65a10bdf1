"""Images a second and peak memory of a supernet training step, against the papers' plain code."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import in_turns, peak_growth_bytes, ratio, write_result
from benchmarks.plain_networks import build_plain
from supernet.architecture import Architecture
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.supernet import Supernet

SIDES = ("plain", "eager", "compiled")


def space_of(arguments: argparse.Namespace) -> MobileNetGroups:
    return MobileNetGroups(
        image_size=arguments.image_size, classes=10, in_channels=1, width=arguments.width
    )


def make_step(
    side: str, space: MobileNetGroups, batch: int
) -> tuple[Callable[[Architecture], None], nn.Module]:
    """One training step (forward, backward, Adam) along a path, for one side."""
    torch.manual_seed(0)
    x = torch.randn(batch, space.in_channels, space.image_size, space.image_size)
    labels = torch.randint(0, space.classes, (batch,))
    if side == "plain":
        # A plain supernet would hold one module a choice; the arithmetic of a step is that of
        # the one path, so each uniform network stands for its choices.
        networks = {
            name: build_plain(space.decode(a)) for name, a in space.uniform_architectures().items()
        }
        module: nn.Module = nn.ModuleList(networks.values())
        names = list(networks)

        def path(architecture: Architecture) -> nn.Module:
            return networks[names[architecture.choices[-1][1].bit_length() - 1]]

    else:
        supernet = Supernet(space)
        supernet.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
        if side == "compiled":
            supernet.set_precision("exact" if torch.cpu._is_avx512_bf16_supported() else "fp32")
            supernet.compile_units()
        module, path = supernet, supernet.path
    module.train()
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3, fused=side != "plain")

    def step(architecture: Architecture) -> None:
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(path(architecture)(x), labels, label_smoothing=0.1).backward()
        optimiser.step()

    return step, module


def peak_memory(side: str, arguments: argparse.Namespace) -> int:
    """Bytes by which the process grows at most during training steps of the densest path."""
    command = [sys.executable, __file__, "--memory-of", side]
    command += ["--batch", str(arguments.memory_batch), "--width", str(arguments.width)]
    command += ["--image-size", str(arguments.image_size), "--threads", str(arguments.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout.splitlines()[-1]))


def print_memory(side: str, arguments: argparse.Namespace) -> None:
    space = space_of(arguments)
    architecture = space.uniform(1)
    small, _ = make_step(side, space, 2)  # imports, kernels, thread pools
    small(architecture)
    step, _ = make_step(side, space, arguments.batch)

    def three_steps() -> None:
        for _ in range(3):
            step(architecture)

    print(peak_growth_bytes(three_steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--memory-batch", type=int, default=1024)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-of", choices=SIDES)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        print_memory(arguments.memory_of, arguments)
        return
    space, rng = space_of(arguments), random.Random(0)
    steps = {side: make_step(side, space, arguments.batch)[0] for side in SIDES}
    for architecture in space.uniform_architectures().values():
        for step in steps.values():
            step(architecture)  # compiles every graph: each choice of each position
    uniform = list(space.uniform_architectures().values())
    current = uniform[0]

    def side(name: str) -> Callable[[], None]:
        return lambda: steps[name](current)

    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for number in range(arguments.rounds):
        current = rng.choice(uniform)
        once = in_turns({name: side(name) for name in SIDES}, 1, seed=number)
        for name in SIDES:
            seconds[name] += once[name]
    memory = {name: peak_memory(name, arguments) for name in ("plain", "eager")}
    write_result(
        "training_speed",
        {
            "network": f"13-block group MobileNet, width {arguments.width}, "
            f"{arguments.image_size} px, stem stride 2, a uniform path a step",
            "batch": arguments.batch,
            "threads": arguments.threads,
            "images_per_second": {
                name: round(arguments.batch / sorted(values)[len(values) // 2], 1)
                for name, values in seconds.items()
            },
            "plain_over_eager": ratio(seconds["plain"], seconds["eager"]),
            "plain_over_compiled": ratio(seconds["plain"], seconds["compiled"]),
            "peak_memory_batch": arguments.memory_batch,
            "peak_memory_bytes": memory,
            "peak_memory_eager_over_plain": round(memory["eager"] / memory["plain"], 3),
        },
    )


if __name__ == "__main__":
    main()
