"""Every plot alone: places are arithmetic, the XML is whole, and no history is too odd."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evaluate.html_report.facts.history import best_so_far, front, generations, varying_costs
from evaluate.html_report.plots import networks as plot_networks
from evaluate.html_report.plots import search as plot_search
from evaluate.html_report.plots.blocks import blocks
from evaluate.html_report.plots.training import curve_plots
from supernet.charts.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Plot
from tests.evaluate.html_report.html_report_facts import Facts, candidate, row, searched

NS = "{http://www.w3.org/2000/svg}"


def parse(plot: Plot) -> ElementTree.Element:
    """The plot's XML, which is whole and holds nothing that is no number."""
    assert not re.search(r"\b(nan|NaN|inf|None)\b", plot.svg), plot.svg
    root = ElementTree.fromstring(plot.svg)
    assert root.tag == f"{NS}svg" and root.findtext(f"{NS}title") == plot.title
    return root


def point(root: ElementTree.Element, index: int) -> ElementTree.Element:
    """The mark of a candidate, not the ring around it."""
    found = [one for one in root.iter() if one.get("data-c") == str(index)]
    return next(one for one in found if one.get("class") != "ring")


def texts(root: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in root.iter(f"{NS}text")]


def line(root: ElementTree.Element, name: str) -> list[tuple[float, float]]:
    """The points of the longest line of a class; its sample in the legend is the last."""
    lines = []
    for one in root.iter(f"{NS}path"):
        if one.get("class") == name:
            pairs = (one.get("d") or "").lstrip("M").split("L")
            lines.append([(float(x), float(y)) for x, y in map(str.split, pairs)])
    return max(lines, key=lambda points: (len(points), points[-1][0] - points[0][0]))


def place_x(value: float, low: float, high: float, padding: float = 0.05) -> float:
    """Where a value stands between the margins, the range widened at both ends."""
    room = (high - low) * padding
    share = (value - low + room) / (high - low + 2 * room)
    return LEFT + share * (WIDTH - RIGHT - LEFT)


def place_y(value: float, low: float, high: float, padding: float = 0.08) -> float:
    room = (high - low) * padding
    share = (value - low + room) / (high - low + 2 * room)
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


@pytest.fixture
def search(tmp_path: Path) -> Facts:
    """Nine candidates; the sixth failed, the eighth was stopped early with a high guess."""
    top1 = [50.0, 60.0, 55.0, 70.0, 65.0, None, 72.0, 90.0, 71.0]
    ops = [100.0, 200.0, 150.0, 300.0, 120.0, 180.0, 400.0, 110.0, 390.0]
    found = [
        candidate(k, one, cost, images=500 if k == 7 else None)
        for k, (one, cost) in enumerate(zip(top1, ops, strict=True))
    ]
    return searched(tmp_path / "search", found, max_ops=410.0, min_bits=900.0)


def test_a_candidate_stands_at_its_index_and_top1(search: Facts) -> None:
    root = parse(plot_search.progress(search))
    first = point(root, 0)  # random: a circle
    assert float(first.get("cx")) == pytest.approx(place_x(0, 0, 8), abs=0.06)
    assert float(first.get("cy")) == pytest.approx(place_y(50, 50, 90), abs=0.06)


def test_a_candidate_stands_at_its_cost_and_top1(search: Facts) -> None:
    root = parse(plot_search.against_cost(search, "ops"))
    third = point(root, 3)
    # The limit, 410, is on the axis too.
    assert float(third.get("cx")) == pytest.approx(place_x(300, 100, 410), abs=0.06)
    assert float(third.get("cy")) == pytest.approx(place_y(70, 50, 90), abs=0.06)
    assert line(root, "limit")[0][0] == pytest.approx(place_x(410, 100, 410), abs=0.06)
    assert "max 410" in texts(root) and "winner" in texts(root)
    bits = parse(plot_search.against_cost(search, "bits"))
    assert "min 900" in texts(bits) and "max 410" not in texts(bits)


def test_guesses_are_hollow_and_never_the_best(search: Facts) -> None:
    root = parse(plot_search.progress(search))
    assert point(root, 7).get("class") == "o1 guess"
    assert point(root, 5).get("class") == "failed"
    assert {"stopped early", "failed"} <= set(texts(root))
    assert search["winner"] == 6 and search["num_stopped_early"] == 1
    assert search["best_so_far"] == [(0, 50.0), (1, 60.0), (3, 70.0), (6, 72.0)]
    best = min(y for _, y in line(root, "best"))
    assert best == pytest.approx(place_y(72, 50, 90), abs=0.06)


