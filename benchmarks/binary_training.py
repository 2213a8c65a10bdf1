"""Ways of training a binary network at equal epochs: one step, two steps, teachers, Bop."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import write_result
from evaluate.retrain.config import RetrainStage
from evaluate.retrain.run import retrain
from evaluate.retrain.spread import mean_and_interval
from evaluate.score import score_network
from training.data import open_training_data
from training.data.test_part import open_test_part
from training.network_file import load_network
from training.network_training import WEIGHTS, calibrate

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "reactnet_fmnist.yaml"

REAL = {"weights": "real", "activations": "identity"}
TWIN = "real-valued twin"
CALIBRATION_IMAGES, BATCH = 5000, 250


def variants(epochs: int, teacher: Path) -> dict[str, dict[str, Any]]:
    """What each way changes in the config's `retrain` section; `epochs` in all for each."""
    one: dict[str, Any] = {"phases": [], "epochs": epochs}
    steps = [{"epochs": epochs // 2, "binarization": {"weights": "real"}}, {"epochs": epochs // 2}]
    taught = {"distillation": {"teacher": str(teacher)}}
    staged = [
        {"epochs": epochs // 4, "binarization": {"weights": "real", "activations": activations}}
        for activations in ("relu", "leaky-clip", "clip")
    ]
    return {
        TWIN: {**one, "binarization": REAL},
        "one step": one,
        "one step, distilled": {**one, **taught},
        "two steps": {"phases": steps},
        "two steps, distilled": {"phases": steps, **taught},
        "staged from ReLU": {"phases": [*staged, {"epochs": epochs // 4}]},
        "one step, gradient 'magnitude'": {**one, "binarization": {"weight_gradient": "magnitude"}},
        "one step, gradient 'straight'": {**one, "binarization": {"weight_gradient": "straight"}},
        "one step, bf16": {**one, "precision": "bf16"},
        "Bop": {**one, "optimiser": {"bop": {"gamma": 1e-2, "gamma_end": 1e-3, "tau": 1e-8}}},
    }


def train(name: str, changes: dict[str, Any], runs: Path) -> tuple[list[float], list[float]]:
    """Test top-1 of every seed of one way, as trained and with BatchNorm statistics recomputed.

    Resumes, and reads what is finished.
    """
    config = yaml.safe_load(CONFIG.read_text())
    config["retrain"] |= changes
    folder = runs / name.replace(" ", "-").replace(",", "").replace("'", "")
    print(f"{name}: {folder}", file=sys.stderr)
    summary = retrain(RetrainStage.model_validate(config), [], folder)
    row = summary["networks"][0]
    return row["test_top1"], [recomputed(folder / one / WEIGHTS) for one in row["networks"]]


def recomputed(path: Path) -> float:
    """Test top-1 with BatchNorm statistics over training images in place of running averages."""
    trained = load_network(path)
    images = open_training_data(trained.data).everything
    drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    drawn = drawn[:CALIBRATION_IMAGES]
    device = torch.device("cpu")
    calibrate(trained.network, images, drawn, BATCH, trained.normalisation, device)
    return score_network(trained, open_test_part(trained.data), "cpu")["top1"]


def summarise(values: list[float], base: list[float]) -> dict[str, Any]:
    """Mean, spread, and the paired difference to `base` with its 95 % interval."""
    return {
        "test_top1": [round(value, 2) for value in values],
        "mean": round(statistics.fmean(values), 2),
        "standard_deviation": round(statistics.stdev(values), 2),
        "minus_one_step": mean_and_interval(
            [value - other for value, other in zip(values, base, strict=True)]
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--runs", type=Path, default=Path("runs/binary_training"))
    arguments = parser.parse_args()
    # Networks without positions have one id; the twin of the first seed teaches all others.
    teacher = arguments.runs / TWIN.replace(" ", "-") / "networks"
    found: dict[str, tuple[list[float], list[float]]] = {}
    for name in variants(arguments.epochs, teacher):
        weights = next(iter(sorted(teacher.glob("*-seed0/network.safetensors"))), teacher)
        found[name] = train(name, variants(arguments.epochs, weights)[name], arguments.runs)
    base, base_recomputed = found["one step"]
    rows = {
        name: {
            **summarise(values, base),
            "statistics_recomputed": summarise(other_values, base_recomputed),
        }
        for name, (values, other_values) in found.items()
    }
    print(json.dumps(rows, indent=2))
    write_result("binary_training", {"config": CONFIG.name, "epochs": arguments.epochs, **rows})


if __name__ == "__main__":
    main()
