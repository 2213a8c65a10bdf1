"""Stage 2: search a trained supernet for the best architectures under limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from search.config import STAGE, SearchConfig, SearchStage
from search.limits.sampling import FeasibleSampler
from search.loop import SearchLoop
from search.objectives import GrowingFront, Objectives
from search.pools.pool import ScoringPool, SerialPool
from search.problem import Problem, problem_of
from search.results.outcome import finish
from search.scoring.packed_scorer import check_packed, kernels_in_use
from search.scoring.scorer import make_scorer
from search.scoring.tasks import Arrays, ScorerFactory
from supernet.candidate import Candidate, best
from supernet.files import UserError, write_json
from supernet.files.telling import tell
from supernet.history_file import History
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from training.data import TrainingData
from training.data.training_data import open_for
from training.device import choose_device
from training.processes.ray_session import check_workers
from training.run_files.folder import RunFolder, has_finished, open_finished, stage_in
from training.run_files.progress import Progress
from training.run_files.same_run import CHANGES_NOTHING, differences, marked, recorded_config
from training.scoring.scorer import check_scoring, num_scored, scoring_arrays
from training.seeds import stream
from training.supernet_file import check_data, check_space, load_supernet

__all__ = ["SearchConfig", "SearchStage", "run_search"]

SUPERNET_STAGE = "supernet"
LAG_A_WORKER = 2
"""Candidates a worker holds at once: with a lag below, some find nothing to score at times."""


def check_search(stage: SearchStage) -> None:
    """Demand all of a search that can be known before its supernet is trained.

    Raises:
        UserError: as `run_search`, of the images and of all that `problem_of` checks.
    """
    check_machine(stage.search)
    space = space_from_description(stage.space)
    check_scoring(open_for(space, stage.data), stage.search.scoring)
    problem_of(stage)


def check_machine(config: SearchConfig) -> None:
    """Demand workers that this machine has cores for, where it is the one that they run on.

    Raises:
        UserError: there are more.
    """
    if config.address is None:
        check_workers(config.workers, config.scoring.threads, STAGE)


def as_begun(stage: SearchStage, run: Path) -> SearchStage:
    """`stage` as the search in the folder `run` goes on with it, where there is one."""
    return stage.as_begun(RunFolder(run, STAGE).config) if stage_in(run) == STAGE else stage


def run_search(
    stage: SearchStage,
    run: Path,
    supernet: Path,
    *,
    scorer_factory: ScorerFactory | None = None,
) -> dict[str, Any]:
    """Search into the run folder `run`, resuming where it was interrupted; returns its summary.

    Writes feasibility.json, history.jsonl and best.json. A finished run goes on where the budget
    grew, to the very files of a run that had the larger budget from the start. With several
    objectives the manifest holds their reference point from the start.
    `scorer_factory` replaces the supernet's scorer, and is then given no arrays.

    Raises:
        UserError: a space of one architecture, limits that nothing keeps, an unknown objective,
            architectures to start with that are none of the space, break a limit or come twice, a
            supernet that is unfinished or of another space or split, a run folder of another
            config or of a larger budget, a damaged history.
        RuntimeError: no candidate could be scored, or no worker is left.
    """
    stage = as_begun(stage, run)
    space = space_from_description(stage.space)
    space.check_searchable()
    if not has_finished(run, STAGE):
        check_machine(stage.search)
    trained = open_finished(supernet, SUPERNET_STAGE)
    check_space(trained, space)
    _check_budget(run, stage)
    splits = images = None
    if scorer_factory is None:
        data = _check_splits(trained, space, stage)
        splits = split_hashes(data.manifest())
        images = num_scored(data, stage.search.scoring)
        trained_weights = load_supernet(supernet)  # else refused before anything is made
        if stage.search.scoring.engine == "packed":
            check_packed(space, trained_weights.binarization, stage.search.scoring)
    problem = problem_of(stage)
    inputs = {"supernet": supernet}
    files = enumerate(stage.search.start_with or (), start=1)
    inputs |= {f"architecture {n}": path for n, path in files}
    if stage.search.latency_table is not None:
        inputs["latency table"] = stage.search.latency_table
    folder = RunFolder.open(run, STAGE, recorded_config(stage), inputs, SearchStage)
    with folder.lock():
        if moved := folder.moved_images():  # they are the supernet's, or were refused above
            folder.record_places(moved)
        if folder.summary is not None:
            return folder.summary
        check_machine(stage.search)  # of a finished run whose budget has grown
        if splits is not None:
            folder.record_once("splits", splits)
            images = folder.record_once("scored_images", images)
        if problem.objectives is not None:
            point = folder.record_once("reference_point", problem.objectives.reference_point)
            problem = problem._replace(objectives=Objectives.at(point))
        tell(f"{problem.feasibility.table()}\n{problem.designs}")
        write_json(folder.path / "feasibility.json", problem.feasibility.as_dict())
        make_pool = partial(_pool, stage, space, supernet, scorer_factory)
        candidates, is_complete = search_to_budget(stage, problem, folder, make_pool)
        is_exhausted = not is_complete
        return finish(problem, candidates, folder, is_exhausted=is_exhausted, images=images)


def search_to_budget(
    stage: SearchStage,
    problem: Problem,
    folder: RunFolder,
    make_pool: Callable[[], ScoringPool],
) -> tuple[list[Candidate], bool]:
    """Run the loop to the budget; returns all candidates, and whether the budget was used.

    `make_pool` is called when the first candidate has to be scored.
    """
    config = stage.search
    space, measure, feasibility = problem.space, problem.measure, problem.feasibility
    sampler = FeasibleSampler(space, measure, feasibility.constraints, feasibility.start)
    rng = stream(stage.seed, "search")
    searcher = config.kind(sampler, config, rng, problem.given, problem.designs.first)
    with ExitStack() as stack:
        history = stack.enter_context(History(folder.path / "history.jsonl", space))
        done = len(history.candidates)
        how_it_runs = marked(SearchConfig, CHANGES_NOTHING)
        folder.log("start", recorded=done, **{name: getattr(config, name) for name in how_it_runs})
        leader = best(history.candidates, 1)
        front = GrowingFront(problem.objectives) if problem.objectives is not None else None
        started: list[tuple[ScoringPool, Progress]] = []

        def pool() -> ScoringPool:
            """Started when the first candidate has to be scored; its start is no progress."""
            if not started:
                scoring = stack.enter_context(make_pool())
                bar = Progress("search", config.budget, done, folder.path)
                progress = stack.enter_context(bar)
                started.append((scoring, progress))
            return started[0][0]

        def on_candidate(candidate: Candidate) -> None:
            leader[:] = best([*leader, candidate], 1)
            numbers = [one.top1 for one in leader if one.top1 is not None]
            started[0][1].advance(best_top1=max(numbers, default=0.0))

        def log(event: str, **fields: Any) -> None:
            if front is not None:
                fields["hypervolume"] = front.hypervolume(history.candidates)
            folder.log(event, **fields)

        loop = SearchLoop(
            searcher,
            measure,
            history,
            pool,
            on_candidate=on_candidate,
            log=log,
            races=config.racing is not None,
        )
        is_complete = loop.run(config.budget)
        return history.candidates, is_complete


def _check_budget(run: Path, stage: SearchStage) -> None:
    """Refuse a budget below the one that the run in this folder has."""
    if stage_in(run) != STAGE:
        return
    for one in differences(RunFolder(run, STAGE).config, recorded_config(stage), SearchStage):
        if one.growth < 0:
            raise UserError(
                f"{run}: its budget is {one.was:,} candidates, now {one.now:,}: a budget can only "
                f"grow (search.evaluations, or search.population and search.generations)"
            )


def _check_splits(trained: RunFolder, space: SearchSpace, stage: SearchStage) -> TrainingData:
    """Demand a search split that the supernet was not trained on; returns the data.

    The images themselves are compared, by hash: equal settings may name changed files.
    """
    data = open_for(space, stage.data)
    check_scoring(data, stage.search.scoring)
    check_data(trained, data)
    return data


def split_hashes(manifest: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the train and search splits, from a data manifest."""
    return {name: manifest["splits"][name]["sha256"] for name in ("train", "search")}


