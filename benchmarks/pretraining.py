"""MoCo and SimCLR with and without Un-Mix: kNN and a linear probe on the test split."""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import write_result
from evaluate.retrain.spread import mean_and_interval
from evaluate.score import score_on_test_split
from training.pretraining.config import PretrainStage
from training.pretraining.run import pretrain

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "unmix_fmnist.yaml"
METHODS: dict[str, dict[str, Any]] = {"moco": {"queue": 2048}, "simclr": {}}
UNMIX = ("none", "v5")
ENCODERS: dict[str, dict[str, Any]] = {
    "binary activations": {"weights": "real"},
    "real-valued": {"weights": "real", "activations": "relu"},
}
PROBES = ("neighbour_top1", "linear_top1")


def train(changes: dict[str, Any], seed: int, width: float, run: Path) -> dict[str, float]:
    """Test-split scores of one pre-training, in percent; resumes, and reads what is done."""
    config = yaml.safe_load(CONFIG.read_text())
    space = {**config["space"], "width": width}
    section = {**config["pretrain"], **changes}
    stage = {"space": space, "data": config["data"], "pretrain": section, "seed": seed}
    print(run, file=sys.stderr)
    pretrain(PretrainStage.model_validate(stage), None, run)
    return score_on_test_split(run)


def summarise(values: list[float], base: list[float]) -> dict[str, Any]:
    """Mean, spread, and the paired difference to `base` with its 95 % interval."""
    differences = [value - other for value, other in zip(values, base, strict=True)]
    return {
        "top1": [round(value, 2) for value in values],
        "mean": round(statistics.fmean(values), 2),
        "standard_deviation": round(statistics.stdev(values), 2),
        "minus_without_unmix": mean_and_interval(differences),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--runs", type=Path, default=Path("runs/pretraining"))
    arguments = parser.parse_args()
    for encoder in arguments.encoders:
        settings = {"epochs": arguments.epochs, "width": arguments.width, "config": CONFIG.name}
        short = encoder.split("-")[0].split()[0]
        write_result(f"pretraining_{short}", {**settings, **compare(encoder, arguments)})


def compare(encoder: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Both probes of every method and seed, with and without Un-Mix."""
    scores: dict[tuple[str, str], list[dict[str, float]]] = {}
    for seed in range(arguments.seeds):
        for method, own in METHODS.items():
            for unmix in UNMIX:
                name = f"{encoder.replace(' ', '-')}-{method}-{unmix}-seed{seed}"
                changes = {
                    **own,
                    "method": method,
                    "unmix": unmix,
                    "epochs": arguments.epochs,
                    "binarization": ENCODERS[encoder],
                }
                found = train(changes, seed, arguments.width, arguments.runs / name)
                scores.setdefault((method, unmix), []).append(found)
    rows = {}
    for (method, unmix), found in scores.items():
        base = scores[method, "none"]
        rows[f"{encoder}, {method}, unmix {unmix}"] = {
            probe: summarise([one[probe] for one in found], [one[probe] for one in base])
            for probe in PROBES
        }
    return rows


if __name__ == "__main__":
    main()
