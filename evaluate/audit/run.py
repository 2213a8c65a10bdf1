"""How well does a supernet rank? Sub-networks trained alone against their inherited scores.

All accuracies are top-1 on the search split, which neither supernets nor networks are trained on
here; the test split stays closed, because a ranking is no final figure.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from evaluate.audit.config import AuditStage
from evaluate.audit.figures import RuleScores, audit_figures
from evaluate.audit.plan import STAGE, Prepared, check_machine, prepare
from evaluate.audit.report import FILE, AuditReport
from evaluate.audit.scores import supernet_scores
from evaluate.audit.supernets import SUPERNET, TrainedRule, work_of
from evaluate.retrain.jobs import run_jobs
from supernet.files import UserError
from supernet.files.telling import tell
from training.compilation import decided_once
from training.loop.batches import steps_per_epoch
from training.loop.phases import inputs_of
from training.run_files.folder import RunFolder, has_finished, stage_in
from training.run_files.same_run import recorded_config
from training.same_pictures import say_same_in_search
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
    config = stage.audit
    if record_data(folder, prepared.manifest, prepared.data.facts):
        say_same_in_search(prepared.data)
    rules = [_rule_scores(stage, prepared, rule, folder.path) for rule in prepared.rules]
    trainings = prepared.trainings(stage)
    compiled = decided_once(
        folder, lambda: trainings.compile_decision(prepared.steps_per_epoch, prepared.device)
    )
    jobs = [
        [trainings.job(one, k, folder.path, compiled=compiled) for k in range(config.seeds)]
        for one in prepared.drawn.architectures
    ]
    # Seed by seed: an audit that is cut short has whole seeds.
    in_turn = [job for of_seed in zip(*jobs, strict=True) for job in of_seed]
    found = run_jobs(in_turn, config.workers, folder)
    top1 = [[found[job.name]["top1"] for job in of_network] for of_network in jobs]
    figures = audit_figures(
        stage, prepared.space, prepared.drawn, len(prepared.data.search), rules, top1
    )
    report = AuditReport(figures)
    report.write(folder.path)
    folder.finish({"report": FILE, **report.headline})


def _rule_scores(stage: AuditStage, prepared: Prepared, rule: TrainedRule, run: Path) -> RuleScores:
    """Train the supernets of a rule that are not there, and score all networks with each."""
    folders: list[str] = []
    scores = []
    for planned in rule.supernets:
        supernet = planned.trained
        if supernet is None:
            supernet = run / "supernets" / planned.name
            tell(f"audit: supernet of rule '{planned.name}' in {supernet}")
            train_supernet(planned.stage, supernet)
        folders.append(str(supernet if planned.trained else supernet.relative_to(run)))
        kept = run / "scores" / f"{planned.name}.json"
        scores.append(
            supernet_scores(
                stage,
                prepared.space,
                prepared.drawn.architectures,
                len(prepared.data.search),
                supernet,
                kept,
            )
        )
    # As JSON has it: no limit, which is infinite, is null.
    sampling = json.loads(rule.settings.sampling.model_dump_json())
    work = work_of(
        prepared.space, rule.settings, steps_per_epoch(prepared.data.train, rule.settings)
    )
    return RuleScores(rule.name, sampling, rule.settings.total_epochs, work, folders, scores)
