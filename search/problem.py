"""What a search is asked for before anything is scored: space, costs, limits, objectives."""

from __future__ import annotations

from typing import NamedTuple

from search.config import SearchStage
from search.limits.feasibility import Feasibility, check_feasibility
from search.limits.hand_made import HandMade, hand_made
from search.limits.latency import Latency, measured_costs, open_latency
from search.limits.measure import CostMeter, Measure
from search.limits.start_with import load_given
from search.objectives import Objectives, loss_of_guessing
from supernet.architecture import Architecture
from supernet.costs.limits import limits_from
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from training.seeds import stream


class Problem(NamedTuple):
    """Everything that a stage asks for and that no supernet is needed to know."""

    space: SearchSpace
    latency: Latency | None
    measure: Measure
    feasibility: Feasibility
    objectives: Objectives | None
    """None where the searcher looks at the fitness alone."""
    given: tuple[Architecture, ...]
    """What is scored first."""
    designs: HandMade
    """What a person would write down; its `first` are scored next."""


def problem_of(stage: SearchStage) -> Problem:
    """Read and check what `stage` asks for.

    Raises:
        UserError: a space of one architecture, an unfit latency table, limits that nothing keeps,
            an unknown objective, or architectures to start with that are none of the space, break
            a limit or come twice.
    """
    asked = stage.search
    space = space_from_description(stage.space)
    space.check_searchable()
    latency = open_latency(asked, space)
    measure = CostMeter(space, measured_costs(latency))
    samples = stream(stage.seed, "feasibility")
    feasibility = check_feasibility(
        space, measure, asked.limits(), asked.feasibility_samples, samples
    )
    costs = asked.minimised
    worst = loss_of_guessing(space) if asked.scoring.fitness == "cross_entropy" else None
    objectives = Objectives.within(costs, feasibility.as_dict(), worst) if costs else None
    given = load_given(asked.start_with or (), space, measure, feasibility.constraints)
    count = asked.most_designs
    designs = hand_made(space, measure, feasibility.constraints, given, count)
    return Problem(space, latency, measure, feasibility, objectives, given, designs)


def designs_of(stage: SearchStage) -> tuple[HandMade, CostMeter]:
    """The hand-made designs of `stage` and what measures them; what else there is does not matter.

    Raises:
        UserError: an unfit latency table, or unfit architectures to start with.
    """
    asked = stage.search
    space = space_from_description(stage.space)
    measure = CostMeter(space, measured_costs(open_latency(asked, space)))
    constraints = limits_from(asked.limits())
    given = load_given(asked.start_with or (), space, measure, constraints)
    return hand_made(space, measure, constraints, given, asked.most_designs), measure
