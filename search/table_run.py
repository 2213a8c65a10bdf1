"""A search against a table of known accuracies, to compare searchers in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from search.config import SearchStage
from search.limits.feasibility import check_feasibility
from search.limits.hand_made import HandMade
from search.objectives import Objectives
from search.pools.pool import ScoringPool, SerialPool
from search.problem import Problem
from search.run import search_to_budget
from search.scoring.known_table import KnownTable, load_table
from search.scoring.tasks import Arrays, Scorer
from supernet.candidate import Candidate, best
from supernet.costs.limits import limits_from
from supernet.files import UserError, write_json
from supernet.files.telling import tell
from supernet.spaces import space_from_description
from training.run_files.folder import RunFolder
from training.run_files.same_run import recorded_config
from training.seeds import stream

STAGE = "table-search"
NOT_OF_A_TABLE = ("start_with", "designs", "latency_table", "racing")
"""Settings that need a network, or its answer on each image."""

NO_DESIGNS = HandMade({}, {}, ())


class TableStage(SearchStage):
    """A config whose `search` and `seed` count; `space` is only compared with the table's."""

    space: dict[str, Any] = Field(default_factory=dict)

    def recorded(self) -> dict[str, Any]:
        """See `Stage.recorded`; without what scoring by images needs, and without designs."""
        config = super().recorded()
        del config["data"], config["search"]["scoring"]
        config["search"].pop("designs", None)
        return config


class TableProblem(NamedTuple):
    """What is asked for, and number `training` of the table's scores, which the search sees."""

    problem: Problem
    table: KnownTable
    training: int


def problem_on_table(stage: TableStage, file: Path) -> TableProblem:
    """Read and check what `stage` asks of the table in `file`; the seed draws the training seen.

    Raises:
        UserError: a damaged table or one of another space, a setting that a table cannot serve,
            a limit or an objective on a cost that it has not, limits that nothing keeps.
    """
    asked = stage.search
    table = load_table(file)
    if stage.space:
        table.check_space(space_from_description(stage.space))
    table.space.check_searchable()
    for name in NOT_OF_A_TABLE:
        if getattr(asked, name) not in (None, False):
            raise UserError(f"search.{name} is set: a table has scores and costs alone; unset it")
    limits = asked.limits()
    for limit in limits_from(limits):
        if limit.name not in table.cost_names:
            raise UserError(
                f"{next(iter(limit.ends))}: table '{table.space.table}' has no cost "
                f"'{limit.name}'; it has {', '.join(table.cost_names)}"
            )
    samples = stream(stage.seed, "feasibility")
    feasibility = check_feasibility(
        table.space, table.costs, limits, asked.feasibility_samples, samples
    )
    costs = asked.minimised
    objectives = Objectives.within(costs, feasibility.as_dict()) if costs else None
    training = stream(stage.seed, "table").randrange(table.num_seeds)
    problem = Problem(table.space, None, table.costs, feasibility, objectives, (), NO_DESIGNS)
    return TableProblem(problem, table, training)


def search_table(stage: TableStage, run: Path, file: Path) -> dict[str, Any]:
    """Search the table in `file` into the run folder `run`, resuming; returns its summary.

    A candidate's score is one training of the network, drawn by the seed for the whole run. The
    summary has the `truth` of the winner, the mean of its other trainings in percent, and its
    `regret_points` below the best truth within the limits. Scores in this process.

    Raises:
        UserError: as `problem_on_table`; a run folder of another config, table or larger budget.
    """
    asked = problem_on_table(stage, file)
    problem, table, training = asked
    folder = RunFolder.open(run, STAGE, recorded_config(stage), {"table": file}, TableStage)
    with folder.lock():
        if folder.summary is not None:
            return folder.summary
        tell(problem.feasibility.table())
        write_json(folder.path / "feasibility.json", problem.feasibility.as_dict())
        make_pool = partial(_pool, table, training)
        candidates, is_complete = search_to_budget(stage, problem, folder, make_pool)
        summary = _summary(asked, candidates, is_exhausted=not is_complete)
        folder.finish(summary)
        return summary


def _pool(table: KnownTable, training: int) -> ScoringPool:
    def factory(_: Arrays) -> Scorer:
        return partial(table.seen, training=training)

    return SerialPool(factory, {})


def _summary(
    asked: TableProblem, candidates: Sequence[Candidate], *, is_exhausted: bool
) -> dict[str, Any]:
    problem, table, training = asked
    winner = best(candidates, 1)[0]
    truth = table.truth(winner.architecture, training)
    best_truth = table.best_truth(training, problem.feasibility.constraints)
    summary: dict[str, Any] = {
        "evaluations": len(candidates),
        "is_exhausted": is_exhausted,
        "table": table.space.table,
        "training": training,
        "best": str(winner.architecture),
        "seen_top1": winner.top1,
        "truth": round(truth, 4),
        "best_truth": round(best_truth, 4),
        "regret_points": round(best_truth - truth, 4),
        **winner.costs,
    }
    if problem.objectives is not None:
        summary["hypervolume"] = problem.objectives.hypervolume(candidates)
        summary["front"] = [one.index for one in problem.objectives.front(candidates)]
    return summary
