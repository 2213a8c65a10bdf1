"""Pages of searches that rank by cross-entropy, and of those with a surrogate."""

import json
from pathlib import Path

import pytest

from evaluate.html_report.facts.report import collect
from evaluate.html_report.page import page
from evaluate.html_report.plots import search as plot_search
from evaluate.html_report.plots import surrogate as plot_surrogate
from evaluate.html_report.plots.all import plots
from supernet.candidate import Candidate
from supernet.files import UserError, read_json, write_json
from tests.evaluate.html_report.html_report_facts import Facts, candidate, make_search, searched
from tests.evaluate.html_report.test_html_report_plots import line, parse, place_y, point, texts

LOSSES = [0.9, 0.7, 0.8, None, 0.6, 0.75]
TOP1 = [70.0, 60.0, 75.0, None, 65.0, 80.0]
OPS = [100.0, 300.0, 200.0, 150.0, 400.0, 250.0]
"""By top-1 the last is the best, by cross-entropy the one before it."""


def lossy() -> list[Candidate]:
    errors = [None if loss is None else 0.01 * (k + 1) for k, loss in enumerate(LOSSES)]
    return [candidate(k, TOP1[k], OPS[k], loss=LOSSES[k], loss_error=errors[k]) for k in range(6)]


def finished(path: Path, summary: Facts, **config: object) -> Path:
    """A finished search of `lossy` candidates."""
    made = make_search(path, lossy(), **config)
    manifest = read_json(made.path / "manifest.json")
    write_json(made.path / "manifest.json", {**manifest, "summary": summary})
    return made.path


@pytest.fixture
def search(tmp_path: Path) -> Facts:
    return searched(tmp_path / "search", lossy())


def test_best_front_and_winner_are_those_of_the_loss(search: Facts) -> None:
    assert search["ranked_by"] == "loss" and search["winner"] == 4
    assert search["best_so_far"] == [(0, 0.9), (1, 0.7), (4, 0.6)]
    assert search["fronts"]["ops"] == [0, 2, 5, 1, 4]
    first = search["generations"][0]
    assert (first["best"], first["best_top1"], first["median"]) == (0.7, 60.0, 0.8)
    assert search["candidates"]["columns"][-2:] == ["loss", "loss_error"]
    assert search["candidates"]["rows"][4][-2:] == [0.6, 0.05]


def test_the_plots_are_of_the_loss_and_titles_tell_both(search: Facts) -> None:
    root = parse(plot_search.progress(search, titled=True))
    lowest = max(y for _, y in line(root, "best"))
    assert lowest == pytest.approx(place_y(0.6, 0.6, 0.9), abs=0.06), "less is lower down"
    said = point(root, 4).findtext("{http://www.w3.org/2000/svg}title")
    assert "65 %, cross-entropy 0.6000 ± 0.0500 nats" in said
    assert "cross-entropy, nats: less is better" in texts(root)
    # A failed one stands where the worst would be: above all losses.
    failed = point(root, 3).get("d")
    top = min(float(point(root, k).get("cy")) for k in (0,))
    assert float(failed.split("l")[0].split()[1]) < top
    steps = line(parse(plot_search.against_cost(search, "ops")), "front")
    for (x, y), (next_x, next_y) in zip(steps, steps[1:], strict=False):
        assert next_x >= x and next_y >= y, "ever dearer, ever less"
    assert plot_search.against_cost(search, "ops").title == "Cross-entropy against OPs"
    assert "0.7 nats" in plot_search.by_generation(search).svg


def test_the_page_says_how_sure_it_is(tmp_path: Path) -> None:
    summary = {"search_error": 0.05, "within_noise": 3, "search_loss": 0.6}
    facts = collect(finished(tmp_path / "run", summary))
    winner = facts["winner"]
    assert (winner["search_top1"], winner["search_loss"]) == (65.0, 0.6)
    assert winner["search_error"] == 0.05
    text = page(facts)
    assert "3 of 5 candidates are within noise of the best" in text
    assert "They rank by cross-entropy on the search split" in text
    for shown in ("cross-entropy in the search, nats", "0.6000", "0.0500", "65.00"):
        assert f">{shown}<" in text, shown
    assert "its top-1 %" in text, "of each generation's best, in the table"


