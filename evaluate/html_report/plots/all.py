"""All plots of a document of facts, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluate.html_report.plots import finals as plot_finals
from evaluate.html_report.plots import networks as plot_networks
from evaluate.html_report.plots import search as plot_search
from evaluate.html_report.plots import surrogate as plot_surrogate
from evaluate.html_report.plots.blocks import blocks
from evaluate.html_report.plots.training import curve_plots
from supernet.charts.svg import Plot

SECTIONS = (
    "search",
    "costs",
    "surrogate",
    "finals",
    "finalists",
    "blocks",
    "latency",
    "training",
)


def plots(facts: Mapping[str, Any], *, titled: bool = False) -> dict[str, list[Plot]]:
    """The plots by section; a section without any is empty. `titled`: candidates say what they are.

    The page says it of a candidate itself, from its one document.
    """
    search, report = facts["search"], facts["report"]
    found: dict[str, list[Plot]] = {name: [] for name in SECTIONS}
    if search is not None and search["num_candidates"]:
        found["search"] = [
            plot_search.progress(search, titled=titled),
            plot_search.by_generation(search),
        ]
        if (volumes := plot_search.hypervolume(search)) is not None:
            found["search"].append(volumes)
        found["costs"] = [
            plot_search.against_cost(search, cost, titled=titled) for cost in search["costs"]
        ]
    if search is not None and search["surrogate"] is not None:
        learned = (plot_surrogate.worths(search), plot_surrogate.taus(search))
        found["surrogate"] = [plot for plot in learned if plot is not None]
    if facts["finals"] is not None:
        found["finals"] = [plot_finals.rungs(facts["finals"])]
    if report is not None and report["networks"]:
        found["finalists"] = [plot_networks.finalists(report)]
    if facts["network"] is not None:
        found["blocks"] = [blocks(facts["network"])]
    measured = search["measured"] if search is not None else []
    if (predicted := plot_networks.latency(measured, facts["latency"])) is not None:
        found["latency"] = [predicted]
    found["training"] = [plot for one in facts["training"] for plot in curve_plots(one)]
    return found
