"""A section of a config: what all of them are, and the refusal of what one would not use."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings that do not change once they are read; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


UsedWith = Mapping[str, tuple[str, tuple[str, ...]]]
"""A field, the field that decides whether it is used, and the values of that one that use it."""


def refuse_ignored(section: BaseModel, used_with: UsedWith) -> None:
    """Refuse a field that is set though what was chosen makes no use of it.

    Raises:
        ValueError: names the field, what it is for and what was chosen.
    """
    for field, (chooser, users) in used_with.items():
        chosen = getattr(section, chooser)
        default = type(section).model_fields[field].get_default(call_default_factory=True)
        if chosen not in users and getattr(section, field) != default:
            what = "" if chooser == "name" else f"{chooser} "
            raise ValueError(f"{field} is for {what}{' or '.join(users)}, not for {chosen}")
