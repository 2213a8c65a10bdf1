"""A section of a config: what all of them are, and the refusal of what one would not use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

MAY_BE_PATH = "may be a path"
"""Of a text: beside its type, `teacher: Annotated[str, MAY_BE_PATH]`."""


class Section(BaseModel):
    """Settings that do not change once they are read; an unknown name is an error.

    Where a path is wanted, a whole number is one, as YAML reads `root: 2024`, and `~` is the home;
    so too in a text that bears the mark `MAY_BE_PATH`, and in each of several paths.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _as_path(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields.get(info.field_name or "")
        if field is None or not (_is_path(field.annotation) or MAY_BE_PATH in field.metadata):
            return value
        return list(map(_path, value)) if isinstance(value, (list, tuple)) else _path(value)


def _path(value: Any) -> Any:
    if type(value) is int:
        return str(value)
    return os.path.expanduser(value) if isinstance(value, str) else value


def _is_path(annotation: Any) -> bool:
    """Whether a field holds a path or several, or may."""
    return annotation is Path or any(map(_is_path, get_args(annotation)))


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