def scorer_of(space: SearchSpace, config: SearchConfig) -> ScorerFactory:
    """Makes the scorer that a config asks for, in every worker."""
    max_bytes = config.batch_mib << 20
    return partial(
        make_scorer, space.describe(), config.scoring, config.batch, config.racing, max_bytes
    )


def _pool(
    stage: SearchStage, space: SearchSpace, supernet: Path, factory: ScorerFactory | None
) -> ScoringPool:
    """The pool that the config asks for; says what it scores on."""
    config = stage.search
    arrays: Arrays = {}
    use_gpu, kernels = False, ""
    if factory is None:
        arrays = scoring_arrays(supernet, stage.data, config.scoring, stage.seed)
        device = config.scoring.device
        if device != "cuda" or config.address is None:  # A cluster's GPUs need not be here.
            device = "cuda" if choose_device(device).type == "cuda" else "cpu"
        use_gpu = device == "cuda"
        # Decided here: with 'auto' each worker would choose for itself.
        scoring = config.scoring.model_copy(update={"device": device})
        decided = config.model_copy(update={"scoring": scoring})
        factory = scorer_of(space, decided)
        if config.scoring.engine == "packed":
            kernels = f", 1-bit kernels ({kernels_in_use()})"
    threads = config.scoring.threads
    where = f"{config.workers} Ray workers" if config.workers else "this process"
    on = "GPU" if use_gpu else f"CPU, {threads} thread(s) each"
    tell(f"scoring in {where} on {on}{kernels}")
    if config.lag is not None and config.lag < LAG_A_WORKER * config.workers:
        tell(
            f"search.lag {config.lag} keeps {config.workers} workers waiting for each other; "
            f"{LAG_A_WORKER * config.workers} or more would not"
        )
    if config.workers == 0:
        return SerialPool(factory, arrays, threads, config.batch)
    from search.pools.ray_pool import RayPool

    return RayPool(
        factory,
        arrays,
        config.workers,
        threads,
        config.address,
        config.timeout_s,
        batch=config.batch,
        use_gpu=use_gpu,
        arrays_at=config.arrays_at,
    )
