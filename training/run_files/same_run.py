"""Is this the same run? What is said of a setting where it is declared, and what a resume compares.

A stage's settings are marked beside their type, `workers: Annotated[int, CHANGES_NOTHING]`;
what bears no mark must be as the run recorded it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supernet.files import UserError
from supernet.files.plain_data import flatten, plain
from supernet.spaces import space_from_description

if TYPE_CHECKING:
    from pydantic import BaseModel

    from training.stage import Stage


@dataclass(frozen=True)
class Mark:
    """What is said of a setting beside its type."""

    meaning: str


CHANGES_NOTHING = Mark("results are the same: a run is resumed with another value")
CHANGES_ROUNDING = Mark("results differ in their last digits: another run, as good as this one")
CAN_GROW = Mark("a larger number goes on where the run stopped, to the results of that number")
SAME_IMAGES = Mark("where images lie: a run is resumed with another value where hashes agree")
NOT_RECORDED = Mark("no run folder holds it")


@dataclass(frozen=True)
class Difference:
    """A setting that is not what the run has recorded; `name` is dotted."""

    name: str
    was: Any
    now: Any
    growth: int = 0
    """By how much a number has grown that can; negative where it shrank, 0 of anything else."""

    def __str__(self) -> str:
        return f"{self.name} was {self.was!r}, now {self.now!r}"


def marked(model: type[BaseModel], *marks: Mark) -> tuple[str, ...]:
    """Dotted names of the fields of `model`, and of sections within, that bear one of `marks`."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        if any(mark in field.metadata for mark in marks):
            found.append(name)
        elif hasattr(field.annotation, "model_fields"):
            section: Any = field.annotation
            found += [f"{name}.{inner}" for inner in marked(section, *marks)]
    return tuple(found)


def recorded_config(stage: Stage) -> dict[str, Any]:
    """What a run folder of `stage` records: its config, with all options of its space, if any."""
    if not stage.space:  # of a search against a table
        return stage.recorded()
    return {**stage.recorded(), "space": space_from_description(stage.space).describe()}


def differences(
    recorded: Mapping[str, Any],
    config: Mapping[str, Any],
    model: type[Stage] | None = None,
    *but_for: Mark,
) -> list[Difference]:
    """In what a config differs from the one that a run has recorded.

    Settings of `model` that change nothing may differ, and those that bear a mark of `but_for`; so
    may places of images, which are known by their hashes (`split_facts.check_images`).
    Those that the stage or its space has got since are taken to have been at their defaults.
    """
    free = marked(model, CHANGES_NOTHING, SAME_IMAGES, *but_for) if model is not None else ()
    growable = marked(model, CAN_GROW) if model is not None else ()
    old, new = flatten(_with_newer_options(recorded, model)), flatten(plain(config))
    return [
        Difference(name, was, now, _growth(was, now) if name in growable else 0)
        for name in {**old, **new}
        if (was := old.get(name)) != (now := new.get(name))
        and not any(f"{name}.".startswith(f"{one}.") for one in free)
    ]


def _with_newer_options(recorded: Mapping[str, Any], model: type[Stage] | None) -> dict[str, Any]:
    """`recorded` with the options that were added since, at their defaults."""
    config = dict(recorded)
    if model is not None:
        try:
            config = model.of_record(config).recorded()
        except (ValueError, UserError):
            pass  # damaged, or of a program that took what this one refuses
    try:
        space = space_from_description(config.get("space", {}), trusted=False)
    except UserError:
        return config  # no space, or one that this process does not know
    return {**config, "space": plain(space.describe())}


def _growth(was: Any, now: Any) -> int:
    return now - was if isinstance(was, int) and isinstance(now, int) else 0
