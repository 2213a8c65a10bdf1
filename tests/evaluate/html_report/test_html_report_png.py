"""Plots as PNG files: their size, their colours, and what they need."""

import sys
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from resvg_py import svg_to_bytes

from evaluate.html_report.facts.report import collect
from evaluate.html_report.write import drawn, has_font, write_plots
from evobit.main import run
from supernet.charts.svg import Plot
from supernet.files import UserError
from tests.evaluate.html_report.html_report_facts import candidate, make_search

PAPER, INK, BLUE = (0xFF, 0xFF, 0xFF), (0x1D, 0x1F, 0x22), (0x00, 0x67, 0xAD)
"""The light colours of plot.css."""

needs_a_font = pytest.mark.skipif(
    not has_font(svg_to_bytes), reason="this machine has no font (Debian: fonts-dejavu-core)"
)


@pytest.fixture
def searched(tmp_path: Path) -> Path:
    found = [candidate(k, 60.0 + k, 100.0 + k) for k in range(4)]
    return make_search(tmp_path / "run", found).path


@needs_a_font
def test_every_plot_is_drawn_at_twice_its_size(searched: Path, tmp_path: Path) -> None:
    assert run(["report", str(searched), "--png", str(tmp_path / "a")]) == 0
    files = write_plots(collect(searched), tmp_path / "b", "svg")
    assert {file.stem for file in (tmp_path / "a").iterdir()} == {file.stem for file in files}
    for file in files:
        width, height = (float(size) for size in _view_box(file.read_text())[2:])
        image = Image.open(tmp_path / "a" / f"{file.stem}.png")
        assert image.size == (2 * width, 2 * height)
        assert image.convert("RGB").getpixel((0, 0)) == PAPER


def _view_box(svg: str) -> list[str]:
    return svg.split('viewBox="', 1)[1].split('"', 1)[0].split()


@needs_a_font
def test_colours_are_those_of_the_light_page(tmp_path: Path) -> None:
    marks = '<rect class="o1" x="10" width="10" height="20"/>'
    marks += '<rect class="dot-best" x="20" width="10" height="20"/>'
    svg = '<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 20" '
    svg += f'width="30" height="20">{marks}</svg>'
    (tmp_path / "x.png").write_bytes(drawn(Plot("x", "X", svg)))
    image = Image.open(tmp_path / "x.png").convert("RGB")
    assert [image.getpixel((x, 20)) for x in (10, 30, 50)] == [PAPER, BLUE, INK]


def test_without_resvg_a_line_says_what_to_install(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UserError, match="pip install resvg-py"):
        write_plots(collect(searched), tmp_path / "plots", "png")
    assert not (tmp_path / "plots").exists()


def test_a_machine_without_fonts_is_told_what_to_install(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = partial(svg_to_bytes, skip_system_fonts=True)
    assert not has_font(without)
    monkeypatch.setattr("resvg_py.svg_to_bytes", without)
    with pytest.raises(UserError, match="no font was found .* fonts-dejavu-core"):
        write_plots(collect(searched), tmp_path / "plots", "png")
