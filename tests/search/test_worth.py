"""What a surrogate learned: worths of choices whose truth is written down."""

from collections.abc import Callable

import numpy as np
import pytest

from search.config import SearchStage
from search.limits.measure import CostMeter
from search.limits.sampling import all_architectures
from search.results.worth import surrogate_of, worths_in, worths_of
from search.run import run_search
from supernet.architecture import Architecture
from supernet.candidate import Candidate
from supernet.files import UserError
from supernet.spaces.mobilenet_groups import MobileNetGroups

Truth = Callable[[Architecture], float]
WORTH = {1: -2.0, 2: 0.5, 4: 3.0}
"""Of the choices of a space's first position, in points."""


def scored(space: MobileNetGroups, truth: Truth) -> list[Candidate]:
    """All architectures, with their true fitness."""
    return [
        Candidate(index, one, {}, truth(one), 0, "random")
        for index, one in enumerate(all_architectures(space))
    ]


def guesses(truth: Truth) -> Callable:
    return lambda architectures: np.array([truth(one) for one in architectures])


def first_of(one: Architecture) -> float:
    return WORTH[next(iter(one.values()))]


def test_what_a_choice_brings_is_its_worth_where_ops_are_equal(tiny_space) -> None:
    found = worths_of(
        tiny_space, scored(tiny_space, first_of), lambda _: {"ops": 100}, guesses(first_of)
    )
    first, *others = tiny_space.positions
    worths = {(one.position, one.choice): one.worth for one in found}
    assert len(worths) == 9
    for choice, worth in WORTH.items():  # their mean is 0.5
        assert worths[first.name, choice] == pytest.approx(worth - 0.5)
    for position in others:
        for choice in position.choices:
            assert worths[position.name, choice] == pytest.approx(0.0, abs=1e-12)
    assert {one.scored for one in found} == {9}, "each choice in a third of 27 networks"


def test_what_ops_alone_bring_is_worth_nothing(tiny_space) -> None:
    measure = CostMeter(tiny_space)

    def truth(one: Architecture) -> float:
        return 7.0 * np.log(measure(one)["ops"]) - 3.0

    found = worths_of(tiny_space, scored(tiny_space, truth), measure, guesses(truth))
    assert [one.worth for one in found] == pytest.approx([0.0] * 9, abs=1e-9)
    without = worths_of(tiny_space, scored(tiny_space, truth), lambda _: {"ops": 1}, guesses(truth))
    assert max(one.worth for one in without) > 0.05, "which groups do change"


def test_the_surrogate_itself_learns_what_is_there(tiny_space) -> None:
    measure = CostMeter(tiny_space)

    def truth(one: Architecture) -> float:
        return first_of(one) + 7.0 * np.log(measure(one)["ops"])

    candidates = scored(tiny_space, truth)
    learned = worths_of(tiny_space, candidates, measure, surrogate_of(tiny_space, candidates))
    exact = worths_of(tiny_space, candidates, measure, guesses(truth))
    spread = max(abs(one.worth) for one in exact)
    assert spread > 1
    for a, b in zip(learned, exact, strict=True):
        assert a.worth == pytest.approx(b.worth, abs=0.15 * spread)


def test_one_score_teaches_nothing(tiny_space) -> None:
    assert worths_of(tiny_space, [], CostMeter(tiny_space), guesses(first_of)) == []
    one = scored(tiny_space, first_of)[:1]
    assert worths_of(tiny_space, one, CostMeter(tiny_space), guesses(first_of)) == []


def test_a_run_tells_what_its_surrogate_learned(space, supernet_run, factory, tmp_path) -> None:
    search = {"searcher": "surrogate", "population": 6, "evaluations": 18}
    stage = SearchStage(space=space.describe(), search=search)
    run_search(stage, tmp_path / "run", supernet_run, scorer_factory=factory)
    found = worths_in(tmp_path / "run")
    assert {(one["position"], one["choice"]) for one in found} == {
        (position.name, choice) for position in space.positions for choice in position.choices
    }
    for position in space.positions:
        row = [one for one in found if one["position"] == position.name]
        assert sum(one["worth"] for one in row) == pytest.approx(0.0, abs=1e-6)
        assert sum(one["scored"] for one in row) == 18
    with pytest.raises(UserError, match="not the run folder of a search"):
        worths_in(tmp_path)
