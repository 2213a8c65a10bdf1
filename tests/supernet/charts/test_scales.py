"""Scales, ticks, marks and thinning: places are arithmetic, and nothing is no number."""

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evaluate.html_report.markup import Markup, joined, table, tag
from evaluate.html_report.plots.candidates import thin
from supernet.charts.scales import Scale, number, tick_labels
from supernet.charts.svg import SHAPES, element, label, mark, title

numbers = st.floats(-1e12, 1e12)


def test_a_value_lands_where_arithmetic_says() -> None:
    scale = Scale(10.0, 20.0, 100.0, 300.0)
    assert scale(15.0) == 100 + (15 - 10) / (20 - 10) * (300 - 100)
    down = Scale(0.0, 4.0, 250.0, 50.0)
    assert down(1.0) == 250 - 200 / 4
    assert scale.clipped(99.0) == 300 and scale.clipped(-99.0) == 100


def test_a_scale_leaves_room_at_both_ends() -> None:
    scale = Scale.over([0.0, 100.0], 0.0, 110.0, padding=0.05)
    assert (scale.low, scale.high) == (-5, 105)
    assert (scale(0.0), scale(100.0)) == (5, 105)


def test_equal_values_and_none_at_all() -> None:
    assert Scale.over([50.0], 0.0, 100.0)(50.0) == 50
    assert Scale.over([], 0.0, 100.0, padding=0.0)(0.5) == 50
    whole = Scale.over([3], 0.0, 100.0, whole=True)
    assert (whole.low, whole.high) == (2.5, 3.5)


@given(st.lists(numbers, max_size=5), st.integers(2, 8))
@example([5e-324], 2)
@example([0.0, 5e-324], 8)
def test_ticks_are_few_and_inside(values: list[float], most: int) -> None:
    scale = Scale.over(values, 0.0, 100.0)
    ticks = scale.ticks(most)
    assert len(ticks) <= most + 1
    assert all(-0.1 <= scale(tick) <= 100.1 for tick in ticks)
    assert len(tick_labels(ticks)) == len(ticks)


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([48000.0, 50000.0], ["48k", "50k"]),
        ([0.0, 500000.0, 1e6], ["0.0M", "0.5M", "1.0M"]),
        ([83.0, 83.5, 84.0], ["83.0", "83.5", "84.0"]),
        ([5800.0, 5900.0], ["5800", "5900"]),
        ([0.09, 0.1], ["0.09", "0.10"]),
        ([], []),
    ],
)
def test_labels_tell_ticks_apart(ticks: list[float], labels: list[str]) -> None:
    assert tick_labels(ticks) == labels


def test_numbers_for_people() -> None:
    assert [number(n) for n in (54208, 79.766, 0.0939115, 1234.56, None)] == [
        "54,208",
        "79.77",
        "0.09391",
        "1,234.6",
        "–",
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_never_drawn(value: float) -> None:
    with pytest.raises(ValueError):
        element("circle", cx=value)


@pytest.mark.parametrize("shape", SHAPES)
def test_marks_stand_around_their_middle(shape: str) -> None:
    drawn = ElementTree.fromstring(mark(shape, 40.0, 30.0, size=4, said="here & <there>"))
    assert drawn.findtext("title") == "here & <there>"
    if shape == "circle":
        assert (drawn.get("cx"), drawn.get("cy"), drawn.get("r")) == ("40", "30", "4")
    elif shape == "square":
        half = float(drawn.get("width")) / 2
        assert (float(drawn.get("x")) + half, float(drawn.get("y")) + half) == (40, 30)
    else:
        corners = corners_of(drawn.get("d"))
        middle = [sum(axis) / len(corners) for axis in zip(*corners, strict=True)]
        assert middle == pytest.approx([40, 30], abs=0.2)


def corners_of(outline: str) -> list[tuple[float, float]]:
    """Where a path of relative moves turns: `M x y`, then `l dx dy`, `h dx` or `m dx dy`."""
    x = y = 0.0
    corners = []
    for letter, text in re.findall(r"([Mlhm])([-. \d]+)", outline):
        dx, dy = (*map(float, text.split()), 0.0)[:2]
        x, y = (dx, dy) if letter == "M" else (x + dx, y + dy)
        corners.append((x, y))
    return corners


def test_names_stay_text() -> None:
    evil = "<script>alert('1')</script>\x00\"&"
    for drawn in (label(evil, 1.0, 2.0, evil), title(evil), element("g", id=evil)):
        assert "<script" not in drawn
        assert list(ElementTree.fromstring(drawn)) == []
    assert tag("td", evil, title=evil).count("<") == 2
    assert "<script" not in table([evil], [[evil]], evil)
    assert joined([evil, Markup("<b>")]).endswith("<b>")


def test_few_points_are_all_drawn() -> None:
    assert thin([(1.0, 1.0, "a")] * 5, most=5) == [0, 1, 2, 3, 4]


def test_points_that_lie_on_others_go_first() -> None:
    points = [(1.0, 1.0, "a"), (1.2, 1.3, "a"), (1.2, 1.3, "b"), (9.0, 9.0, "a"), (1.4, 1.4, "a")]
    # 1 x 1 squares: 0, 1 and 4 share one, but 2 is of another sort; 4 has to be kept.
    assert thin(points, most=4) == [0, 2, 3]
    assert thin(points, kept=[4], most=4) == [0, 2, 3, 4]


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300), st.sampled_from("ab"))))
def test_thinning_keeps_within_its_number(points: list[tuple[float, float, str]]) -> None:
    drawn = thin(points, most=10)
    assert len(drawn) <= 10 and drawn == sorted(set(drawn))
    assert bool(drawn) == bool(points)
