"""HTML text in which nothing is markup by accident: plain strings are escaped, always."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """Text that is HTML already."""


def tag(name: str, /, *children: str, **attributes: str | None) -> Markup:
    """An element; children that are no `Markup` are escaped. `class_` loses its underscore."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """All of them, one after another."""
    return Markup("".join(c if isinstance(c, Markup) else escape(str(c)) for c in children))


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str, *, text_columns: int = 1
) -> Markup:
    """A table in a box of its own that scrolls sideways; all but its first columns are numbers."""

    def cell(name: str, place: int, child: str) -> Markup:
        scope = "col" if name == "th" else None
        return tag(name, child, scope=scope, class_=None if place < text_columns else "number")

    head = tag("tr", *(cell("th", place, one) for place, one in enumerate(heads)))
    body = [tag("tr", *(cell("td", place, one) for place, one in enumerate(row))) for row in rows]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", head),
            tag("tbody", *body),
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def folded(summary: str, *children: str) -> Markup:
    """What opens on demand."""
    return tag("details", tag("summary", summary), *children)


def copyable(text: str, what: str) -> Markup:
    """Text in a box with a button that copies it."""
    button = tag("button", "Copy", type="button", class_="copy", aria_label=f"Copy {what}")
    return tag("div", tag("pre", tag("code", text), tabindex="0"), button, class_="copyable")
