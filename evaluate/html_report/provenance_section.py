"""Where everything comes from, and how to repeat it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from evaluate.html_report.html import Markup, copyable, folded, table, tag

Facts = Mapping[str, Any]


def provenance_section(facts: Facts) -> Markup:
    """A card a run, the newest first, and the commands in the order to type them."""
    runs = facts["provenance"]
    return tag(
        "div",
        tag("h3", "To repeat it"),
        tag(
            "p",
            "The commands as they were typed, in their order; an export is told from its file. A "
            "config may have changed since: the resolved one of each run stands below, and as "
            "config.yaml in its folder.",
            class_="note",
        ),
        copyable("\n\n".join(facts["commands"]), "the commands"),
        *map(_run, runs),
    )


def _run(run: Facts) -> Markup:
    facts = [
        tag("div", tag("dt", name), tag("dd", value, class_=_class(name)))
        for name, value in _entries(run)
    ]
    inputs = [
        [one["name"], one["path"], tag("code", one["sha256"]), "yes" if one["is_there"] else "no"]
        for one in run["inputs"]
    ]
    heads = ["input", "path", "SHA-256", "still there"]
    return tag(
        "article",
        tag("h3", f"{run['stage']}: {run['run']}"),
        tag("dl", *facts, class_="facts"),
        *(
            [table(heads, inputs, f"Inputs of the {run['stage']} run", text_columns=4)]
            * bool(inputs)
        ),
        folded(
            "The resolved config",
            copyable(yaml.safe_dump(run["config"], sort_keys=False), "the config"),
        ),
    )


def _entries(run: Facts) -> Iterator[tuple[str, str]]:
    yield "started", _time(run["created"])
    yield "finished", _time(run["finished"]) if run["is_finished"] else "not finished"
    yield "seed", _text(run["seed"])
    yield "git commit", _text(run["git_commit"])
    yield "machine", _text(run["machine"])
    versions = [f"{name} {version}" for name, version in run["versions"].items() if version]
    yield "versions", ", ".join([f"Python {_text(run['python'])}", *versions])
    for name, digest in run["splits"].items():
        yield f"{name} split, SHA-256", digest


def _class(name: str) -> str | None:
    return "hash" if name.endswith("SHA-256") or name == "git commit" else None


def _time(text: str | None) -> str:
    """To the second: "2026-01-02T03:04:05.678+00:00" is shown as "2026-01-02 03:04:05 UTC"."""
    if not text:
        return "unknown"
    return re.sub(r"\.[0-9]+", "", text).replace("T", " ").replace("+00:00", " UTC")


def _text(value: Any) -> str:
    return "unknown" if value is None else str(value)
