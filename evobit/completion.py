"""What a shell is told can be typed next, where it is a name that evobit knows; no torch.

The fields of a config are taken from its schema: its models would take seconds to import.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

Schema = Mapping[str, Any]

SCHEMAS = (
    Path(__file__).resolve().parent.parent / "docs" / "schemas" / "config.schema.json",
    Path(sys.prefix) / "share" / "evobit" / "schemas" / "config.schema.json",
)
"""The checkout's, and that of an installed wheel."""


def zoo_models(args: list[str], incomplete: str) -> list[str]:
    """Models that come with evobit; bash takes the colon of `zoo:NAME` for the end of a word."""
    from deploy.zoo_models import zoo_models as models

    typed = [str(one) for one in args]
    behind = typed[-1:] == ["zoo:"] or typed[-2:] == ["zoo", ":"]
    names = [model["name"].removeprefix("zoo:") if behind else model["name"] for model in models()]
    return _beginning(names, incomplete)


def spaces(incomplete: str) -> list[str]:
    """Search spaces by name."""
    from supernet.spaces import SPACES

    return _beginning(SPACES, incomplete)


def networks(incomplete: str) -> list[str]:
    """Published networks by name."""
    from supernet.networks import NETWORKS

    return _beginning(NETWORKS, incomplete)


def fields(incomplete: str) -> list[str]:
    """Fields of a config for `--set`, a level at a time, and the words that one of them takes."""
    schema = next((json.loads(file.read_text()) for file in SCHEMAS if file.is_file()), None)
    if schema is None:
        return []
    dotted, equals, _ = incomplete.partition("=")
    if equals:
        words = [word for node in _at(schema, dotted.split(".")) for word in _words(node)]
        if dotted == "space.name":
            words = spaces("")
        return _beginning((f"{dotted}={word}" for word in dict.fromkeys(words)), incomplete)
    *above, _ = dotted.split(".")
    prefix = "".join(f"{name}." for name in above)
    names = {
        name: any("properties" in inner for inner in _members(schema, field))
        for node in _at(schema, above)
        for name, field in node.get("properties", {}).items()
    }
    if above == ["space"]:
        names.update(dict.fromkeys(_space_options(), False))
    return _beginning(
        (f"{prefix}{name}{'.' if inside else '='}" for name, inside in names.items()), incomplete
    )


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _at(schema: Schema, names: Iterable[str]) -> list[Schema]:
    """What the schema says at dotted names: each member of a union."""
    nodes = [schema]
    for name in names:
        found = [node["properties"][name] for node in nodes if name in node.get("properties", {})]
        nodes = [member for field in found for member in _members(schema, field)]
    return nodes


def _members(schema: Schema, node: Schema) -> Iterator[Schema]:
    """A node, or the members of the union that it is, references followed."""
    if "$ref" in node:
        yield from _members(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
    elif "anyOf" in node:
        for member in node["anyOf"]:
            yield from _members(schema, member)
    else:
        yield node


def _words(node: Schema) -> list[str]:
    """The words that a node names: those of an enumeration, true and false."""
    if node.get("type") == "boolean":
        return ["true", "false"]
    return [str(word) for word in [*node.get("enum", []), *filter(None, [node.get("const")])]]


def _space_options() -> list[str]:
    """Options of all spaces."""
    from supernet.spaces import SPACES, space_class

    found: list[Any] = [space_class(name) for name in SPACES]
    return list(dict.fromkeys(field.name for one in found for field in fields_of(one)))
