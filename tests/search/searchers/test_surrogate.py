"""The surrogate against scipy's least squares, and what it is for: ordering."""

from random import Random

import numpy as np
import pytest
from scipy.stats import kendalltau

from search.config import SearchConfig
from search.loop import SearchLoop
from search.pools.pool import SerialPool
from search.searchers.surrogate import RIDGE, Surrogate
from supernet.architecture import Architecture
from supernet.candidate import Candidate
from supernet.history_file import History
from supernet.spaces import MobileNetGroups
from tests.search.conftest import SMALL


def candidate(index: int, architecture: Architecture, top1: float | None) -> Candidate:
    failure = "lost" if top1 is None else None
    return Candidate(index, architecture, {"ops": 1}, top1, 0, "random", failure)


def columns(space: MobileNetGroups, architecture: Architecture) -> list[float]:
    chosen = dict(architecture.choices)
    return [
        float(chosen[position.name] == choice)
        for position in space.positions
        for choice in position.choices
    ]


def test_it_is_ridge_regression(space: MobileNetGroups) -> None:
    rng = Random(0)
    drawn = [space.sample(rng) for _ in range(12)]
    scores = [rng.uniform(50, 90) for _ in drawn]
    surrogate = Surrogate(space)
    assert surrogate.guess(drawn[:2]) == [0.0, 0.0]
    scored = [candidate(i, *pair) for i, pair in enumerate(zip(drawn, scores, strict=True))]
    surrogate.learn(scored[:5])
    surrogate.learn([*scored[5:], candidate(12, drawn[0], None)])
    assert surrogate.num_learnt == 12
    x = np.array([columns(space, one) for one in drawn])
    y = np.array(scores)
    # Ridge as least squares: sqrt(RIDGE) I below X, zeros below y.
    wide = np.vstack([x, np.sqrt(RIDGE) * np.eye(x.shape[1])])
    long = np.concatenate([y - y.mean(), np.zeros(x.shape[1])])
    weights = np.linalg.lstsq(wide, long, rcond=None)[0]
    assert surrogate.guess(drawn) == pytest.approx((y.mean() + x @ weights).tolist())


def test_it_orders_a_space_that_is_a_sum(space: MobileNetGroups) -> None:
    rng = Random(1)
    worth = {
        (position.name, choice): rng.gauss(0, 3)
        for position in space.positions
        for choice in position.choices
    }

    def top1(architecture: Architecture) -> float:
        return 70 + sum(worth[item] for item in architecture.choices)

    surrogate = Surrogate(space)
    known = [space.sample(rng) for _ in range(40)]
    surrogate.learn([candidate(i, one, top1(one)) for i, one in enumerate(known)])
    asked = [space.sample(rng) for _ in range(30)]
    tau = kendalltau(surrogate.guess(asked), [top1(one) for one in asked]).statistic
    assert tau > 0.9


def additive(arrays):
    """A scorer to which every group number is worth the same wherever it stands."""
    return lambda architecture: 50.0 + sum(choice for _, choice in architecture.choices)


def run(make_searcher, space, name, path, config):
    """History bytes of a serial search of 60 candidates, and its log's generations."""
    searcher, measure = make_searcher(space, name, config=config)
    generations = []
    with SerialPool(additive, {}) as pool, History(path, space) as history:
        SearchLoop(
            searcher,
            measure,
            history,
            lambda: pool,
            on_candidate=lambda candidate: None,
            log=lambda event, **fields: generations.append(fields),
        ).run(60)
    return path.read_bytes(), generations


def screening(screen, **changed):
    return SMALL.model_copy(update={"screen": screen, **changed})


@pytest.mark.parametrize("name", ["evolution", "regularized"])
@pytest.mark.parametrize("lag", [None, 4])
def test_screened_children_are_better_and_a_resume_draws_them_again(
    wide_space, make_searcher, tmp_path, name, lag
):
    """On a space that is a sum a linear guess is right: the more children, the better the best."""
    means = {}
    for screen in (None, 8):
        config = screening(screen, lag=lag)
        whole, generations = run(make_searcher, wide_space, name, tmp_path / f"{screen}", config)
        top1s = [line.split(b'"top1":')[1].split(b",")[0] for line in whole.splitlines()]
        means[screen] = sum(map(float, top1s[30:])) / 30
        taus = [one["surrogate_tau"] for one in generations if "surrogate_tau" in one]
        assert bool(taus) == (screen is not None)
        if screen:
            if name == "evolution":  # whose generations hold random ones; children are all alike
                assert sum(taus) / len(taus) > 0.3
            cut = tmp_path / "cut"
            cut.write_bytes(whole[: len(whole) // 2])
            again, _ = run(make_searcher, wide_space, name, cut, config)
            assert again == whole
    assert means[8] > means[None] + 2


def test_screening_is_refused_where_top1_does_not_decide() -> None:
    for searcher in ("nsga2", "random"):
        with pytest.raises(ValueError, match="screen orders children by top-1 alone"):
            SearchConfig(searcher=searcher, screen=4)
