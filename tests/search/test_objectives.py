"""The front of a run: reference point, hypervolume in summary and log, and its export."""

import json
import xml.etree.ElementTree as ElementTree
from math import log
from operator import le
from pathlib import Path
from random import Random

import jsonschema
import pytest

from search.config import SearchConfig, SearchStage
from search.objectives import GrowingFront, Objectives
from search.results.export_front import export_front
from search.run import run_search
from search.scoring.tasks import Score
from supernet.architecture_file import load_architecture
from supernet.candidate import Candidate
from supernet.charts.scatter import Dot, Series, chart_svg
from supernet.files import UserError
from supernet.history_file import read_history
from training.run_files.folder import RunFolder

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
SVG = "{http://www.w3.org/2000/svg}"


def stage_of(space, searcher="nsga2", **changed):
    search = {"searcher": searcher, "population": 6, "evaluations": 21, **changed}
    if searcher != "nsga2":
        search |= {"mutations": 3, "crossovers": 2, "parents": 3}
    return SearchStage(space=space.describe(), search=search)


@pytest.fixture
def run(tmp_path):
    """Where the search goes."""
    return tmp_path / "first" / "search"


def brute_force(candidates, *costs):
    """Indices of the front, straight from its definition; the scores are all different."""

    def point(one):
        return (-one.top1, *(one.costs[name] for name in costs))

    return {
        one.index
        for one in candidates
        if not any(
            all(a <= b for a, b in zip(point(other), point(one), strict=True))
            for other in candidates
            if other is not one
        )
    }


@pytest.fixture
def made(space):
    """A candidate with these scores and OPs."""

    def make(index, top1, ops, groups=1):
        failure = "lost" if top1 is None else None
        return Candidate(index, space.uniform(groups), {"ops": ops}, top1, 0, "random", failure)

    return make


def test_hypervolume_by_hand(made):
    objectives = Objectives({"ops": 200.0})
    found = [made(0, 50.0, 150), made(1, None, 10), made(2, 40.0, 100), made(3, 30.0, 200)]
    # The box is 100 percent x 200: 50 x 50 of the first, then 40 x 50 more of the third.
    assert objectives.hypervolume(found) == pytest.approx((50 * 50 + 40 * 50) / (100 * 200))
    curve = [2_500 / 20_000, 2_500 / 20_000, 4_500 / 20_000, 4_500 / 20_000]
    assert list(objectives.curve(found)) == pytest.approx(curve)
    assert [one.index for one in objectives.front(found)] == [2, 0]


def test_a_growing_front_has_the_hypervolume_of_all_candidates(made):
    objectives, rng = Objectives({"ops": 200.0}), Random(0)
    found = [
        made(index, None if rng.random() < 0.1 else float(rng.randrange(40)), rng.randrange(250))
        for index in range(200)
    ]
    front = GrowingFront(objectives)
    for end in (0, 1, 1, 7, 50, 51, 200):
        assert front.hypervolume(found[:end]) == objectives.hypervolume(found[:end])


def test_a_cost_that_nothing_has_leaves_no_volume(made):
    assert Objectives({"ops": 0.0}).hypervolume([made(0, 50.0, 0)]) == 0


def test_of_equal_candidates_the_one_that_ranks_best_stays(made):
    equal = [made(0, 50.0, 100, groups=2), made(1, 50.0, 100, groups=4)]
    (kept,) = Objectives({"ops": 200.0}).front(equal)
    assert kept.architecture.id == min(one.architecture.id for one in equal)


def test_what_a_run_leaves(space, supernet_run, run, factory):
    stage = stage_of(space, objectives=["bits", "ops"], max_ops=6_500)
    summary = run_search(stage, run, supernet_run, scorer_factory=factory)
    found = read_history(run / "history.jsonl", space)
    report = json.loads((run / "feasibility.json").read_text())
    reference = RunFolder(run, "search").manifest["reference_point"]
    dearest = report["costs"]["bits"]["maximum"]
    assert reference == {"top1": 0.0, "bits": dearest, "ops": 6_500}
    assert set(summary["front"]) == brute_force(found, "bits", "ops")
    # The history and the reference point alone give every hypervolume again.
    curve = list(Objectives.at(reference).curve(found))
    assert curve == sorted(curve) and curve[-1] == summary["hypervolume"] > 0
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    logged = [line["hypervolume"] for line in log if line["event"] == "generation"]
    assert logged == [curve[5], curve[11], curve[17], curve[20]]


