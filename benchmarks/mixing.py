"""Cutout, mixup, CutMix and Attentive CutMix at equal epochs: top-1 and calibration error."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import write_result
from evaluate.retrain.config import RetrainStage
from evaluate.retrain.run import retrain
from evaluate.retrain.spread import mean_and_interval
from evaluate.score import score_network
from training.data.test_part import open_test_part
from training.network_file import load_network
from training.network_training import WEIGHTS

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "reactnet_fmnist.yaml"
STUDENTS: dict[str, dict[str, Any]] = {
    "real-valued": {"binarization": {"weights": "real", "activations": "relu"}},
    "binary": {},
}
NONE = "none"
SCORES = ("top1", "calibration_error")


def techniques(extractor: Path, cache: Path) -> dict[str, dict[str, Any]]:
    """What each adds to `augment`; the mixing ones act on half of the batches."""
    attention = {"extractor": str(extractor), "grid": 4, "cells": 2, "cache": str(cache)}
    return {
        NONE: {},
        "Cutout": {"erase": {"name": "cutout", "probability": 1.0, "size": 16}},
        "mixup": {"mix": [{"name": "mixup", "probability": 0.5}]},
        "CutMix": {"mix": [{"name": "cutmix", "probability": 0.5}]},
        "Attentive CutMix, 2 of 16 cells": {
            "mix": [{"name": "attentive-cutmix", "probability": 0.5, "attention": attention}]
        },
        "Attentive CutMix, drawn share": {
            "mix": [
                {
                    "name": "attentive-cutmix",
                    "probability": 0.5,
                    "attention": {**attention, "cells": None},
                }
            ]
        },
    }


def train(
    student: str, augment: dict[str, Any], arguments: argparse.Namespace, run: Path
) -> list[Path]:
    """The network files of all seeds; resumes, and reads what is finished."""
    config = yaml.safe_load(CONFIG.read_text())
    config["space"]["width"] = arguments.width
    config["retrain"] |= {
        "phases": [],
        "epochs": arguments.epochs,
        "seeds": arguments.seeds,
        "workers": arguments.workers,
        "augment": augment,
        **STUDENTS[student],
    }
    print(run, file=sys.stderr)
    summary = retrain(RetrainStage.model_validate(config), [], run)
    return [run / one / WEIGHTS for one in summary["networks"][0]["networks"]]


def score(path: Path) -> dict[str, float]:
    """Top-1 and calibration error on the test split, in percent."""
    trained = load_network(path)
    return score_network(trained, open_test_part(trained.data), "cpu")


def summarise(values: list[float], base: list[float]) -> dict[str, Any]:
    """Mean, spread, and the paired difference to `base` with its 95 % interval."""
    differences = [value - other for value, other in zip(values, base, strict=True)]
    return {
        "values": [round(value, 2) for value in values],
        "mean": round(statistics.fmean(values), 2),
        "standard_deviation": round(statistics.stdev(values), 2),
        "minus_none": mean_and_interval(differences),
    }


def extractor_share(run: Path) -> float | None:
    """The share of the training's time that finding the cells took: the mean of the log's."""
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    shares = [line["extractor_share"] for line in lines if "extractor_share" in line]
    return round(statistics.fmean(shares), 4) if shares else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/mixing"))
    arguments = parser.parse_args()
    rows = {}
    # The first seed of the real-valued student trained without mixing says where to look.
    extractor, cache = Path("not trained yet"), arguments.runs / "attention.safetensors"
    for student in STUDENTS:
        base: list[dict[str, float]] = []
        for name in techniques(extractor, cache):
            folder = f"{student}-{name}".replace(" ", "-").replace(",", "").lower()
            run = arguments.runs / folder
            networks = train(student, techniques(extractor, cache)[name], arguments, run)
            if not base and student == "real-valued":
                extractor = networks[0]
            scores = [score(path) for path in networks]
            base = base or scores
            rows[f"{student}, {name}"] = {
                "extractor_share": extractor_share(networks[0].parent),
                **{
                    which: summarise([one[which] for one in scores], [one[which] for one in base])
                    for which in SCORES
                },
            }
    settings = {name: getattr(arguments, name) for name in ("epochs", "width", "seeds")}
    write_result("mixing", {"config": CONFIG.name, **settings, **rows})


if __name__ == "__main__":
    main()
