"""`evobit train-supernet`, `pretrain` and `retrain`: the commands that learn weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from evobit.commands.strict import demand
from evobit.options import Allow, AsJson, Config, DryRun, Overrides, RunFolder, Strict, run_folder
from evobit.output import Command, allowing, output, say_next, shared
from evobit.resuming import announced, check_folder, foretell
from supernet.files import UserError


def train_supernet(
    config: Config,
    run: RunFolder = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Train the shared weights of a search space.

    Each step updates one random path. On an unfinished run folder it resumes.
    """
    from evobit.config import load_stage
    from training.supernet_stage import SupernetStage
    from training.supernet_training import train_supernet as train

    with output(as_json) as out:
        stage = load_stage(config, SupernetStage, overrides or [])
        folder = run or run_folder(config, "supernet")
        check_folder(folder)
        demand(stage.data, strict=strict)
        if dry_run:
            foretell(folder, "supernet", stage)
            from evaluate.estimate.run import estimate

            out.show(estimate(stage, folder), title=f"would train a supernet in {folder}")
            return
        with announced(folder, "supernet", stage):
            summary = train(stage, folder)
        # Of the counts, a row a choice, `evobit coverage` makes something that can be read.
        out.show(summary, title=f"supernet in {folder}", only_json=("update_counts",))
        if not as_json:
            usual = folder == run_folder(config, "supernet")
            where: Command = [] if usual else ["--supernet", folder]
            say_next(["search", config, *where, *shared(overrides)])


def retrain(
    config: Config,
    architectures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="ARCH.json...",
            help="Architecture files; none where the space is one network.",
        ),
    ] = None,
    supernet: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run folder of a supernet: all networks are trained on from their own paths' "
            "weights, the finalists from scratch besides (retrain.from_scratch).",
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="ARCH.json",
            help="A further baseline, trained as the others are; again for each.",
        ),
    ] = None,
    run: RunFolder = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Train architectures and baselines.

    From scratch, or on from a supernet's weights. Each network is scored once on the test split. On
    an unfinished run folder it resumes.
    """
    from evaluate.retrain.config import RetrainStage
    from evaluate.retrain.finalists import finalists
    from evaluate.retrain.report import read_report
    from evaluate.retrain.run import retrain as train
    from evobit.config import load_stage
    from supernet.architecture_file import load_architecture
    from supernet.spaces import space_from_description

    with output(as_json) as out:
        inherited = [] if supernet is None else [f"retrain.supernet={json.dumps(str(supernet))}"]
        stage = load_stage(config, RetrainStage, [*(overrides or []), *inherited])
        space = space_from_description(stage.space)
        files, given = architectures or [], against or []
        if not files and space.size > 1:
            raise UserError(
                f"expected the architecture files (ARCH.json) to retrain: space '{space.name}' has "
                f"{space.size:,} architectures; 'evobit export RUN' writes what a search found"
            )
        for path in (*files, *given):
            load_architecture(path, expected_space=space)
        folder = run or run_folder(config, "retrain")
        check_folder(folder)
        demand(stage.data, strict=strict)
        if dry_run:
            foretell(folder, "retrain", stage)
            from evaluate.estimate.run import estimate

            out.show(
                estimate(stage, folder, architectures=files, against=given),
                title=f"would retrain in {folder}",
            )
            return
        with announced(folder, "retrain", stage):
            summary = train(stage, files, folder, given)
        if as_json:
            out.show(summary)
            return
        networks = "\n".join(f"{name}: {file}" for name, file in finalists(folder).items())
        table = read_report(folder).markdown
        out.show(summary, text=f"retrained in {folder}\n\n{table}\n{networks}")
        named, data = stage.space["name"], stage.data.name
        say_next(
            ["report", folder, "--html", *allowing(named)],
            ["pack", folder, *allowing(named, data), "-o", "model.evobit"],
        )


def pretrain(
    config: Config,
    architecture: Annotated[
        Path | None,
        typer.Argument(
            metavar="ARCH.json",
            help="Architecture file; none where the space is one network.",
        ),
    ] = None,
    run: RunFolder = None,
    test: Annotated[
        bool, typer.Option("--test", help="Score the features on the test split too.")
    ] = False,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Learn a network's features without labels.

    For `retrain.start_from`. They are scored on the search split. On an unfinished run folder it
    resumes.
    """
    from evobit.config import load_stage
    from supernet.files.telling import is_first_process
    from training.pretraining.config import PretrainStage
    from training.pretraining.run import pretrain as train

    with output(as_json) as out:
        stage = load_stage(config, PretrainStage, overrides or [])
        folder = run or run_folder(config, "pretrain")
        check_folder(folder)
        demand(stage.data, strict=strict)
        if dry_run:
            foretell(folder, "pretrain", stage)
            from evaluate.estimate.run import estimate_pretraining

            planned = estimate_pretraining(stage, architecture, folder)
            out.show(planned, title=f"would pre-train in {folder}")
            return
        with announced(folder, "pretrain", stage):
            summary = train(stage, architecture, folder)
        if test and is_first_process():
            from evaluate.score import score_on_test_split

            summary = {**summary, "test_split": score_on_test_split(folder, strict=strict)}
        out.show(summary, title=f"pre-trained in {folder}")
