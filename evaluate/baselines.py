"""What a found architecture is compared with: uniform and random ones under the same limits."""

from __future__ import annotations

from collections.abc import Mapping

from supernet.architecture import Architecture
from supernet.costs import cost
from supernet.files import UserError
from supernet.limits import within
from supernet.space import SearchSpace
from training.seeds import stream

MAX_DRAWS = 20_000


def fitting_uniform(space: SearchSpace, limits: Mapping[str, float]) -> dict[str, Architecture]:
    """The uniform architectures within the limits, by name."""
    return {
        name: architecture
        for name, architecture in space.uniform_architectures().items()
        if within(cost(space.decode(architecture)).as_dict(), limits)
    }


def uniform_baselines(
    space: SearchSpace, limits: Mapping[str, float], count: int
) -> dict[str, Architecture]:
    """The `count` uniform architectures of most OPs within the limits, by name."""
    fitting = fitting_uniform(space, limits)
    by_ops = sorted(fitting, key=lambda name: -cost(space.decode(fitting[name])).ops)
    return {name: fitting[name] for name in by_ops[:count]}


def random_baselines(
    space: SearchSpace, limits: Mapping[str, float], count: int, seed: int
) -> dict[str, Architecture]:
    """`count` distinct architectures drawn uniformly among those within the limits.

    Raises:
        UserError: not found in 20,000 draws.
    """
    rng = stream(seed, "random baselines")
    found: dict[Architecture, None] = {}
    for _ in range(MAX_DRAWS):
        if len(found) == count:
            break
        architecture = space.sample(rng)
        if within(cost(space.decode(architecture)).as_dict(), limits):
            found[architecture] = None
    if len(found) < count:
        raise UserError(
            f"retrain.random: found {len(found)} of {count} random architectures within the "
            f"limits in {MAX_DRAWS} draws; ask for fewer"
        )
    return {f"random {number}": found_one for number, found_one in enumerate(found, start=1)}
