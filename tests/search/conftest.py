"""A tiny space, a fake scorer, and one way to run a searcher over them."""

import hashlib
from random import Random

import pytest

from search.limits.feasibility import check_feasibility
from search.limits.measure import CostMeter
from search.limits.sampling import FeasibleSampler
from search.loop import SearchLoop
from search.pools.pool import SerialPool
from search.searchers import SEARCHERS, SearcherConfig
from supernet.files import save_weights
from supernet.history_file import History

SMALL = SearcherConfig(population=6, parents=3, mutations=3, crossovers=2, children=4, tournament=3)


@pytest.fixture(scope="session")
def score():
    """A fixed pretend top-1 of an architecture; nested, so that Ray ships it by value."""

    def fake_top1(architecture):
        digest = hashlib.sha256(str(architecture).encode()).digest()
        return round(50 + sum(digest[:4]) / 25.5, 2)

    return fake_top1


@pytest.fixture
def factory(score):
    """A scorer factory that needs no arrays."""
    return lambda arrays: score


@pytest.fixture(scope="session")
def make_searcher():
    """From a space and a searcher's name to the searcher and its cost meter."""
    reports = {}

    def make(space, name, *, limits=None, seed=0, config=SMALL):
        asked = (space, tuple((limits or {}).items()))
        if asked not in reports:
            measure = CostMeter(space)
            found = check_feasibility(space, measure, limits or {}, 100, Random(0))
            reports[asked] = measure, found
        measure, found = reports[asked]
        sampler = FeasibleSampler(space, measure, found.constraints, found.start)
        return SEARCHERS[name](sampler, config, Random(seed)), measure

    return make


@pytest.fixture
def search(make_searcher, factory):
    """Run a searcher into a history file; returns its candidates."""

    def run(space, name, path, budget, *, pool=None, on_candidate=None, **options):
        searcher, measure = make_searcher(space, name, **options)
        with pool or SerialPool(factory, {}) as started, History(path, space) as history:
            loop = SearchLoop(
                searcher,
                measure,
                history,
                lambda: started,
                on_candidate=on_candidate or (lambda candidate: None),
                log=lambda event, **fields: None,
            )
            loop.run(budget)
            return history.candidates

    return run


@pytest.fixture
def supernet_run(tmp_path, space):
    """The folder of a finished supernet run, as far as a search with a fake scorer looks at it."""
    import torch

    from training.run_files.folder import RunFolder
    from training.supernet_stage import SupernetStage

    stage = SupernetStage(space=space.describe())
    folder = RunFolder.open(tmp_path / "supernet", "supernet", stage.model_dump(mode="json"))
    save_weights(folder.path / "supernet.safetensors", {"weight": torch.zeros(1)})
    folder.finish({})
    return folder.path
