"""JSON Schemas of configs, from the pydantic models: `python -m docs.generate.schemas`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel

FOLDER = Path(__file__).resolve().parents[1] / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """A schema for each stage's resolved config, and one for a whole config file."""
    made = {f"config-{name}": _of_stage(name, model) for name, model in stages().items()}
    sections: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for schema in made.values():
        sections |= schema["properties"]
        definitions |= schema["$defs"]
    for name, section in sections.items():
        # A section with nothing under it means its defaults.
        sections[name] = {"anyOf": [section, {"type": "null"}]} if name != "space" else section
    made["config"] = {
        "$schema": DRAFT,
        "title": "evobit config",
        "description": "Sections of all stages; each stage reads its own.",
        "type": "object",
        "required": ["space"],
        "additionalProperties": False,
        "properties": sections,
        "$defs": definitions,
    }
    return made


def stages() -> dict[str, type[BaseModel]]:
    """The model of each stage that reads a config."""
    from evaluate.audit.config import AuditStage
    from evaluate.finals.config import FinalsStage
    from evaluate.retrain.config import RetrainStage
    from search.config import SearchStage
    from training.pretraining.config import PretrainStage
    from training.supernet_stage import SupernetStage

    return {
        "supernet": SupernetStage,
        "search": SearchStage,
        "pretrain": PretrainStage,
        "finals": FinalsStage,
        "retrain": RetrainStage,
        "audit": AuditStage,
    }


def write(folder: Path = FOLDER) -> None:
    """Write the files `NAME.schema.json`."""
    for name, schema in schemas().items():
        (folder / f"{name}.schema.json").write_text(text(schema))


def text(schema: dict[str, Any]) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _of_stage(name: str, model: type[BaseModel]) -> dict[str, Any]:
    schema = _finite(model.model_json_schema())
    head = {"$schema": DRAFT, "title": f"evobit config of stage {name}"}
    schema["properties"]["space"] = {
        "description": "The search space: its name and options.",
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "minLength": 1}},
    }
    return {**head, **{key: value for key, value in schema.items() if key != "title"}}


def _finite(value: Any) -> Any:
    """Without pydantic's titles, and with null in defaults that JSON has no number for."""
    if isinstance(value, dict):
        return {
            key: _finite(inner)
            for key, inner in value.items()
            if not (key == "title" and isinstance(inner, str))
        }
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    write()
