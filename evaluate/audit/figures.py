"""The figures of an audit: how each way of scoring ranks, and how far the truth can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evaluate.audit.config import AuditStage
from evaluate.audit.drawing import Drawn
from evaluate.audit.noise import seed_noise
from evaluate.audit.ranking import agreement, tau_difference
from evaluate.audit.resampling import draw_resamples
from evaluate.audit.scores import SCORES
from supernet.costs import cost
from supernet.space import SearchSpace
from training.seeds import derive_seed

FORMAT = "evobit/audit"
VERSION = 1


@dataclass(frozen=True)
class RuleScores:
    """A sampling rule, what its supernets took, their runs and the scores that each gave.

    `work`: steps x paths a step. `scores`: of each supernet, as `supernet_scores` has them.
    """

    name: str
    sampling: Mapping[str, Any]
    epochs: int
    work: int
    supernets: Sequence[str]
    scores: Sequence[Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Way:
    """A way of ranking: what a row says of it, its values (supernets, networks), their runs.

    `sign`: -1 where less is better.
    """

    said: dict[str, Any]
    values: np.ndarray
    sign: int = 1
    supernets: Sequence[str] = ()


def audit_figures(
    stage: AuditStage,
    space: SearchSpace,
    drawn: Drawn,
    num_search_images: int,
    rules: Sequence[RuleScores],
    top1: Sequence[Sequence[float]],
) -> dict[str, Any]:
    """Compare the rules' scores with `top1`, percent by architecture and seed: audit.json.

    The last row ranks by OPs alone: what a supernet has to beat.
    """
    config, bands = stage.audit, drawn.band_numbers
    truth = np.array(top1)
    ops = np.array([cost(space.decode(one)).ops for one in drawn.architectures])
    rng = np.random.default_rng(derive_seed(stage.seed, "bootstrap"))
    # The same samples for every row, so that rows can be compared in pairs.
    resamples = draw_resamples(bands, config.seeds, config.supernet_seeds, config.bootstrap, rng)
    ways = [way for rule in rules for way in _ways_of(rule)]
    ways.append(_by_ops(ops, config.supernet_seeds))
    first = ways[0].sign * ways[0].values
    rows: list[dict[str, Any]] = []
    for way in ways:
        scores = way.sign * way.values
        found = agreement(truth, scores, ops, bands, config.top_k, resamples).as_dict()
        taus = found.pop("tau_by_supernet")
        by_supernet = [
            {"supernet": run, "scores": way.values[k].tolist(), "kendall_tau": taus[k]}
            for k, run in enumerate(way.supernets)
        ]
        difference = tau_difference(truth, scores, first, bands, resamples) if rows else None
        rows.append(
            {
                **way.said,
                **found,
                "by_supernet": by_supernet,
                "tau_minus_first": difference and asdict(difference),
            }
        )
    noise = seed_noise(truth, bands, resamples)
    return {
        "format": FORMAT,
        "version": VERSION,
        "space": space.describe(),
        "data": stage.data.name,
        "split": "search",
        "num_search_images": num_search_images,
        "epochs": config.total_epochs,
        "seeds": config.seeds,
        "supernet_seeds": config.supernet_seeds,
        "bootstrap": config.bootstrap,
        "bands": [band._asdict() for band in drawn.bands],
        "rows": rows,
        "noise": noise and asdict(noise),
        "networks": [
            {
                "choices": dict(architecture.choices),
                "ops": ops_of_one,
                "band": int(band) if drawn.bands else None,
                "top1": list(of_one),
                "networks": [f"networks/{architecture.id}-seed{k}" for k in range(config.seeds)],
            }
            for architecture, ops_of_one, band, of_one in zip(
                drawn.architectures, ops.tolist(), bands, top1, strict=True
            )
        ],
    }


def _ways_of(rule: RuleScores) -> Iterator[Way]:
    """Each way of scoring with the supernets of a rule, and each score that it gives."""
    for of_each in zip(*rule.scores, strict=True):
        for name, score in SCORES.items():
            # An audit that was begun before there was a score goes on without it.
            if not all(name in one for one in of_each):
                continue
            values = np.array([one[name] for one in of_each], dtype=float)
            said = {
                "ranked_by": rule.name,
                "score": name,
                "sampling": dict(rule.sampling),
                "supernet": rule.supernets[0],
                "batch_norm": of_each[0]["batch_norm"],
                "calibration_images": of_each[0]["calibration_images"],
                "adapt": of_each[0].get("adapt"),
                "epochs": rule.epochs,
                "work": rule.work,
                "scores": values.mean(0).tolist(),
                "mean_top1": float(values.mean()) if name == "top1" else None,
            }
            yield Way(said, values, score.sign, rule.supernets)


def _by_ops(ops: np.ndarray, num_supernets: int) -> Way:
    """The dearer the better; the same beside each supernet."""
    said = {
        "ranked_by": "OPs alone",
        "score": "ops",
        **dict.fromkeys(("sampling", "supernet", "batch_norm", "calibration_images")),
        **dict.fromkeys(("adapt", "epochs", "work", "mean_top1")),
        "scores": ops.tolist(),
    }
    return Way(said, np.broadcast_to(ops, (num_supernets, len(ops))))
