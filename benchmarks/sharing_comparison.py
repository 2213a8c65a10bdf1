"""How well two supernets rank networks whose retrained test accuracy is known."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import write_result
from supernet.rank_correlation import kendall_tau
from supernet.spaces import space_from_description
from training.data import DataConfig
from training.run_files.folder import read_config
from training.scoring.scorer import Scorer, ScoringConfig, scoring_arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("retrain", type=Path, help="finished retraining")
    parser.add_argument("supernets", type=Path, nargs="+", help="finished supernets")
    arguments = parser.parse_args()
    manifest = json.loads((arguments.retrain / "manifest.json").read_text())
    networks = manifest["summary"]["networks"]
    retrained = [fmean(network["test_top1"]) for network in networks]
    rows = [
        {"name": network["name"], "ops": network["costs"]["ops"], "retrained_test_top1": top1}
        for network, top1 in zip(networks, retrained, strict=True)
    ]
    taus = {}
    for run in arguments.supernets:
        config = read_config(run)
        space = space_from_description(config["space"])
        scoring = ScoringConfig(calibration_images=1024, calibration_batch=256, search_images=4000)
        arrays = scoring_arrays(run, DataConfig(**config["data"]), scoring, config["seed"])
        scorer = Scorer(space.describe(), arrays, scoring)
        sharing = config["supernet"]["sharing"]
        scores = [scorer(space.architecture(network["choices"])) for network in networks]
        for row, score in zip(rows, scores, strict=True):
            row[f"inherited_top1_{sharing}"] = round(score, 2)
        taus[sharing] = round(kendall_tau(scores, retrained) or 0.0, 3)
    write_result("sharing_comparison", {"networks": rows, "kendall_tau": taus})


if __name__ == "__main__":
    main()
