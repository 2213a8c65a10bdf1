"""Write the page, or each plot as an SVG of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluate.html_report.page import asset, page
from evaluate.html_report.plots import plots
from evaluate.html_report.svg import Plot
from supernet.files import UserError, check_output, write_text


def write_page(facts: Mapping[str, Any], path: Path) -> int:
    """Write the page; returns its bytes.

    Raises:
        UserError: `path` is a folder.
    """
    check_output(path)
    text = page(facts)
    write_text(path, text)
    return len(text.encode())


def write_plots(facts: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write every plot into `folder` as `<name>.svg`; returns the files.

    Raises:
        UserError: `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file, expected a folder for the plots")
    files = []
    for found in plots(facts, titled=True).values():
        for plot in found:
            files.append(folder / f"{plot.name}.svg")
            write_text(files[-1], standalone(plot))
    return files


def standalone(plot: Plot) -> str:
    """The plot with its style inside, for light and dark."""
    opening, rest = plot.svg.split(">", 1)
    return f"{opening}><style>{asset('plot.css')}</style>{rest}\n"