def test_a_grown_run_keeps_its_reference_point(space, supernet_run, run, factory, tmp_path):
    def files(folder):
        reference = RunFolder(folder, "search").manifest["reference_point"]
        return reference, *((folder / name).read_bytes() for name in ("history.jsonl", "best.json"))

    first = run_search(stage_of(space, evaluations=9), run, supernet_run, scorer_factory=factory)
    # The default objective, named this time: the same config.
    grown = stage_of(space, objectives=["ops"])
    second = run_search(grown, run, supernet_run, scorer_factory=factory)
    assert (first["evaluations"], second["evaluations"]) == (9, 21)
    assert second["hypervolume"] >= first["hypervolume"]
    whole = tmp_path / "whole" / "search"
    assert run_search(grown, whole, supernet_run, scorer_factory=factory) == second
    assert files(run) == files(whole)


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [
        (["latency"], "no objective 'latency'; objectives beside top1 are .*ops, .*bits"),
        (["top1"], "no objective 'top1'"),
        (["ops", "ops"], "named twice"),
    ],
)
def test_wrong_objectives_leave_no_run_folder(
    space, supernet_run, run, factory, objectives, expected
):
    with pytest.raises(UserError, match=expected):
        run_search(
            stage_of(space, objectives=objectives), run, supernet_run, scorer_factory=factory
        )
    assert not run.exists()


def test_objectives_are_for_those_that_take_them():
    with pytest.raises(ValueError, match="for searcher nsga2 or surrogate, not for evolution"):
        SearchConfig(objectives=["ops"])
    with pytest.raises(ValueError, match="at least 1"):
        SearchConfig(searcher="nsga2", objectives=[])
    assert SearchConfig(searcher="nsga2", population=20).minimised == ("ops",)
    rounds = {"searcher": "surrogate", "population": 20}
    assert SearchConfig(**rounds).minimised == ()
    assert SearchConfig(**rounds, objectives=["bits"]).minimised == ("bits",)


@pytest.mark.parametrize("searcher", ["nsga2", "evolution"])
def test_export(space, supernet_run, run, factory, tmp_path, searcher):
    stage = stage_of(space, searcher, max_ops=6_500)
    summary = run_search(stage, run, supernet_run, scorer_factory=factory)
    found = read_history(run / "history.jsonl", space)
    output = tmp_path / "front"
    files = export_front(run, output)
    front = json.loads((output / "front.json").read_text())
    points = front["points"]
    assert {path.name for path in output.iterdir()} == {path.name for path in files}
    assert [path.name for path in files] == [
        *(p["file"] for p in points),
        "front.json",
        "front.svg",
    ]
    assert {point["index"] for point in points} == brute_force(found, "ops")
    assert front["reference"] == {"top1": 0.0, "ops": 6_500} and front["evaluations"] == 21
    assert front["objectives"]["ops"] == {"goal": "minimise", "unit": "operations"}
    assert front["hypervolume"] == Objectives({"ops": 6_500.0}).hypervolume(found)
    if searcher == "nsga2":
        assert front["hypervolume"] == summary["hypervolume"]
    costs = [point["costs"]["ops"] for point in points]
    assert costs == sorted(costs)
    for point in points:
        _, architecture, document = load_architecture(output / point["file"], expected_space=space)
        assert architecture == found[point["index"]].architecture
        assert document["costs"] == point["costs"]
        provenance = document["provenance"]
        assert (provenance["index"], provenance["top1"]) == (point["index"], point["top1"])


def test_the_plot_shows_the_numbers_of_front_json(space, supernet_run, run, factory, tmp_path):
    run_search(stage_of(space), run, supernet_run, scorer_factory=factory)
    export_front(run, tmp_path)
    points = json.loads((tmp_path / "front.json").read_text())["points"]
    root = ElementTree.parse(tmp_path / "front.svg").getroot()
    (faint,), (strong,) = (
        root.findall(f"{SVG}g[@class='{name}']") for name in ("candidates", "front")
    )
    assert len(faint) == 21 and len(strong) == len(points) > 1
    titles = [circle.find(f"{SVG}title").text for circle in strong]
    assert titles == [
        f"{point['file']}: ops {point['costs']['ops']}, top1 {point['top1']}" for point in points
    ]
    line = root.find(f"{SVG}polyline").get("points").split()
    assert line == [f"{circle.get('cx')},{circle.get('cy')}" for circle in strong]
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {"ops (operations)", "top-1 on the search split (percent)"} <= texts
    assert root.get("fill") == "currentColor"


