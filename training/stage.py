"""What every stage is asked for, and what of it a run folder records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, Field

from training.data.config import DataConfig, view_rule_of
from training.run_files.same_run import NOT_RECORDED
from training.section import Section


class Stage(Section):
    """A search space and a data set; a stage adds its own section, and the seed."""

    space: dict[str, Any]
    data: DataConfig = Field(default_factory=lambda: DataConfig(name="fashion-mnist-mini"))

    @classmethod
    def of_record(cls, document: Mapping[str, Any]) -> Self:
        """The stage that a run folder holds, with what was added since at its defaults.

        How images are shown is an exception: a run of before goes on as it was begun.

        Raises:
            ValueError, UserError: damaged, or of a program that took what this one refuses.
        """
        if isinstance(data := document.get("data"), Mapping):
            document = {**document, "data": {**data, "view_rule": view_rule_of(data)}}
        return cls.model_validate(document)

    def as_begun(self, record: Mapping[str, Any]) -> Self:
        """The stage as the run that recorded `record` goes on with it.

        What a config leaves open, and was chosen otherwise when the run began, stays as it was.
        """
        return self

    def recorded(self) -> dict[str, Any]:
        """The config as a run folder holds it, with the space as it was given."""
        return _recorded(self)


def _recorded(settings: BaseModel) -> dict[str, Any]:
    """`settings` as JSON has them, without those that are not recorded."""
    fields = type(settings).model_fields.items()
    left_out = {name for name, field in fields if NOT_RECORDED in field.metadata}
    kept = settings.model_dump(mode="json", exclude=left_out)
    sections = {name: getattr(settings, name) for name in kept}
    inner = {name: _recorded(one) for name, one in sections.items() if isinstance(one, BaseModel)}
    return {**kept, **inner}
