"""Which networks an audit trains: drawn from the whole space, or in bands of equal OPs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from evaluate.audit.bands import Band, densest_bands
from evaluate.audit.config import AuditConfig
from evaluate.retrain.baselines import MAX_DRAWS, analytic_costs, draw_distinct
from supernet.architecture import Architecture
from supernet.costs.limits import Limit, limits_from, within
from supernet.costs.table import LATENCY
from supernet.files import UserError
from supernet.space import SearchSpace
from supernet.spec import NetworkSpec
from training.seeds import stream

POOL = 4000
"""Networks that bands are looked for among: so many draws, or all of a space that has no more."""


@dataclass(frozen=True)
class Drawn:
    """The audited architectures, band by band, and the number of each one's band.

    Without bands all have number 0.
    """

    architectures: tuple[Architecture, ...]
    bands: tuple[Band, ...] = ()
    of_band: tuple[int, ...] = ()

    @property
    def band_numbers(self) -> np.ndarray:
        """(networks,)"""
        return np.array(self.of_band or [0] * len(self.architectures))


def draw_audited(space: SearchSpace, config: AuditConfig, seed: int) -> Drawn:
    """The networks that `config` asks for, the same for the same seed.

    Raises:
        UserError: limits on latency, or too few networks within the limits or in a band.
    """
    limits = limits_from(config.limits, "audit.limits")
    if any(limit.name == LATENCY for limit in limits):
        raise UserError("audit.limits: latency is not predicted here; limit another cost")
    rng = stream(seed, "audited networks")
    if config.bands:
        return _in_bands(space, limits, config, rng)
    return Drawn(_anywhere(space, limits, config, rng))


def _anywhere(
    space: SearchSpace, limits: Sequence[Limit], config: AuditConfig, rng: Random
) -> tuple[Architecture, ...]:
    """All of a small space, else distinct uniform draws."""
    if space.size <= config.networks:
        found = [one for one in _every(space) if within(limits, analytic_costs(space.decode(one)))]
        wanted, where = 2, "of the whole space"
    else:
        found = draw_distinct(space, limits, config.networks, rng, analytic_costs)
        wanted, where = config.networks, f"in {MAX_DRAWS} draws"
    if len(found) < wanted:
        raise UserError(
            f"audit.networks: found {len(found)} architectures within audit.limits {where}, "
            f"expected {wanted}; loosen the limits or ask for fewer"
        )
    return tuple(found)


def _in_bands(
    space: SearchSpace, limits: Sequence[Limit], config: AuditConfig, rng: Random
) -> Drawn:
    """Uniform draws in each of the bands that hold most networks."""
    is_whole = space.size <= POOL
    if is_whole:
        pool = _distinct(space, limits, _every(space))
        rng.shuffle(pool)  # the first so many are then a draw
    else:
        pool = draw_distinct(space, limits, POOL, rng, analytic_costs)
    ops = [analytic_costs(space.decode(one))["ops"] for one in pool]
    bands = densest_bands(ops, config.bands, config.band_width)
    if len(bands) < config.bands:
        raise UserError(
            f"audit.bands: found {len(bands)} ranges of OPs apart from one another within "
            f"audit.limits, expected {config.bands}; ask for fewer"
        )
    architectures: list[Architecture] = []
    of_band: list[int] = []
    for number, band in enumerate(bands):
        inside = [one for one, ops_of_one in zip(pool, ops, strict=True) if band.holds(ops_of_one)]
        wanted = 2 if is_whole else config.networks
        if len(inside) < wanted:
            raise UserError(
                f"audit.bands: found {len(inside)} networks of {band.min_ops:,.10g} to "
                f"{band.max_ops:,.10g} OPs, expected {wanted}; ask for fewer networks or bands, "
                f"or for a larger band_width"
            )
        taken = inside[: config.networks]
        architectures += taken
        of_band += [number] * len(taken)
    return Drawn(tuple(architectures), tuple(bands), tuple(of_band))


def _every(space: SearchSpace) -> list[Architecture]:
    """All architectures of a space."""
    names = [position.name for position in space.positions]
    rows = itertools.product(*(position.choices for position in space.positions))
    return [Architecture(tuple(zip(names, row, strict=True))) for row in rows]


def _distinct(
    space: SearchSpace, limits: Sequence[Limit], architectures: Iterable[Architecture]
) -> list[Architecture]:
    """One architecture of each network within the limits: choices may be without effect."""
    found: dict[NetworkSpec, Architecture] = {}
    for one in architectures:
        spec = space.decode(one)
        if within(limits, analytic_costs(spec)):
            found.setdefault(spec, one)
    return list(found.values())
