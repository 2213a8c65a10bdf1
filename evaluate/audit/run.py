"""How well does a supernet rank? Sub-networks trained alone against their inherited scores.

All accuracies are top-1 on the search split, which neither supernets nor networks are trained on
here; the test split stays closed, because a ranking is no final figure.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from evaluate.audit.config import AuditStage
from evaluate.audit.plan import STAGE, SUPERNET, Prepared, check_machine, prepare
from evaluate.audit.report import FILE, AuditReport, Rule, make_report
from evaluate.retrain.jobs import run_jobs
from supernet.architecture import Architecture
from supernet.files import UserError, read_json, write_json
from supernet.files.telling import tell
from supernet.space import SearchSpace
from training.compilation import decided_once
from training.loop.phases import inputs_of
from training.run_files.folder import RunFolder, has_finished, stage_in
from training.run_files.progress import Progress
from training.run_files.same_run import recorded_config
from training.same_pictures import say_same_in_search
from training.scoring.scorer import Scorer, scoring_arrays
from training.split_facts import check_images, record_data
from training.supernet_training import train_supernet


def audit(stage: AuditStage, run: Path, supernet: Path | None = None) -> AuditReport:
    """Train supernets and stand-alone networks into the run folder `run`, and compare rankings.

    Resumes where it was interrupted. `supernet`: the finished run that stands for the config's own
    sampling rule. Writes audit.json and report.md.

    Raises:
        UserError: settings that cannot be trained or scored, a supernet of another space, split or
            config, another run's folder, several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("an audit runs in one process: start it without torchrun")
    # All checks come before the folder is made: a corrected command is then no "other config".
    if not has_finished(run, STAGE):
        check_machine(stage)
    prepared = prepare(stage, supernet)
    inputs = inputs_of(stage.audit)
    inputs |= {f"{name} (supernet)": path for name, path in inputs_of(stage.supernet).items()}
    if supernet is not None:
        inputs[SUPERNET] = supernet
    if stage_in(run) == STAGE:
        _check_same_supernet(RunFolder(run, STAGE), supernet)
    folder = RunFolder.open(run, STAGE, recorded_config(stage), inputs, AuditStage)
    with folder.lock():
        check_images(folder, lambda: prepared.manifest, lambda: prepared.data.facts)
        if folder.summary is None:
            _audit(stage, prepared, folder)
        return AuditReport.read(folder.path)


def _check_same_supernet(folder: RunFolder, supernet: Path | None) -> None:
    """Refuse to train a supernet for a run that was started with one."""
    recorded = folder.manifest["inputs"].get(SUPERNET)
    if (recorded is None) != (supernet is None):
        began = "without --supernet" if recorded is None else f"with --supernet {recorded['path']}"
        raise UserError(f"{folder.path}: was started {began}; give the same, or another --run")


def _audit(stage: AuditStage, prepared: Prepared, folder: RunFolder) -> None:
    space, config = prepared.space, stage.audit
    if record_data(folder, prepared.manifest, prepared.data.facts):
        say_same_in_search(prepared.data)
    rules = []
    for rule in prepared.rules:
        supernet = rule.trained
        if supernet is None:
            supernet = folder.path / "supernets" / rule.name
            tell(f"audit: supernet of rule '{rule.name}' in {supernet}")
            train_supernet(rule.stage, supernet)
        scores = supernet_scores(
            stage,
            space,
            prepared.architectures,
            len(prepared.data.search),
            supernet,
            folder.path / "scores" / f"{rule.name}.json",
        )
        # As JSON has it: no limit, which is infinite, is null.
        sampling = json.loads(rule.stage.supernet.sampling.model_dump_json())
        where = supernet if rule.trained else supernet.relative_to(folder.path)
        rules.append(Rule(rule.name, sampling, str(where), scores))
    trainings = prepared.trainings(stage)
    compiled = decided_once(
        folder, lambda: trainings.compile_decision(prepared.steps_per_epoch, prepared.device)
    )
    jobs = [
        [trainings.job(one, k, folder.path, compiled=compiled) for k in range(config.seeds)]
        for one in prepared.architectures
    ]
    # Seed by seed: an audit that is cut short has whole seeds.
    in_turn = [job for of_seed in zip(*jobs, strict=True) for job in of_seed]
    found = run_jobs(in_turn, config.workers, folder)
    top1 = [[found[job.name]["top1"] for job in of_network] for of_network in jobs]
    report = make_report(stage, space, prepared.architectures, prepared.data, rules, top1)
    report.write(folder.path)
    folder.finish({"report": FILE, **report.headline})


def supernet_scores(
    stage: AuditStage,
    space: SearchSpace,
    architectures: Sequence[Architecture],
    num_search_images: int,
    supernet: Path,
    kept: Path,
) -> list[Mapping[str, Any]]:
    """The top-1 of every architecture on the search split, for each way of scoring in turn.

    Each entry has `batch_norm`, `calibration_images` (null where there are none) and `top1`, in
    the order of `architectures`. They are kept in the file `kept`; a second call reads it.
    """
    if kept.exists():
        return read_json(kept, what="supernet scores")
    modes = stage.audit.scoring.modes
    config = stage.audit.scoring.scorer_config(num_search_images)
    arrays = scoring_arrays(supernet, stage.data, config, stage.seed)
    threads = torch.get_num_threads()
    try:
        scorer = Scorer(space.describe(), arrays, config)
        found: list[Mapping[str, Any]] = []
        with Progress(f"score {kept.stem}", len(modes) * len(architectures)) as progress:
            for batch_norm, images in modes:
                top1 = []
                for architecture in architectures:
                    top1.append(scorer.score(architecture, batch_norm, images))
                    progress.advance(top1=top1[-1])
                found.append({"batch_norm": batch_norm, "calibration_images": images, "top1": top1})
    finally:
        torch.set_num_threads(threads)
    write_json(kept, found)
    return found
