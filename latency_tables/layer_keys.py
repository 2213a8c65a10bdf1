"""The distinct layers that the architectures of a space can contain, and a key for each.

A layer of a table is a block of the network as it runs: a binary unit with its sign, shortcut,
BatchNorm and activation is one, because one pass of a kernel computes them together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from random import Random

from deploy.lowering.network import is_packable
from supernet.architecture import Architecture
from supernet.files import UserError
from supernet.space import SearchSpace
from supernet.spec import BlockSpec, LogitsSpec

MAX_DRAWS = 20_000
"""Random architectures drawn for blocks that no turn through the choices has shown."""


def layer_key(block: BlockSpec) -> str:
    """A text that two blocks share exactly if they are equal: kind and fields.

    Fields at their default are left out: one that is added later, with a default that means what
    was meant before, leaves the keys of measured tables as they are.
    """
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(block).__name__.removesuffix("Spec")).lower()
    values = (
        f"{field.name}={getattr(block, field.name)}"
        for field in fields(block)
        if getattr(block, field.name) != field.default
    )
    return " ".join((kind, *values))


def takes_time(block: BlockSpec) -> bool:
    """Whether anything runs for it: logits are the last layer's values under another name."""
    return not isinstance(block, LogitsSpec)


def distinct_layers(space: SearchSpace) -> dict[BlockSpec, str]:
    """Every block that takes time in any architecture of `space`, with its key."""
    return {
        block: layer_key(block)
        for blocks in space.block_candidates().values()
        for block in blocks
        if takes_time(block)
    }


def layers_in_torch(space: SearchSpace) -> list[str]:
    """Keys of the layers that have no packed operations: their times are torch's."""
    return [key for block, key in distinct_layers(space).items() if not is_packable(block)]


def covering_architectures(space: SearchSpace, turns: int, rng: Random) -> list[Architecture]:
    """Architectures that together contain every layer at least `turns` times, in mixed company.

    In a turn each position goes through its choices once, in an order of its own. Where blocks
    depend on several positions, random architectures are added for those not seen.

    Raises:
        UserError: a layer is in none of a bounded number of architectures.
    """
    found = [one for _ in range(turns) for one in _one_turn(space, rng)]
    missing = set(distinct_layers(space)).difference(*(space.decode(one).blocks for one in found))
    for _ in range(MAX_DRAWS):
        if not missing:
            break
        drawn = space.sample(rng)
        if new := missing.intersection(space.decode(drawn).blocks):
            missing -= new
            found.append(drawn)
    if missing:
        first = min(map(layer_key, missing))
        raise UserError(
            f"space '{space.name}': no architecture with the layer '{first}' was found in "
            f"{MAX_DRAWS:,} draws"
        )
    return found


def _one_turn(space: SearchSpace, rng: Random) -> list[Architecture]:
    orders = {p.name: rng.sample(p.choices, len(p.choices)) for p in space.positions}
    length = max(map(len, orders.values()), default=1)  # without positions, the one architecture
    return [
        space.architecture({name: order[i % len(order)] for name, order in orders.items()})
        for i in range(length)
    ]


def spread_over(values: Sequence[float], count: int) -> list[int]:
    """Indices of `count` values that lie evenly between the least and the greatest, distinct."""
    order = sorted(range(len(values)), key=values.__getitem__)
    low, high = values[order[0]], values[order[-1]]
    chosen: list[int] = []
    for step in range(count):
        target = low + (high - low) * (step + 0.5) / count
        free = (index for index in order if index not in chosen)
        chosen.append(min(free, key=lambda index: abs(values[index] - target)))
    return chosen
