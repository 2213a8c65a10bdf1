"""The stage between search and retraining: train the best on, and let the better part go on.

Successive halving (Jamieson and Talwalkar, arXiv 1502.07943) with rungs that are each annealed by
themselves: a checkpoint in the middle of a schedule ranks far worse. Differs from the paper: every
rung begins again with the supernet's weights. Found and hand-made networks are treated alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evaluate.finals.config import STAGE, FinalsStage
from evaluate.finals.entrants import DESIGN, FOUND, Contest, Entrant
from evaluate.finals.halving import survivors
from evaluate.finals.judging import Difference, Verdict
from evaluate.finals.report import as_markdown
from evaluate.retrain.config import RepeatedTraining
from evaluate.retrain.jobs import run_jobs
from evaluate.retrain.trainings import NetworkTrainings, threads_of
from supernet.architecture_file import save_architecture
from supernet.files import UserError
from supernet.files.telling import tell
from supernet.files.writing import write_text
from supernet.network import build
from training.compilation import decided_once
from training.data import TrainingData
from training.data.training_data import open_for
from training.device import choose_device
from training.loop.batches import steps_per_epoch
from training.loop.phases import check_phases, inputs_of
from training.processes.ray_session import check_workers
from training.run_files.folder import RunFolder, has_finished, open_finished
from training.run_files.same_run import recorded_config
from training.scoring.scorer import num_scored, search_order
from training.split_facts import check_images, record_data
from training.supernet_file import STAGE as SUPERNET_STAGE
from training.supernet_file import check_data, check_space

FILES = {FOUND: "found.json", DESIGN: "design.json"}
WINNER, TABLE = "winner.json", "report.md"


@dataclass(frozen=True)
class Prepared:
    """Finals whose input is checked: everything that can be refused has been read."""

    contest: Contest
    data: TrainingData
    judging: tuple[int, ...]
    """Numbers of the images of the search split that entrants are compared on."""
    is_fresh: bool
    """Whether the search has not looked at these images."""

    def trainings(self, stage: FinalsStage, entrants: Sequence[Entrant]) -> list[NetworkTrainings]:
        """Those of each rung, were they all of `entrants`, without the search split."""
        return [
            NetworkTrainings(
                f"{STAGE} {number}",
                self.contest.space,
                [one.architecture for one in entrants],
                self.data.config,
                _of_rung(stage, epochs, self.contest.supernet),
                stage.seed,
                "train",
                self.data.facts.without_files(),
                f"-rung{number}",
            )
            for number, epochs in enumerate(stage.finals.rungs, start=1)
        ]


def finals(stage: FinalsStage, contest: Contest, run: Path) -> dict[str, Any]:
    """Hold the finals of a search in the run folder `run`: who enters is the `contest`.

    Resumes where it was interrupted. Writes found.json and design.json, the best searched and the
    best hand-made network, winner.json and report.md; returns the summary.

    Raises:
        UserError: a supernet of another space or other images, settings that cannot be trained,
            another run's folder.
    """
    if not has_finished(run, STAGE):
        check_machine(stage)
    prepared = prepare(stage, contest)
    inputs = {"history": contest.search / "history.jsonl", "supernet": contest.supernet}
    files = enumerate(stage.finals.include or (), start=1)
    inputs |= {f"architecture {number}": path for number, path in files}
    inputs |= inputs_of(stage.finals)
    folder = RunFolder.open(run, STAGE, recorded_config(stage), inputs, FinalsStage)
    with folder.lock():
        data = prepared.data
        check_images(folder, data.manifest, lambda: data.facts)
        if folder.summary is None:
            record_data(folder, data.manifest(), data.facts)
            _hold(stage, prepared, folder)
        summary = folder.summary
    assert summary is not None
    return summary


def check_machine(stage: FinalsStage) -> None:
    """Demand workers that this machine has cores for.

    Raises:
        UserError: there are more.
    """
    check_workers(stage.finals.workers, threads_of(stage.finals), STAGE)


def prepare(stage: FinalsStage, contest: Contest) -> Prepared:
    """Read and check everything that finals need, without writing anything.

    Raises:
        UserError: see `finals`.
    """
    space, config = contest.space, stage.finals
    trained = open_finished(contest.supernet, SUPERNET_STAGE)
    check_space(trained, space)
    data = open_for(space, stage.data)
    check_data(trained, data)
    _check_searched(contest, data)
    order = search_order(data, contest.scoring, contest.seed)
    unseen = order[num_scored(data, contest.scoring) :].tolist()
    first = space.decode(space.first())

    def modules() -> list[nn.Module]:
        with torch.device("meta"):
            return [build(space.decode(one.architecture)) for one in contest.entrants]

    for epochs in config.rungs:
        settings = _of_rung(stage, epochs, contest.supernet)
        check_phases(settings, data.seen_by(first), first, modules, data.train, space)
    steps_per_epoch(data.train, config)
    return Prepared(contest, data, tuple(unseen or order.tolist()), bool(unseen))


def _of_rung(stage: FinalsStage, epochs: int, supernet: Path) -> RepeatedTraining:
    """The settings of a rung's trainings."""
    return stage.finals.model_copy(update={"epochs": epochs, "start_from": supernet})


