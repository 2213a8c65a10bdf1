"""A model's card: Markdown beside its file that says what it is, where from and how good.

It begins with the facts that programs read, as YAML, and ends with the hash of all above: so a
card that somebody edited is known, and never overwritten.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from supernet.files import UserError, write_text
from supernet.files.printable import encodable, printable

FORMAT = "evobit/card"
VERSION = 1
FOLDER_CARD = "CARD.md"
"""Of a folder of files."""
NEW_CARD = "CARD.new.md"
LATENCY = "Latency"
NOT_MEASURED = "not measured"

_END = "<!-- evobit card, sha256 of all above: {} -->\n"
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")
_HEADING = re.compile(r"^## (.*)\n\n", re.MULTILINE)


@dataclass(frozen=True)
class Card:
    """`facts` are JSON-able; `sections` are Markdown by heading, in their order."""

    title: str
    facts: Mapping[str, Any]
    sections: Mapping[str, str]

    def text(self) -> str:
        """The file's text; equal cards give equal bytes."""
        facts = {"format": FORMAT, "version": VERSION, **_lines(self.facts)}
        parts = [f"---\n{yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)}---\n"]
        parts.append(f"# {escape(self.title)}\n")
        parts += [f"## {name}\n\n{body.strip()}\n" for name, body in self.sections.items()]
        text = encodable("\n".join(parts) + "\n")
        return text + _END.format(hashlib.sha256(text.encode()).hexdigest())


def card_path(file: Path) -> Path:
    """The card of a file, or of a folder of files."""
    return file / FOLDER_CARD if file.is_dir() else file.with_name(f"{file.name}.md")


def read_card(path: Path) -> Card | None:
    """The card in `path`, as evobit wrote it; None if there is none or somebody edited it."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
    return parse_card(text)


def parse_card(text: str) -> Card | None:
    """The card whose text this is; None if it is not as `Card.text` made it."""
    if not _is_unchanged(text):
        return None
    try:
        _, facts, body = re.split(r"^---\n", text, maxsplit=2, flags=re.MULTILINE)
        title, *rest = _HEADING.split(body.rsplit("<!--", 1)[0])
        pairs = zip(rest[::2], rest[1::2], strict=True)
        sections = {name: section.strip() for name, section in pairs}
        known = yaml.load(facts, _WithoutAliases)
        is_card = known["format"] == FORMAT and known["version"] == VERSION
        if not is_card or not isinstance(known.get("files", []), list):
            return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError):
        return None  # its hash is right, but no card of ours: of another form, or a trap
    return Card(_unescape(title.strip().removeprefix("#").strip()), known, sections)


class _WithoutAliases(yaml.SafeLoader):
    """Plain YAML: 700 bytes of aliases of aliases would be gigabytes once written out."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def write_card(path: Path, card: Card) -> Path | None:
    """Write a card, beside one that somebody edited as `.new.md`; None if that is edited too."""
    new = path.with_name(f"{path.name.removesuffix('.md')}.new.md")
    for place in (path, new):
        if not place.exists() or read_card(place) is not None:
            write_text(place, card.text())
            return place
    return None


def card_to_extend(model: Path) -> Card:
    """The card beside a model, for figures that are to be added.

    Raises:
        UserError: there is none, it was edited, or it is of other bytes than the model's.
    """
    path = card_path(model)
    card = read_card(path)
    if card is None:
        found = "was edited" if path.exists() else "is not there"
        raise UserError(f"--card: {path} {found}, expected a card as `evobit pack` writes it")
    if card.facts.get("files") != [described(model)]:
        raise UserError(f"--card: {path} is the card of another {model.name}; pack it again")
    return card


def with_latency(card: Card, timed: Mapping[str, Any], device: str) -> Card:
    """The card with what `deploy.bench.bench` measured on `device`."""
    rows = {
        "batch": timed["batch"],
        "median, ms": f"{timed['latency_ms']:.4g}",
        "quartiles' distance over the median": f"{timed['spread']:.1%}",
        "rounds": timed["rounds"],
        "device": device,
        "instruction set": timed["isa"] or "none: without compiled kernels",
        "threads": timed["threads"],
    }
    if "torch_fp32_ms" in timed:
        rows["the same network in torch fp32, ms"] = f"{timed['torch_fp32_ms']:.4g}"
        rows["torch fp32 over this"] = f"{timed['torch_fp32_ratio']:.3g}"
    return Card(card.title, card.facts, {**card.sections, LATENCY: table(rows)})


def described(file: Path) -> dict[str, Any]:
    """Name, size and hash of a file."""
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"name": file.name, "bytes": len(content), "sha256": digest}


def table(rows: Mapping[str, Any]) -> str:
    """Names and values as a Markdown table without headings."""
    lines = [f"| {escape(name)} | {escape(_shown(value))} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def escape(text: str) -> str:
    """`text` as one line in which Markdown reads nothing but letters."""
    return _SPECIAL.sub(r"\\\1", printable(" ".join(text.split())))


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown_inside, value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _shown_inside(value: Any) -> str:
    """Of a list: without separators of thousands, which are commas too."""
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_shown_inside, value))})"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _lines(value: Any) -> Any:
    """Each text in one line, so that none looks like the end of the facts."""
    if isinstance(value, Mapping):
        return {str(name): _lines(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_lines(entry) for entry in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def _is_unchanged(text: str) -> bool:
    above, mark, _ = text.rpartition("<!--")
    end = _END.format(hashlib.sha256(above.encode()).hexdigest())
    return bool(mark) and text == above + end