def test_the_front_is_a_staircase(search: Facts) -> None:
    assert search["fronts"]["ops"] == [0, 4, 3, 8, 6]
    steps = line(parse(plot_search.against_cost(search, "ops")), "front")
    for (x, y), (next_x, next_y) in zip(steps, steps[1:], strict=False):
        assert next_x >= x and next_y <= y, "ever dearer, ever better"
        assert x == next_x or y == next_y, "level or upright"


def test_each_origin_has_its_own_shape_and_titles_are_for_who_asks(search: Facts) -> None:
    root = parse(plot_search.progress(search, titled=True))
    tags = [point(root, index).tag.removeprefix(NS) for index in (0, 1, 2)]
    assert tags == ["circle", "rect", "path"]
    said = point(root, 7).findtext(f"{NS}title")
    assert said.startswith("candidate 7 (mutation): about 90 %, stopped after 500 images\n4,8\n")
    assert "failed: out of memory" in point(root, 5).findtext(f"{NS}title")
    assert point(parse(plot_search.progress(search)), 0).find(f"{NS}title") is None


def test_generations_have_quartiles_best_and_median(search: Facts) -> None:
    first = search["generations"][0]
    # Of 50, 55, 60, 70: inclusive quartiles (50 + 3 * 55) / 4, (3 * 60 + 70) / 4.
    assert (first["best"], first["median"]) == (70, 57.5)
    assert (first["lower_quartile"], first["upper_quartile"]) == (53.75, 62.5)
    assert first["origins"] == {"random": 2, "mutation": 1, "crossover": 1}
    assert [one["failed"] for one in search["generations"]] == [0, 1, 0]
    root = parse(plot_search.by_generation(search))
    # Of 62.5 above, 53.75 below; the second has 65 and 72; the third 71 alone.
    low, high = 53.75, 72.0
    assert line(root, "best")[0][1] == pytest.approx(place_y(70, low, high), abs=0.06)


def test_hypervolume_where_it_was_recorded(search: Facts) -> None:
    assert plot_search.hypervolume(search) is None
    root = parse(plot_search.hypervolume({**search, "hypervolumes": [[0, 0.2], [1, 0.4]]}))
    assert line(root, "best")[1][1] == pytest.approx(place_y(0.4, 0.2, 0.4), abs=0.06)


@pytest.mark.parametrize(
    "top1", [[], [70.0], [None], [None, None, None], [70.0, 70.0], [None, 70.0]]
)
def test_odd_histories(tmp_path: Path, top1: list[float | None]) -> None:
    found = [candidate(k, one, 100.0 + k) for k, one in enumerate(top1)]
    facts = searched(tmp_path / "search", found, max_ops=100.0)
    parse(plot_search.progress(facts))
    parse(plot_search.by_generation(facts))
    for cost in ("ops", "bits"):
        if found:
            facts["fronts"].setdefault(cost, [])
            root = parse(plot_search.against_cost(facts, cost))
            assert ("winner" in texts(root)) == any(one is not None for one in top1)
    assert (facts["winner"] is None) == all(one is None for one in top1)


def test_candidates_alone_agree_on_a_cost() -> None:
    found = [candidate(0, 1.0, 5.0), candidate(1, 2.0, 6.0)]
    assert varying_costs(found) == (["ops", "bits"], {"flops": 7})
    assert varying_costs([]) == ([], {})
    assert best_so_far([]) == [] and front([], "ops") == [] and list(generations([])) == []


def test_thousands_are_thinned_and_it_is_said(tmp_path: Path) -> None:
    found = [candidate(k, 50 + (k * 37 % 1000) / 100, 100.0 + k * 61 % 977) for k in range(5000)]
    facts = searched(tmp_path / "search", found)
    plot = plot_search.against_cost(facts, "ops")
    drawn = len([one for one in parse(plot).iter() if one.get("data-c")])
    assert 300 < drawn <= 1201, "1,200 and the ring"
    assert plot.note.endswith("of 5,000 candidates are drawn; the others lie beneath them.")
    assert point(parse(plot), facts["winner"]) is not None


def test_finalists_stand_at_their_means() -> None:
    rows = [row("finalist", [80.0, 82.0], "finalist", half=2.0), row("random 1", [70.0, 75.0])]
    root = parse(plot_networks.finalists({"networks": rows}))
    seeds = [float(one.get("cx")) for one in root.iter() if one.get("class") == "point seed"]
    assert len(seeds) == 4
    interval = line(root, "interval")
    assert sum(x for x, _ in interval) / 2 == pytest.approx((seeds[0] + seeds[1]) / 2, abs=0.1)
    per_point = (seeds[1] - seeds[0]) / 2
    assert interval[1][0] - interval[0][0] == pytest.approx(2 * 2.0 * per_point, abs=0.2)


