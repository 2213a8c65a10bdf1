"""Searched channels by slices of one weight against MetaPruning's generators, on one space.

Time of a training step in turns on the same paths, memory, parameters; then `evobit audit` of both:
inherited top-1, and how well each ranks the same networks trained alone (equal seeds: they are
trained twice and come out alike).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from random import Random
from statistics import median

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import in_turns, peak_growth_bytes, write_result
from evaluate.audit.config import AuditStage
from evaluate.audit.run import audit
from evobit.config import load_stage
from supernet import Supernet, space_from_description
from supernet.sharing.shared_path import partial_regions
from training.optim import build_optimiser, step_within
from training.supernet_stage import SupernetStage

SHARINGS = ("sliced", "generated")


def stepper(stage: SupernetStage, sharing: str):
    """A function that makes one training step on random paths; equal ones for equal counts."""
    torch.manual_seed(stage.seed)
    space = space_from_description(stage.space)
    supernet = Supernet(space, sharing)  # type: ignore[arg-type]
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = stage.supernet
    optimiser = build_optimiser(
        supernet, settings.optimiser, settings.learning_rate, settings.weight_decay
    )
    spec, rng = space.decode(space.first()), Random(stage.seed)
    x = torch.randn(settings.batch_size, spec.in_channels, spec.image_size, spec.image_size)
    x = x.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(settings.batch_size) % spec.num_classes

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        path = supernet.path(space.sample(rng))
        F.cross_entropy(path(x), labels).backward()
        step_within(optimiser, partial_regions([path]))

    return step, sum(parameter.numel() for parameter in supernet.parameters())


def memory_bytes(stage: SupernetStage, sharing: str) -> int:
    """What a supernet, its moments and four steps add to a process that has computed before."""
    half = {**stage.space, "width": stage.space.get("width", 1.0) / 2}
    warm, _ = stepper(stage.model_copy(update={"space": half}), SHARINGS[0])
    warm()

    def run() -> None:
        step, _ = stepper(stage, sharing)
        for _ in range(4):
            step()

    return peak_growth_bytes(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, default=Path("runs/generator_or_slices"))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--memory", choices=SHARINGS, help="print one side's bytes alone")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stage = load_stage(arguments.config, SupernetStage, arguments.overrides)
    if arguments.memory:
        print(memory_bytes(stage, arguments.memory))
        return
    figures: dict[str, dict] = {}
    steps = {}
    for sharing in SHARINGS:
        steps[sharing], parameters = stepper(stage, sharing)
        # In a process of its own: the second side would use what the first one left.
        words = [sys.executable, *sys.argv, "--memory", sharing]
        memory = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        figures[sharing] = {"parameters": parameters, "memory_mib": round(memory / 2**20, 1)}
    seconds = in_turns(steps, arguments.rounds)
    for sharing, values in seconds.items():
        figures[sharing]["step_ms"] = [round(1000 * value, 2) for value in sorted(values)]
        figures[sharing]["step_ms_median"] = round(1000 * median(values), 2)
    for sharing in SHARINGS:
        run = arguments.run / sharing
        sections = [*arguments.overrides, f"supernet.sharing={sharing}"]
        report = audit(load_stage(arguments.config, AuditStage, sections), run).figures
        figures[sharing]["ranking"] = report["rows"]
        figures[sharing]["noise_of_seeds"] = report["noise"]
    write_result("generator_or_slices", {"config": str(arguments.config), **figures})


if __name__ == "__main__":
    main()