def test_a_search_by_top1_names_its_error_and_no_loss(tmp_path: Path) -> None:
    made = make_search(tmp_path / "run", [candidate(k, 60.0 + k, 100.0 + k) for k in range(3)])
    before = page(collect(made.path))
    assert "within noise" not in before and "standard error" not in before
    assert "ross-entropy" not in before.split("<script")[0]
    manifest = read_json(made.path / "manifest.json")
    summary = {"search_error": 1.26, "within_noise": 1}
    write_json(made.path / "manifest.json", {**manifest, "summary": summary})
    after = page(collect(made.path))
    assert "1 of 3 candidates is within noise of the best" in after
    assert ">its standard error over images<" in after and ">1.26<" in after


def row(position: str, choice: object, worth: float) -> Facts:
    return {"position": position, "choice": choice, "worth": worth, "scored": 2}


WORTHS = [
    *(row("block1", choice, worth) for choice, worth in [(1, -0.02), (2, 0.03), (4, -0.01)]),
    *(row("kernel", choice, worth) for choice, worth in [("3x3", 0.015), ("5x5", -0.015)]),
]


def surrogate_search(path: Path) -> Path:
    made = finished(path, {}, searcher="surrogate")
    taus = [(1, 0.5), (0, None), (2, 0.25), (2, 0.75)]
    events = [
        {"event": "generation", "generation": number}
        | ({} if tau is None else {"surrogate_tau": tau})
        for number, tau in taus
    ]
    (made / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    return made


def test_what_the_surrogate_learned_is_drawn(tmp_path: Path) -> None:
    facts = collect(surrogate_search(tmp_path / "run"), worths=lambda _: WORTHS)
    assert facts["search"]["surrogate"] == {"taus": [[1, 0.5], [2, 0.75]], "worths": WORTHS}
    root = parse(plot_surrogate.worths(facts["search"]))
    drawn = [one for one in root.iter() if one.get("class") in ("gain", "less")]
    assert [one.get("class") for one in drawn] == ["less", "gain", "less", "gain", "less"]
    strengths = [float(one.get("fill-opacity")) for one in drawn]
    assert max(strengths) == strengths[1] and min(strengths) == strengths[2]
    assert {"block1", "kernel", "5x5", "+30.0", "-15.0"} <= set(texts(root))
    said = "block1 = 2: +30.0 thousandths of a nat less, 2 candidates"
    assert said in plot_surrogate.worths(facts["search"]).svg
    by_top1 = {**facts["search"], "ranked_by": "top1"}
    assert "block1 = 2: +0.03 points of top-1" in plot_surrogate.worths(by_top1).svg
    drawn_taus = line(parse(plot_surrogate.taus(facts["search"])), "best")
    assert drawn_taus[1][1] == pytest.approx(place_y(0.75, 0.0, 0.75), abs=0.06)
    text = page(facts)
    assert "What each choice is worth beyond its OPs" in text and ">+15.0<" in text


def test_many_choices_have_cells_without_numbers(tmp_path: Path) -> None:
    facts = collect(
        surrogate_search(tmp_path / "run"),
        worths=lambda _: [row("width", k, 0.01 * k) for k in range(31)],
    )
    assert texts(parse(plot_surrogate.worths(facts["search"]))) == ["width"]


def test_only_a_surrogate_search_is_asked(tmp_path: Path) -> None:
    def never(_: Path) -> list[Facts]:
        raise AssertionError

    facts = collect(finished(tmp_path / "run", {}, searcher="evolution"), worths=never)
    assert facts["search"]["surrogate"] is None and plots(facts)["surrogate"] == []


def test_a_surrogate_that_cannot_be_asked_is_missing(tmp_path: Path) -> None:
    def unknown(_: Path) -> list[Facts]:
        raise UserError("a space of their own")

    facts = collect(surrogate_search(tmp_path / "run"), worths=unknown)
    assert "what the surrogate learned: a space of their own" in facts["missing"]
    assert [plot.name for plot in plots(facts)["surrogate"]] == ["taus"]