def _check_searched(contest: Contest, data: TrainingData) -> None:
    """Demand the images that the search was held on.

    Raises:
        UserError: `data` gives others.
    """
    known, now = contest.splits, data.manifest()["splits"]
    if changed := [name for name in known if known[name] != now.get(name, {}).get("sha256")]:
        raise UserError(
            f"{contest.search}: was held on other images than `data` gives now (the "
            f"{' and the '.join(changed)} split differs); restore the `data` section of the search"
        )


def _hold(stage: FinalsStage, prepared: Prepared, folder: RunFolder) -> None:
    config, entrants = stage.finals, list(prepared.contest.entrants)
    device = choose_device(config.device)
    folder.log("start", workers=config.workers, threads=threads_of(config), device=str(device))
    if not prepared.is_fresh:
        tell(
            "note: the search has looked at the whole search split: no image is fresh to judge on; "
            "search.scoring.search_images keeps some for the finals"
        )
    images = steps_per_epoch(prepared.data.train, config) * config.batch_size
    rungs: list[dict[str, Any]] = []
    passes, verdicts = 0, {}
    for number, trainings in enumerate(prepared.trainings(stage, entrants), start=1):
        tell(f"finals: rung {number}, {len(entrants)} networks, {config.rungs[number - 1]} epochs")
        verdicts = _judge(trainings, entrants, prepared, folder, number)
        each = trainings.settings.epochs * images + len(prepared.data.search)
        passes += len(entrants) * config.seeds * each
        ranked = sorted(entrants, key=lambda one: verdicts[one.name].loss)
        is_last = number == len(config.rungs)
        going_on = ranked if is_last else survivors(ranked, config.keep)
        rungs.append(
            {
                "epochs": config.rungs[number - 1],
                "entrants": [
                    _row(one, verdicts[one.name], goes_on=not is_last and one in going_on)
                    for one in ranked
                ],
            }
        )
        entrants = going_on
    summary = _outcome(prepared, entrants, verdicts, folder)
    summary |= {
        "search": str(prepared.contest.search),
        "judging_images": len(prepared.judging),
        "is_fresh": prepared.is_fresh,
        "image_passes": passes,
        "rungs": rungs,
    }
    write_text(folder.path / TABLE, as_markdown(summary))
    folder.finish(summary)


def _judge(
    trainings: NetworkTrainings,
    entrants: Sequence[Entrant],
    prepared: Prepared,
    folder: RunFolder,
    number: int,
) -> dict[str, Verdict]:
    """Train all entrants of a rung and compare them, by name."""
    device = choose_device(trainings.settings.device)
    per_epoch = steps_per_epoch(prepared.data.train, trainings.settings)
    compiled = decided_once(folder, lambda: trainings.compile_decision(per_epoch, device))
    seeds = range(trainings.settings.seeds)
    jobs = {
        (one.name, k): trainings.job(one.architecture, k, folder.path, compiled=compiled)
        for k in seeds
        for one in entrants
    }
    scores = run_jobs(list(jobs.values()), trainings.settings.workers, folder)
    return {
        one.name: Verdict.of([scores[jobs[one.name, k].name] for k in seeds], prepared.judging)
        for one in entrants
    }


def _row(entrant: Entrant, verdict: Verdict, *, goes_on: bool) -> dict[str, Any]:
    return {
        "name": entrant.name,
        "kind": entrant.kind,
        "choices": dict(entrant.architecture.choices),
        "candidate": entrant.candidate,
        "loss": verdict.loss,
        "error": verdict.error,
        "top1": verdict.top1,
        "goes_on": goes_on,
    }


def _outcome(
    prepared: Prepared,
    ranked: Sequence[Entrant],
    verdicts: Mapping[str, Verdict],
    folder: RunFolder,
) -> dict[str, Any]:
    """Write the files of the winner and of the best of each kind; what the summary says of them."""
    winner = ranked[0]
    best = {kind: next((one for one in ranked if one.kind == kind), None) for kind in FILES}
    written: dict[str, Any] = {}
    for kind, one in best.items():
        if one is not None:
            _save(one, prepared, folder, folder.path / FILES[kind])
            written[kind] = one.name
    _save(winner, prepared, folder, folder.path / WINNER)
    outcome: dict[str, Any] = {"winner": winner.name, "kind": winner.kind, **written}
    rivals = {one.name for one in best.values() if one is not None} - {winner.name}
    rival = next((one for one in ranked if one.name in rivals), None)
    if rival is not None:
        gap = Difference.between(verdicts[rival.name], verdicts[winner.name])
        outcome["rival"] = rival.name
        outcome["difference"] = {"loss": gap.loss, "error": gap.error, "is_tie": gap.is_tie}
    return outcome


def _save(entrant: Entrant, prepared: Prepared, folder: RunFolder, path: Path) -> None:
    """An architecture file that says where the network comes from, the finals among it."""
    splits, known = prepared.contest.splits, entrant.provenance
    own = {**({"splits": dict(splits)} if splits else {}), "finals": folder.path.resolve().name}
    save_architecture(
        path, prepared.contest.space, entrant.architecture, provenance={**known, **own}
    )
