"""The page: one self-contained HTML file, made of facts alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluate.html_report.headline import heading, headline
from evaluate.html_report.markup import Markup, joined, tag
from evaluate.html_report.plots.all import plots
from evaluate.html_report.sections import provenance_section, sections
from supernet.costs.table import COSTS

HERE = Path(__file__).parent


def page(facts: Mapping[str, Any]) -> str:
    """The HTML of a document of facts, which it carries as `<script id="report">`.

    Only its own style and script run, by their hashes, and nothing is loaded: a name in a run that
    is HTML could do nothing, even if it were not escaped.
    """
    style = asset("plot.css") + asset("page.css")
    titles = {name: cost.short or cost.title for name, cost in COSTS.items()}
    script = asset("page.js").replace("COST_TITLES", json.dumps(titles))
    found = [*sections(facts, plots(facts)), _provenance(facts)]
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        f"base-uri 'none'; form-action 'none'"
    )
    head = [
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        Markup('<link rel="icon" href="data:,">'),
        tag("title", f"{heading(facts)} · evobit"),
        tag("style", Markup(style)),
    ]
    links = [tag("a", name, href=f"#{id_}") for id_, name, _ in found]
    content = [
        tag(
            "section",
            tag("h2", name, id=f"{id_}-name"),
            text,
            id=id_,
            aria_labelledby=f"{id_}-name",
        )
        for id_, name, text in found
    ]
    made = f"Made {facts['made'].replace('T', ' ').replace('+00:00', ' UTC')} from {facts['run']}."
    body = [
        tag("div", headline(facts), class_="sheet"),
        tag("nav", tag("div", *links), aria_label="Sections"),
        tag("main", *content, class_="sheet"),
        tag("footer", tag("p", made), class_="sheet"),
        tag("div", id="tip", role="status", aria_live="polite", hidden=""),
        Markup(
            f'<script type="application/json" id="report">{embedded(facts)}</script>'
            f"<script>{script}</script>"
        ),
    ]
    html = tag("html", tag("head", *head), tag("body", *body), lang="en")
    return joined([Markup("<!doctype html>\n"), html, Markup("\n")])


def _provenance(facts: Mapping[str, Any]) -> tuple[str, str, Markup]:
    return "provenance", "Provenance", provenance_section(facts)


def embedded(facts: Mapping[str, Any]) -> str:
    """JSON that no HTML parser can leave early: `<`, `>` and `&` are written as escapes."""
    text = json.dumps(facts, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def asset(name: str) -> str:
    """A file of this folder."""
    return (HERE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