def test_an_interval_that_is_far_wider_than_the_dots_ends_at_the_axis() -> None:
    root = parse(plot_networks.finalists({"networks": [row("a", [80.0, 80.1], half=50.0)]}))
    (start, _), (end, _) = line(root, "interval")
    assert plot_networks.NAME_WIDTH <= start < end <= WIDTH - RIGHT
    one_seed = parse(plot_networks.finalists({"networks": [row("a" * 40, [80.0])]}))
    assert "a" * 17 + "…" in texts(one_seed)


def test_predicted_against_measured() -> None:
    assert plot_networks.latency([], {"points": [[1, 1]]}) is None
    measured = [
        {"index": 4, "predicted_ms": 2.0, "measured_ms": 2.5, "kept": True},
        {"index": 9, "predicted_ms": 3.0, "measured_ms": 4.0, "kept": False},
    ]
    root = parse(plot_networks.latency(measured, {"points": [[2.0, 2.0]]}))
    tested = next(one for one in root.iter() if one.get("class") == "point o9")
    # Both axes go from 2 to 4, a twentieth wider at either end.
    assert float(tested.get("cx")) == pytest.approx(place_x(2, 2, 4), abs=0.06)
    assert float(tested.get("cy")) == pytest.approx(place_y(2, 2, 4, 0.05), abs=0.06)
    assert [one.get("class") for one in root.iter() if "mean" in (one.get("class") or "")] == [
        "point mean",
        "point mean guess",
        "mean",
    ]
    parse(plot_networks.latency(measured[:1], None))


def test_curves_over_epochs() -> None:
    supernet = {"name": "supernet", "kind": "supernet", "seed": 0, "top1": []}
    training = {
        "stage": "supernet",
        "curves": [{**supernet, "loss": [[0.1, 9.0], [2.0, 3.0], [4.0, 1.0]]}],
    }
    (plot,) = curve_plots(training)
    root = parse(plot)
    # 9.0 in the first twentieth of 4 epochs is beyond the plot, which reaches from 1 to 3.
    drawn = line(root, "curve k0")
    assert drawn[0] == pytest.approx((place_x(2, 0, 4, 0.02), place_y(3, 1, 3, 0.05)), abs=0.06)
    assert plot.note and len(drawn) == 2 and "1" in texts(root)


def test_curves_of_several_networks_and_of_top1() -> None:
    curves = [
        {"name": name, "kind": kind, "seed": 0, "loss": [[1, 2.0], [2, 1.0]], "top1": top1}
        for name, kind, top1 in [("finalist", "finalist", [[1, 50.0]]), ("r", "random", [])]
    ]
    loss, top1 = curve_plots({"stage": "retrain", "curves": curves})
    assert {"finalist", "random"} <= set(texts(parse(loss)))
    assert top1.name == "retrain-top1" and parse(top1) is not None


def block(name: str, **fields: object) -> Facts:
    names = ("kind", "in_channels", "out_channels", "kernel_size", "stride", "groups", "out_size")
    known: Facts = {**dict.fromkeys(names), "kind": "Binary Unit", "ms": None, "ops": 100}
    return {**known, "name": name, "is_binary": True, **fields}


def network(*rows: Facts) -> Facts:
    return {"image_size": 8, "classes": 4, "blocks": list(rows)}


def test_a_block_is_cut_into_its_groups() -> None:
    root = parse(
        blocks(
            network(block("a", out_channels=64, groups=4, stride=2), block("b", out_channels=16))
        )
    )
    bars = [one for one in root.iter() if one.get("class") == "binary"]
    assert len(bars) == 4 + 1
    whole = float(bars[3].get("x")) + float(bars[3].get("width")) - float(bars[0].get("x"))
    # Square roots: 8 of 64 channels, 4 of 16; the last group ends a unit early, as all do.
    assert whole + 1 == pytest.approx(2 * float(bars[4].get("width")), abs=0.1)
    assert "64 /2 g4" in texts(root) and "16" in texts(root)


def test_times_are_drawn_where_they_are_known() -> None:
    ops = parse(blocks(network(block("a", out_channels=8), block("logits"))))
    assert "OPs" in texts(ops) and "100" in texts(ops)
    times = parse(blocks(network(block("a", out_channels=8, ms=0.004), block("b"))))
    assert "µs" in texts(times) and "4" in texts(times)
    parse(blocks(network(block("a", out_channels=2048, groups=2048, ms=3.5))))
    parse(blocks(network()))
