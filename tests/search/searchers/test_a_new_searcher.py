"""A searcher that is no part of the checkout: one class and one entry, and a config knows it."""

import importlib.util
import sys

import pytest

import search.config
from search.run import run_search
from search.searchers import SEARCHERS, Searcher
from search.searchers.base import Share
from search.searchers.operators import mutate
from supernet.candidate import best
from supernet.history_file import read_history


class HillClimbing(Searcher):
    """Mutants of the best one so far."""

    screens = races = takes_objectives = fills_population = True
    _best = ()

    @property
    def size(self):
        return self.config.population

    def shares(self):
        return [Share("step", self.size, self._step)] if self._best else []

    def learn(self, candidates):
        self._best = best([*self._best, *candidates], 1)

    def _step(self):
        return mutate(self.space, self._best[0].architecture, self.rng, 0.0)


@pytest.fixture
def config(monkeypatch):
    """`search.config` as it is where the registry has one entry more when it is read."""
    monkeypatch.setitem(SEARCHERS, "hill", HillClimbing)
    spec = importlib.util.spec_from_file_location("search.config", search.config.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "search.config", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr("search.results.outcome.SearchConfig", module.SearchConfig)
    return module


def test_it_is_a_name_of_the_config(config):
    names = config.SearchConfig.model_json_schema()["properties"]["searcher"]["enum"]
    assert names == [*SEARCHERS] and names[-1] == "hill"
    with pytest.raises(ValueError, match=rf"'{[*SEARCHERS][-2]}' or 'hill'"):
        config.SearchConfig(searcher="hills")


def test_what_it_can_do_is_what_its_class_says(config):
    able = config.SearchConfig(
        searcher="hill", population=4, screen=2, racing={}, objectives=["flops"]
    )
    assert able.minimised == ("flops",)
    assert config.SearchConfig(searcher="hill").minimised == ("ops",)
    for field, names in (
        ({"screen": 2}, "evolution or regularized or (.* or )?hill, not for nsga2"),
        ({"racing": {}}, "evolution or random or (.* or )?hill, not for nsga2"),
    ):
        with pytest.raises(ValueError, match=f"for searcher {names}"):
            config.SearchConfig(searcher="nsga2", **field)
    with pytest.raises(ValueError, match="for searcher nsga2 or (.* or )?hill, not for random"):
        config.SearchConfig(searcher="random", objectives=["ops"])


@pytest.mark.parametrize("given", [{}, {"lag": 3}, {"screen": 3}])
def test_it_runs_and_goes_on_as_every_other(config, space, supernet_run, factory, tmp_path, given):
    def stage(evaluations):
        asked = {"searcher": "hill", "population": 6, "evaluations": evaluations, **given}
        return config.SearchStage(space=space.describe(), search=asked)

    cut, whole = tmp_path / "cut" / "search", tmp_path / "whole" / "search"
    for evaluations in (7, 20):
        run_search(stage(evaluations), cut, supernet_run, scorer_factory=factory)
    run_search(stage(20), whole, supernet_run, scorer_factory=factory)
    assert (cut / "history.jsonl").read_bytes() == (whole / "history.jsonl").read_bytes()
    found = read_history(whole / "history.jsonl", space)
    assert {one.origin for one in found[6:]} >= {"step"}
