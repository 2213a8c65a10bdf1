"""Damage to what a document means: JSON and YAML that can be read and hold nonsense.

Where JSON or YAML can say what no Python value is (a field twice, NaN, 100,000 brackets), a mark
stands in the changed document and its text is put there once the document is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

import yaml

Path = tuple[Any, ...]

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 255, 2**31, 2**63, 2**64, -(2**63), 10**400),
    *(0.5, -0.5, 1e-320, 1e30, 1e308, -1e308),
    *("", " ", "x", "1", "true", "nan", "\0", "ä€😀", "\u202e", "a\nb", "../../x", "/", "."),
    *("x" * 300, "x" * 70_000, "%s %d {0} {x}", "[red]x[/red]", "[/]", "zoo:x", "x.py:X"),
    *([], {}, [[]], [None], [1, "x"], {"x": 1}, {"name": "x"}, [0] * 300, ["x"] * 3000),
)
"""What a value is replaced by."""

DEPTHS = (50, 900, 5_000, 100_000)

JSON_TEXTS: tuple[str, ...] = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-0", "1" * 5000, "0x10", "01", "'x'", ""),
    *('"\\ud800"', '"\\udc00 x"', '"\\u0000"', "[1,]", "nul", "//", "1 2"),
    *("[" * depth + "]" * depth for depth in DEPTHS),
    *('{"x":' * depth + "1" + "}" * depth for depth in DEPTHS),
)

_BOMB = (
    "[&a0 [x, x, x, x, x, x, x, x, x], "
    + ", ".join(f"&a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 10))
    + "]"
)
"""Nine in nine in nine: 9^10 values, were they written out."""

YAML_TEXTS: tuple[str, ...] = (
    _BOMB,
    *("{x: " + "[" * depth + "]" * depth + "}" for depth in DEPTHS[:3]),
    *("&a [*a]", "&a {x: *a}", "*nowhere", "&a 1", "{<<: 1}", "{<<: {a: 1}}", "{? [a, b] : c}"),
    *("{? {a: 1} : c}", "{x: 1, x: 2}", "{1: 2}", "{null: 1}", "{[x]: 1}", "{1.5: x, true: y}"),
    *("!!python/object/apply:os.mkdir [ran]", "!!python/name:os.system", "!own x", "!!set {a, b}"),
    *('!!binary "zzz="', "!!timestamp 2001-99-99", "2001-99-99", "2001-01-01", "!!omap [a: 1]"),
    *("!!float x", "!!int x", "!!int ''", "!!bool x", "!!null x", "0b", "0x_", "0o9", "1:99:99"),
    *("190:20:30", "1_000", ".inf", "-.INF", ".nan", "1e400", "+1e5", "1e99999", "~", "'", '"'),
    *('"\\x00"', '"\\ud800"', '"\\UFFFFFFFF"', "\t", "|", "> x", "--- x", "... ", "%YAML 9.9"),
    *("\0", "\x1b[31m", "@", "`", "9" * 5000, "on", "y", "{x", "[x", "- x", "x: y: z"),
)


class _Marks:
    """Names for texts that stand in a document until it is written."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._put: dict[str, str] = {}

    def any(self, rng: Random) -> str:
        return self.of(rng.choice(self._texts))

    def of(self, text: str) -> str:
        mark = f"MARK{len(self._put)}MARK"
        self._put[mark] = text
        return mark

    def written(self, text: str) -> str:
        for mark, put in self._put.items():
            text = text.replace(f'"{mark}"', put).replace(mark, put)
        return text


def json_text(rng: Random, document: Any) -> str:
    """The document as JSON, changed in one to three places."""
    marks = _Marks(JSON_TEXTS)
    changed = changed_document(rng, document, marks)
    return marks.written(json.dumps(changed, indent=rng.choice((None, 2))))


def yaml_text(rng: Random, document: Any) -> str:
    """The document as YAML, changed in one to three places."""
    marks = _Marks(YAML_TEXTS)
    changed = changed_document(rng, document, marks)
    style = rng.choice((None, False))
    return marks.written(yaml.safe_dump(changed, sort_keys=False, default_flow_style=style))


