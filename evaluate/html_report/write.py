"""Write the page, or each plot as an SVG or a PNG of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from evaluate.html_report.page import asset, page
from evaluate.html_report.plots import plots
from evaluate.html_report.png import drawn
from evaluate.html_report.svg import Plot
from supernet.files import UserError, atomic_write, check_output, write_text


def write_page(facts: Mapping[str, Any], path: Path) -> int:
    """Write the page; returns its bytes.

    Raises:
        UserError: `path` is a folder.
    """
    check_output(path)
    text = page(facts)
    write_text(path, text)
    return len(text.encode())


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
            content = drawn(plot) if kind == "png" else standalone(plot).encode()
            files.append(folder / f"{plot.name}.{kind}")
            with atomic_write(files[-1]) as file:
                file.write(content)
    return files


def standalone(plot: Plot) -> str:
    """The plot with its style inside, for light and dark."""
    opening, rest = plot.svg.split(">", 1)
    return f"{opening}><style>{asset('plot.css')}</style>{rest}\n"
