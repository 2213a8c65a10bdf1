"""What was trained of what a search can ask for: a supernet's paths beside its whole space.

A search scores architectures of any cost that its limits allow; those far from all trained paths
are scored on weights that were trained for others.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path

from search.config import STAGE, SearchConfig
from search.coverage.report import CostCoverage, Coverage
from search.coverage.trained_paths import Training
from search.limits.feasibility import check_feasibility
from search.limits.measure import CostMeter
from supernet.costs.limits import limit_names, limits_from, within
from supernet.costs.table import ANALYTIC
from supernet.files import UserError, as_written, naming, sha256_file
from training.run_files.folder import RunFolder, stage_in
from training.run_files.progress import Progress
from training.seeds import stream

COUNTED = limit_names(ANALYTIC)
"""The limits that can be checked here; latency is not predicted."""

STEPS_BETWEEN_SIGNS = 500


def cover(
    training: Training,
    limits: Mapping[str, float],
    num_samples: int,
    seed: int,
    left_out: tuple[str, ...] = (),
) -> Coverage:
    """Draw all paths of a training once more and count their costs beside uniform draws.

    The uniform draws are those that a search of this seed looks at before it starts.

    Raises:
        UserError: no architecture keeps the limits, or the paths are not those recorded.
    """
    space, measure = training.space, CostMeter(training.space)
    address = (seed, "feasibility")
    feasibility = check_feasibility(space, measure, limits, num_samples, stream(*address))
    rng = stream(*address)
    draws = [measure(space.sample(rng)) for _ in range(num_samples)]
    constraints = limits_from(limits)
    values = {name: array("d") for name in ANALYTIC}
    num_kept = 0
    with Progress("coverage: steps", training.num_steps) as progress:
        for step, paths in enumerate(training.checked_steps(), start=1):
            for costs in map(measure, paths):
                for name, found in values.items():
                    found.append(costs[name])
                num_kept += within(constraints, costs)
            if step % STEPS_BETWEEN_SIGNS == 0 or step == training.num_steps:
                progress.advance(step - progress.done)
    num_paths = len(values["ops"])
    ranges = feasibility.ranges
    return Coverage(
        feasibility=feasibility,
        updates=training.updates,
        costs={
            name: CostCoverage.of(
                ranges[name].minimum, ranges[name].maximum, found, [draw[name] for draw in draws]
            )
            for name, found in values.items()
        },
        num_steps=training.num_steps,
        num_paths=num_paths,
        kept=num_kept / num_paths,
        left_out=left_out,
    )


def cover_run(run: Path, limits: Mapping[str, float] | None = None) -> Coverage:
    """The coverage of a finished supernet run, or of a search run's supernet under its limits.

    `limits` (`{"max_ops": 3e6}`) go beside those of the search, or in place of one of the same
    name. Limits that a search has on latency are left out.

    Raises:
        UserError: neither run, a supernet that is gone or was trained anew since the search, a
            limit on a cost that is not counted, and all that `cover` refuses.
    """
    asked = dict(limits or {})
    if uncounted := [name for name in asked if name not in COUNTED]:
        raise UserError(f"--limit {uncounted[0]}: expected max_ or min_ of {', '.join(ANALYTIC)}")
    if stage_in(run) != STAGE:
        training = Training.read(run)
        return cover(training, asked, SearchConfig().feasibility_samples, training.seed)
    folder = RunFolder(run, STAGE)
    with as_written(folder.manifest_file):
        config = folder.config
        search = SearchConfig.model_validate(config["search"])
        seed = int(config["seed"])
    known = {**search.limits(), **asked}
    training = Training.read(supernet_of(run))
    with naming(run):  # whose limits may be what nothing keeps
        return cover(
            training,
            {name: limit for name, limit in known.items() if name in COUNTED},
            search.feasibility_samples,
            seed,
            left_out=tuple(name for name in known if name not in COUNTED),
        )


def supernet_of(search_run: Path, place: Path | None = None) -> Path:
    """The run folder of the supernet that a search used, as the search recorded it, or at `place`.

    Raises:
        UserError: it is not there any more, or holds other weights.
    """
    folder = RunFolder(search_run, STAGE)
    with as_written(folder.manifest_file):
        recorded = folder.manifest["inputs"]["supernet"]
        supernet = place or Path(recorded["path"])
    weights = sorted(supernet.glob("*.safetensors"))
    if not weights:
        raise UserError(
            f"{search_run}: its supernet {supernet} is not there (a relative path counts from the "
            f"working folder); give the supernet's run folder and --limit"
        )
    # Of a training in phases the search recorded one of several files.
    if all(sha256_file(file) != recorded["sha256"] for file in weights):
        raise UserError(f"{search_run}: its supernet {supernet} was trained anew since")
    return supernet
