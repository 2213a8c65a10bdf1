"""The searcher that works in rounds on a surrogate: what it learns, asks for and leaves alone."""

from random import Random

import numpy as np
import pytest
from scipy.stats import kendalltau

from search.limits.measure import CostMeter
from search.limits.sampling import FeasibleSampler
from search.searchers import SEARCHERS, SearcherConfig
from search.searchers.canonical import Canonical
from search.searchers.gaussian_process import GaussianProcess
from supernet.candidate import Candidate, best
from supernet.costs.limits import limits_from
from supernet.space import Position
from supernet.spaces import space_from_description
from supernet.spaces.wide_binary import WideBinary

ROUNDS = SearcherConfig(population=10, mutations=0, crossovers=0)


@pytest.fixture(scope="module")
def shallow() -> WideBinary:
    """A space whose second block is not there in half of its networks."""
    space = space_from_description(
        {
            "name": "wide-binary",
            "image_size": 32,
            "classes": 10,
            "in_channels": 1,
            "stem_channels": 8,
            "stages": [[16, 1, 1], [32, 2, 2], [64, 2, 2]],
            "widths": [0.5, 1.0],
            "kernels": [3, 5],
            "groups": [1, 2, 4, 8],
        }  # fmt: skip
    )
    assert isinstance(space, WideBinary)
    return space


def truth(architecture) -> float:
    """Grows with each choice's logarithm at its own rate: nothing that a kernel has by heart."""
    numbers = [float(np.log2(float(choice) + 1)) for _, choice in architecture.choices]
    return sum((k % 5 - 2) * number for k, number in enumerate(numbers))


def run(space, name, budget, seed, config=ROUNDS, limits=None, score=truth, noise=0.3):
    """Candidates of a search without a run folder."""
    measure = CostMeter(space)
    sampler = FeasibleSampler(space, measure, limits_from(limits or {}), space.first())
    searcher = SEARCHERS[name](sampler, config, Random(seed))
    noisy, candidates, guessed = Random(seed + 99), [], []
    while len(candidates) < budget:
        told = []
        for proposal in searcher.ask(budget - len(candidates)):
            one = proposal.architecture
            fitness = score(one) + noise * noisy.gauss(0, 1)
            number = len(candidates) + len(told)
            costs = measure(one)
            told.append(
                Candidate(
                    number, one, costs, 50.0, proposal.generation, proposal.origin, loss=-fitness
                )
            )
            if proposal.guess is not None:
                guessed.append((proposal.guess, fitness))
        candidates += told
        searcher.tell(told)
    return candidates, guessed


def test_it_finds_more_than_evolution_and_random_search(wide_space) -> None:
    evolution = SearcherConfig(population=10, parents=5, mutations=5, crossovers=5)
    found = {
        name: np.mean(
            [
                truth(best(run(wide_space, name, 50, seed, config)[0], 1)[0].architecture)
                for seed in range(4)
            ]
        )
        for name, config in (("surrogate", ROUNDS), ("evolution", evolution), ("random", evolution))
    }
    assert found["surrogate"] > found["evolution"] + 1 > found["random"] + 1


def test_rounds_are_predicted_before_they_are_scored(wide_space) -> None:
    _, guessed = run(wide_space, "surrogate", 60, 0)
    assert len(guessed) == 50, "the first ten are scored before anything is known"
    assert kendalltau(*zip(*guessed, strict=True)).statistic > 0.5


def test_no_network_twice_and_limits_kept(shallow) -> None:
    limits = {"max_ops": 40_000}
    candidates, _ = run(shallow, "surrogate", 40, 0, limits=limits)
    assert all(one.costs["ops"] <= 40_000 for one in candidates)
    asked = [one for one in candidates if one.origin == "surrogate"]
    specs = [shallow.decode(one.architecture) for one in asked]
    assert len(set(specs)) == len(specs) >= 24
    assert {one.origin for one in candidates[:10]} == {"random"}
    of_a_round = [one.origin for one in candidates[10:20]]
    assert of_a_round == ["surrogate"] * 9 + ["random"]


def test_a_front_under_objectives(shallow) -> None:
    config = ROUNDS.model_copy(update={"objectives": ("ops",)})

    def score(architecture) -> float:  # dear networks are better: the front is the whole range
        return float(np.log(CostMeter(shallow)(architecture)["ops"]))

    candidates, _ = run(shallow, "surrogate", 50, 0, config, score=score, noise=0.0)
    asked = [one.costs["ops"] for one in candidates if one.origin == "surrogate"]
    alone, _ = run(shallow, "surrogate", 50, 0, score=score, noise=0.0)
    dear = [one.costs["ops"] for one in alone if one.origin == "surrogate"]
    assert np.median(asked) < np.median(dear)
    assert min(asked) < np.quantile([one.costs["ops"] for one in candidates[:10]], 0.2)


def test_failed_candidates_teach_nothing(wide_space) -> None:
    sampler = FeasibleSampler(wide_space, CostMeter(wide_space), (), wide_space.first())
    searcher = SEARCHERS["surrogate"](sampler, ROUNDS, Random(0))
    for _ in range(2):
        told = [
            Candidate(k, one.architecture, {}, None, one.generation, one.origin, "lost")
            for k, one in enumerate(searcher.ask(10))
        ]
        assert {one.origin for one in told} == {"random"}
        searcher.tell(told)


def test_the_predictor_knows_what_it_does_not_know(wide_space) -> None:
    rng = Random(0)
    known = [wide_space.sample(rng) for _ in range(60)]
    other = [wide_space.sample(rng) for _ in range(60)]
    predictor = GaussianProcess(wide_space)
    predictor.fit(known, [truth(one) for one in known])
    seen, unseen = predictor.guess(known), predictor.guess(other)
    assert np.corrcoef(unseen.mean, [truth(one) for one in other])[0, 1] > 0.8
    assert unseen.deviation.mean() > seen.deviation.mean() > 0
    off = np.abs(unseen.mean - [truth(one) for one in other])
    assert np.mean(off < 3 * unseen.deviation) > 0.8
    same = GaussianProcess(wide_space)
    same.fit(known[:5], [1.0] * 5)
    assert same.guess(other).mean == pytest.approx(np.ones(60))


def test_choices_that_are_no_numbers_have_columns_of_their_own(wide_space) -> None:
    class Named(type(wide_space)):  # type: ignore[misc]
        @property
        def positions(self):
            return (
                Position("a", ("x", "y", "z"), "block"),
                Position("b", (0, 1), "block"),
                Position("c", (1, 2, 4), "block"),
                Position("d", (7,), "block"),
            )

    space = Named(image_size=32, classes=10, width=0.25)
    one = space.architecture({"a": "y", "b": 0, "c": 2, "d": 7})
    (row,) = GaussianProcess(space).features([one])
    assert row.tolist() == pytest.approx([0, 1, 0, 1, 0, 0])


def test_one_form_of_one_network(shallow, wide_space) -> None:
    rng, canonical = Random(1), Canonical(shallow)
    changed = 0
    for _ in range(100):
        one = shallow.sample(rng)
        form = canonical(one)
        assert shallow.decode(form) == shallow.decode(one)
        assert canonical(form) == form == shallow.canonical(one)
        changed += form != one
        if dict(one.choices)["stage2.depth"] == 1:
            left_out = [n for n in dict(one.choices) if n.startswith("stage2.block2.")]
            firsts = {p.name: p.choices[0] for p in shallow.positions}
            assert all(form[name] == firsts[name] for name in left_out) and left_out
    assert changed > 30
    one = wide_space.sample(rng)
    assert Canonical(wide_space)(one) is one, "here every choice has an effect"