def in_json(rng: Random, content: bytes) -> bytes:
    """A damage to a file of one JSON document."""
    return json_text(rng, json.loads(content)).encode("utf-8", "surrogatepass")


def in_json_lines(rng: Random, content: bytes) -> bytes:
    """A damage to one line of a file of JSON lines."""
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    text = json_text(rng, json.loads(lines[at]))
    lines[at] = " ".join(text.splitlines()).encode("utf-8", "surrogatepass")
    return b"\n".join(lines) + b"\n"


def in_yaml(rng: Random, content: bytes) -> bytes:
    """A damage to a file of YAML."""
    return yaml_text(rng, yaml.safe_load(content)).encode("utf-8", "surrogatepass")


def changed_document(rng: Random, document: Any, marks: _Marks | None = None) -> Any:
    """A copy of a document of JSON's kinds, changed in one to three places."""
    root = {"": json.loads(json.dumps(document))}
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        paths = list(_paths(root))
        _put(root, rng.choice(paths), rng.choice(CHANGES), rng, marks or _Marks(("x",)))
    return root[""]


def _paths(value: Any, above: Path = ()) -> list[Path]:
    """Where every value below is."""
    inner = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value[:20]))
        if isinstance(value, list)
        else []
    )
    return [found for key, part in inner for found in ((*above, key), *_paths(part, (*above, key)))]


def _put(root: Any, path: Path, change: Change, rng: Random, marks: _Marks) -> None:
    holder = root
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1], rng, marks)


def _value(rng: Random) -> Any:
    return deepcopy(rng.choice(VALUES))


def _another_value(holder: Any, key: Any, rng: Random, marks: _Marks) -> None:
    holder[key] = _value(rng)


def _another_text(holder: Any, key: Any, rng: Random, marks: _Marks) -> None:
    holder[key] = marks.any(rng)


def _another_size(holder: Any, key: Any, rng: Random, marks: _Marks) -> None:
    """A number a little or much larger, negative, or with a fraction."""
    value = holder[key]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300:
        more = (value + 1, value - 1, -value, value * 1000, value * 10**12, value / 3, str(value))
        holder[key] = rng.choice(more)
    else:
        holder[key] = _value(rng)


def _gone(holder: Any, key: Any, rng: Random, marks: _Marks) -> None:
    if key == "":
        holder[key] = None
    else:
        del holder[key]


def _beside(holder: Any, key: Any, rng: Random, marks: _Marks) -> None:
    """A field or an entry more."""
    if isinstance(holder, list):
        holder.insert(key, deepcopy(rng.choice((holder[key], _value(rng)))))
    elif key != "":
        name = rng.choice(("x", "name", "", "x" * 300, "ä€", "\ud800", "__class__", "a.b"))
        holder[name] = _value(rng)


def _twice(holder: Any, key: Any, rng: Random, marks: _Marks) -> None:
    """A field twice, or a list many times."""
    if isinstance(holder, dict) and key != "":
        # Its name's mark is written as the name itself, so that it stands twice.
        holder[marks.of(json.dumps(key))] = _value(rng)
    elif isinstance(holder[key], list):
        holder[key] = holder[key] * rng.choice((2, 100))


def _renamed(holder: Any, key: Any, rng: Random, marks: _Marks) -> None:
    if isinstance(holder, dict) and key != "":
        holder[rng.choice((key + "s", key[:-1], key.upper(), ""))] = holder.pop(key)


def _wrapped(holder: Any, key: Any, rng: Random, marks: _Marks) -> None:
    holder[key] = rng.choice(([holder[key]], {"x": holder[key]}, str(holder[key])))


def _exchanged(holder: Any, key: Any, rng: Random, marks: _Marks) -> None:
    other = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    holder[key], holder[other] = holder[other], holder[key]


Change = Callable[[Any, Any, Random, _Marks], None]
CHANGES: tuple[Change, ...] = (
    *(_another_value, _another_value, _another_text, _another_text, _another_size, _another_size),
    *(_gone, _beside, _twice, _renamed, _wrapped, _exchanged),
)
