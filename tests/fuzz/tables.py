"""Damage to tables of latency: the header's document, and cells of rows."""

from __future__ import annotations

import csv
import io
import json
from random import Random

from tests.fuzz.documents import json_text

CELLS = (
    *("", "0", "-1", "nan", "inf", "1e400", "1e-400", "x", "True", "1,5", "0x10", "9" * 400, " "),
    *("1_0", "\0", '"', "ä", "\ud800", "1e308", "[", "{}", "null", "x" * 200_000, "=1+1", "NA"),
    *("binary_unit", "kind groups=x", "kind =", "binary_unit groups=1", "stem in=1", "a b c", "#"),
)


def in_header(rng: Random, content: bytes) -> bytes:
    """The JSON header changed in one to three places."""
    first, _, rows = content.partition(b"\n")
    text = json_text(rng, json.loads(first.removeprefix(b"# ")))
    one_line = " ".join(text.splitlines())
    return b"# " + one_line.encode("utf-8", "surrogatepass") + b"\n" + rows


def in_cells(rng: Random, content: bytes) -> bytes:
    """One to three cells, heads included, hold something else; or a row has more or fewer."""
    head, _, text = content.partition(b"\n")
    has_header = head.startswith(b"# ")
    rows = list(csv.reader(io.StringIO(text.decode() if has_header else content.decode())))
    for _ in range(rng.randint(1, 3)):
        row = rng.choice(rows)
        if rng.random() < 0.1:
            row.append(rng.choice(CELLS))
        elif row and rng.random() < 0.1:
            row.pop()
        elif row:
            row[rng.randrange(len(row))] = rng.choice(CELLS)
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows(rows)
    start = head + b"\n" if has_header else b""
    return start + made.getvalue().encode("utf-8", "surrogatepass")
