"""A network block by block: shapes, groups, costs, and milliseconds where a table knows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from supernet.costs import Costs, layer_cost
from supernet.files import UserError
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.spec import BlockSpec, NetworkSpec


def describe(
    description: Mapping[str, Any], choices: Mapping[str, Any], table: Path | None
) -> dict[str, Any]:
    """The network of `choices`: its blocks, and what is unknown of it, in words.

    A space is named by a run folder here, so none of its code is run: one of the user's own must
    have been named before by the caller.

    Raises:
        UserError: a space that this process does not know, choices that are none of it.
    """
    space: SearchSpace = space_from_description(description, trusted=False)
    spec = space.decode(space.architecture(choices))
    notes: list[str] = []
    ms, predicted = _milliseconds(spec, table, notes)
    return {
        "name": spec.name,
        "image_size": spec.image_size,
        "in_channels": spec.in_channels,
        "classes": spec.num_classes,
        "blocks": [
            {**_block(name, block), "ms": ms(block)}
            for name, block in zip(spec.block_names, spec.blocks, strict=True)
        ],
        "predicted_ms": predicted,
        "notes": notes,
    }


def _block(name: str, block: BlockSpec) -> dict[str, Any]:
    """Its shape as far as its kind has one, and its costs."""
    costs = sum(map(layer_cost, block.layers()), Costs())
    into = _first(block, "in_channels", "channels")
    return {
        "name": name,
        "kind": re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(block).__name__.removesuffix("Spec")),
        "in_channels": into,
        "out_channels": _first(block, "out_channels", "channels", "num_classes") or into,
        "kernel_size": _first(block, "kernel_size"),
        "stride": _first(block, "stride"),
        "groups": _first(block, "groups"),
        "in_size": _first(block, "in_size"),
        "out_size": _first(block, "out_size"),
        "shortcut": _first(block, "shortcut"),
        "is_binary": costs.binary_parameters > 0,
        "ops": costs.ops,
        "parameters": costs.parameters,
        "bits": costs.bits,
    }


def _first(block: BlockSpec, *names: str) -> Any:
    """The first of these fields that the block has; None for a value that is no text or number."""
    value = next((getattr(block, name) for name in names if hasattr(block, name)), None)
    return value if isinstance(value, (int, float, str)) else None


def _milliseconds(
    spec: NetworkSpec, table: Path | None, notes: list[str]
) -> tuple[Callable[[BlockSpec], float | None], float | None]:
    """Milliseconds of a block, and of the whole network, by the table; None of what is unknown."""
    if table is None:
        return (lambda block: None), None
    from latency_tables.layer_keys import takes_time
    from latency_tables.predictor import Predictor
    from latency_tables.table import load_table

    try:
        predictor = Predictor(load_table(table))
        known = {block: predictor.layer_ms(block) for block in spec.blocks if takes_time(block)}
        return known.get, predictor(spec)
    except UserError as error:
        notes.append(str(error))
        return (lambda block: None), None


def table_points(table: Path) -> dict[str, Any]:
    """Device, and predicted and measured milliseconds of the networks that tested the table."""
    from latency_tables.table import load_table

    header = load_table(table).header
    held_out = header.held_out
    return {
        "device": header.device,
        "isa": header.isa,
        "threads": header.threads,
        "batch": header.batch,
        "date": header.date,
        "mean_error_percent": held_out.mean_error_percent if held_out else None,
        "points": header.points,
    }
