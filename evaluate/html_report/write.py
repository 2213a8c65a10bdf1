"""Write the page, or each plot as an SVG or a PNG of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from evaluate.html_report.page import asset, page
from evaluate.html_report.plots.all import plots
from supernet.charts.svg import Plot
from supernet.files import UserError, atomic_write, check_output, write_text


def write_page(facts: Mapping[str, Any], path: Path) -> int:
    """Write the page; returns its bytes.

    Raises:
        UserError: `path` is a folder.
    """
    check_output(path)
    write_text(path, page(facts))
    return path.stat().st_size


def write_plots(
    facts: Mapping[str, Any], folder: Path, kind: Literal["svg", "png"] = "svg"
) -> list[Path]:
    """Write every plot into `folder` as `<name>.svg` or `<name>.png`; returns the files.

    Raises:
        UserError: `folder` is a file, or what draws a PNG is not there.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file, expected a folder for the plots")
    files = []
    for found in plots(facts, titled=True).values():
        for plot in found:
            files.append(folder / f"{plot.name}.{kind}")
            if kind == "svg":
                write_text(files[-1], standalone(plot))
                continue
            content = drawn(plot)  # before a folder is made
            with atomic_write(files[-1]) as file:
                file.write(content)
    return files


def standalone(plot: Plot) -> str:
    """The plot with its style inside, for light and dark."""
    opening, rest = plot.svg.split(">", 1)
    return f"{opening}><style>{asset('plot.css')}</style>{rest}\n"


ZOOM = 2.0


def drawn(plot: Plot) -> bytes:
    """The PNG file, 2 pixels a unit of the plot.

    Raises:
        UserError: resvg-py is not installed, or this machine has no font to write with.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise UserError("--png draws with resvg; pip install resvg-py (the extra 'png')") from None
    colours, style = _light(asset("plot.css"))
    if not has_font(svg_to_bytes):
        raise UserError(
            "no font was found on this machine to write into a PNG (Debian: fonts-dejavu-core)"
        )
    opening, rest = plot.svg.split(">", 1)
    whole = f"{opening}><style>{style}</style>{rest}"
    return bytes(svg_to_bytes(svg_string=whole, zoom=ZOOM, background=colours["paper"]))


def _light(style: str) -> tuple[dict[str, str], str]:
    """The light colours, and the style with the colours in place of their names.

    resvg knows neither `@media`, where the dark colours are, nor custom properties.
    """
    always = re.sub(r"@media[^{]*\{([^{}]*\{[^{}]*\})*\s*\}", "", style)
    colours = dict(re.findall(r"--([a-z-]+): ([^;]+);", always))
    return colours, re.sub(r"var\(--([a-z-]+)\)", lambda name: colours[name[1]], always)


def has_font(svg_to_bytes: Callable[..., bytes]) -> bool:
    """Whether a text leaves a mark; without a font, resvg leaves texts out and says nothing."""
    empty = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20">{}</svg>'
    text = '<text x="2" y="16" font-family="sans-serif">8</text>'
    return svg_to_bytes(svg_string=empty.format(text)) != svg_to_bytes(svg_string=empty.format(""))
