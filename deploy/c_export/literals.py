"""Numbers, texts and names as C writes them, exactly and without surprises for a compiler."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH = 100
PAIR_BITS = 64
"""Bits of one EVOBIT_PAIR."""

_MAX_NAME = 40
_TIED = "\0=\0"  # where a line may not be broken
_PRINTABLE = frozenset(map(chr, range(0x20, 0x7F))) - set('"\\?')  # "??=" would be a trigraph

Fields = Mapping[str, "str | int | Fields"]


def identifier(text: str) -> str:
    """Letters, digits and underscores of a name; safe inside a comment as well."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text[:_MAX_NAME]).strip("_")


def float_literal(value: float) -> str:
    """An fp32 number in hexadecimal, without rounding: 0.15625 is 0x1.4p-3f."""
    text = float(value).hex()
    return re.sub(r"\.?0*p", "p", text) + "f"


def text_literal(text: str) -> str:
    """A string constant in UTF-8; what is not plain ASCII becomes octal."""
    shown = [c if c in _PRINTABLE else "".join(f"\\{b:03o}" for b in c.encode()) for c in text]
    return f'"{"".join(shown)}"'


def float_array(name: str, values: NDArray[np.float32]) -> str:
    """A constant array of floats."""
    return _array(f"float {name}", [float_literal(x) for x in values.ravel().tolist()], 5)


def bit_array(name: str, stream: NDArray[np.uint8]) -> str:
    """A constant stream of bits, bit i in bit i % 8 of byte i // 8; zeros fill the last pair."""
    words = np.zeros(2 * num_pairs(8 * stream.size), "<u4")
    words.view(np.uint8)[: stream.size] = stream
    pairs = words.reshape(-1, 2).tolist()
    words_of = [f"EVOBIT_PAIR(0x{first:08x}u, 0x{second:08x}u)" for first, second in pairs]
    return _array(f"evobit_word {name}", words_of, 2)


def num_pairs(num_bits: int) -> int:
    """Pairs of 32-bit words that hold so many bits."""
    return -(-num_bits // PAIR_BITS)


def struct(kind: str, name: str, comment: str, fields: Fields) -> str:
    """A constant struct, a field a line; the fields are in the order of their declaration."""
    lines = [f"static const {kind} {name} = {{ /* {comment} */"]
    for field, value in fields.items():
        line = f"    .{field} = {_value(value)},".replace(" = ", _TIED)
        lines.append(textwrap.fill(line, WIDTH, subsequent_indent=" " * 8).replace(_TIED, " = "))
    return "\n".join([*lines, "};\n"])


def _value(value: str | int | Fields) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f".{name} = {_value(one)}" for name, one in value.items()) + "}"
    return str(value)


def _array(declaration: str, items: Sequence[str], num_columns: int) -> str:
    rows = [", ".join(items[i : i + num_columns]) for i in range(0, len(items), num_columns)]
    body = ",\n    ".join(rows)
    return f"static const {declaration}[] = {{\n    {body}\n}};\n"