def test_dots_lie_where_the_axes_say():
    ends = [Dot(0.0, 80.0), Dot(10_000.0, 90.0, "<& it is escaped")]
    root = ElementTree.fromstring(chart_svg([Series("front", ends, line=True)], "ops", "top-1"))
    at = {text.text: text for text in root.iter(f"{SVG}text")}
    low, high = root.find(f"{SVG}g[@class='front']")
    assert (low.get("cx"), high.get("cx")) == (at["0k"].get("x"), at["10k"].get("x"))
    for dot, label in ((low, "80"), (high, "90")):
        assert float(dot.get("cy")) == float(at[label].get("y")) - 4


def test_a_front_of_one_point(space, supernet_run, run, factory, tmp_path):
    run_search(stage_of(space, evaluations=1), run, supernet_run, scorer_factory=factory)
    names = [path.name for path in export_front(run, tmp_path / "front")]
    assert names == ["architecture-1.json", "front.json", "front.svg"]
    root = ElementTree.parse(tmp_path / "front" / "front.svg").getroot()
    assert len(root.find(f"{SVG}polyline").get("points").split()) == 1


def test_another_front_replaces_an_earlier_one(space, supernet_run, run, factory, tmp_path):
    run_search(stage_of(space, "random"), run, supernet_run, scorer_factory=factory)
    found = read_history(run / "history.jsonl", space)
    output = tmp_path / "front"
    output.mkdir()
    (output / "architecture-mine.txt").write_text("kept")
    three = export_front(run, output, ["ops", "bits"])
    assert len(three) - 2 == len(brute_force(found, "ops", "bits"))
    # An unfinished run: the front so far.
    history = run / "history.jsonl"
    history.write_bytes(b"".join(history.read_bytes().splitlines(keepends=True)[:1]) + b'{"ind')
    export_front(run, output)
    assert sorted(path.name for path in output.iterdir()) == [
        "architecture-1.json", "architecture-mine.txt", "front.json", "front.svg",
    ]  # fmt: skip


def test_refusals_write_nothing(space, supernet_run, run, factory, tmp_path):
    output = tmp_path / "front"
    with pytest.raises(UserError, match="not the run folder of a search"):
        export_front(supernet_run, output)
    run_search(stage_of(space), run, supernet_run, scorer_factory=factory)
    with pytest.raises(UserError, match="no objective 'ms'"):
        export_front(run, output, ["ms"])
    assert not output.exists()
    output.write_text("a file")
    with pytest.raises(UserError, match="is a file, expected a folder"):
        export_front(run, output)
    (run / "history.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match="no scored candidate yet"):
        export_front(run, tmp_path / "other")


@pytest.mark.parametrize("searcher", ["nsga2", "evolution"])
def test_the_front_of_a_search_by_cross_entropy(
    space, supernet_run, run, score, tmp_path, searcher
):
    def by_loss(architecture):
        found = score(architecture)
        # Higher top-1 goes with higher loss here: the two fronts differ.
        return Score(found, loss=found / 100, loss_error=0.01)

    stage = stage_of(space, searcher, scoring={"fitness": "cross_entropy"})
    run_search(stage, run, supernet_run, scorer_factory=lambda _: by_loss)
    found = read_history(run / "history.jsonl", space)
    export_front(run, tmp_path / "front", ["ops", "bits"])
    front = json.loads((tmp_path / "front" / "front.json").read_text())
    costs = [(one.loss, one.costs["ops"], one.costs["bits"]) for one in found]
    expected = {
        k
        for k, mine in enumerate(costs)
        if not any(all(map(le, other, mine)) and other != mine for other in costs)
    }
    assert {point["index"] for point in front["points"]} == expected
    assert list(front["objectives"]) == ["loss", "ops", "bits"]
    assert front["objectives"]["loss"] == {"goal": "minimise", "unit": "nats"}
    assert front["reference"]["loss"] == pytest.approx(log(space.classes))
    assert 0 < front["hypervolume"] < 1
    for point in front["points"]:
        assert point["loss"] == found[point["index"]].loss and point["loss_error"] == 0.01
        document = load_architecture(tmp_path / "front" / point["file"])[2]
        provenance = document["provenance"]
        assert (provenance["loss"], provenance["loss_error"]) == (point["loss"], 0.01)
        assert "top1_error" not in provenance, "of a scorer of one's own nobody knows the images"
    svg = (tmp_path / "front" / "front.svg").read_text()
    assert "cross-entropy on the search split (nats)" in svg
    assert f"loss {front['points'][0]['loss']}" in svg
    schema = json.loads((SCHEMAS / "front.schema.json").read_text())
    jsonschema.validate(front, schema)
