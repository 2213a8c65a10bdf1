"""Text for a terminal: what a stranger's file holds moves no cursor and hides nothing."""

from __future__ import annotations

import unicodedata

TURNS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn the direction of writing."""

LONGEST = 300
"""Characters of a cell of a table; of a line seven times as many."""


def printable(text: str, longest: int | None = None) -> str:
    """`text` with its control characters shown (`\\x1b`), in lines; its middle cut if too long.

    So are those that turn the direction of writing, and halves of characters, which no terminal
    can be sent.
    """
    if longest is not None and len(text) > longest:
        half = longest // 2
        text = f"{text[:half]} ... ({len(text) - 2 * half:,} more characters) ... {text[-half:]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def encodable(text: str) -> str:
    """`text` as UTF-8 can hold it: halves of characters, as odd paths have them, are shown."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shown(character: str) -> str:
    if character in "\n\t" or character.isprintable() or character == " ":
        return character
    kind = unicodedata.category(character)
    if kind in ("Zs", "Zl", "Zp"):
        return " "
    is_hidden = kind in ("Cc", "Cs") or character in TURNS
    return character.encode("unicode_escape").decode() if is_hidden else character
