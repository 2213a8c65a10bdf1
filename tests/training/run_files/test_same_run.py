"""Is this the same run? Marked settings may differ, every other one may not; older runs resume."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from docs.generate.schemas import stages
from search.config import SearchStage
from supernet.files.plain_data import plain
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.run_files.same_run import (
    CAN_GROW,
    CHANGES_NOTHING,
    CHANGES_ROUNDING,
    NOT_RECORDED,
    SAME_IMAGES,
    Mark,
    differences,
    marked,
    recorded_config,
)
from training.stage import Stage
from training.supernet_stage import SupernetStage

RESUME = Path(__file__).parents[3] / "docs" / "resume.md"
SPACE = MobileNetGroups(image_size=8, width=0.25).describe()
STAGES = stages()
OTHERS: tuple[Any, ...] = (
    *(True, False, 1, 2, 3, 0.25, 3.5, 64, 512, "a:b", [], [2], [0.5, 0.25], ["bits"], [{}]),
    *({"max_ops": 5.0}, {}, {"teacher": "a.safetensors"}, {"from_epoch": 1}),
    *([{"rule": "strict-fairness"}], {"name": "cutout", "probability": 1, "size": 3}),
)
"""Of which every setting takes one that it does not have, if it takes no words."""


def stage_of(name: str) -> Any:
    """A stage at its defaults; of a search with the searcher that heeds most settings."""
    own = {"search": {"searcher": "nsga2", "designs": False}} if name == "search" else {}
    return STAGES[name](space=SPACE, **own)


def leaves(model: BaseModel, above: str = "") -> Iterator[tuple[str, BaseModel, str]]:
    """Every setting of a stage as it stands: its dotted name, its section, its own name."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{above}{name}.")
        elif above or name != "space":
            yield f"{above}{name}", model, name


LEAVES = [(name, dotted) for name in STAGES for dotted, _, _ in leaves(stage_of(name))]


def changed(model: Any, dotted: str, value: Any) -> Any:
    """`model` with another value, unchecked: what fits together does not matter here."""
    name, _, inner = dotted.partition(".")
    value = changed(getattr(model, name), inner, value) if inner else value
    return model.model_copy(update={name: value})


def words(annotation: Any) -> Iterator[Any]:
    """What an annotation names by `Literal`, at any depth."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        yield from chain.from_iterable(map(words, get_args(annotation)))


def another(section: BaseModel, name: str) -> Any:
    """A value that the setting takes and does not have."""
    field, own = type(section).model_fields[name], getattr(section, name)
    taken: TypeAdapter[Any] = TypeAdapter(Annotated[(field.annotation, *field.metadata, name)])
    named = list(words(field.annotation))
    for candidate in (*named, *([one] for one in named), *OTHERS):
        try:
            value = taken.validate_python(candidate)
        except ValidationError:
            continue
        if value is not None and value != own:
            return value
    raise AssertionError(f"no other value for {name}: add one to OTHERS")


def bears(model: Any, dotted: str, *marks: Mark) -> bool:
    return any(f"{dotted}.".startswith(f"{one}.") for one in marked(model, *marks))


@pytest.mark.parametrize("name, dotted", LEAVES)
def test_a_setting_makes_another_run_unless_it_is_marked(name: str, dotted: str) -> None:
    stage = stage_of(name)
    section, own = {key: (model, leaf) for key, model, leaf in leaves(stage)}[dotted]
    other = changed(stage, dotted, another(section, own))
    found = differences(plain(recorded_config(stage)), recorded_config(other), type(stage))
    if bears(type(stage), dotted, CHANGES_NOTHING, SAME_IMAGES):
        assert found == []
    elif dotted == "search.generations":
        assert [one.name for one in found] == ["search.evaluations"]
    else:
        growths = [one.growth for one in found if f"{one.name}.".startswith(f"{dotted}.")]
        assert growths and all(growths) == (dotted == "search.evaluations")


@pytest.mark.parametrize("name", STAGES)
def test_rounding_may_differ_where_that_is_asked_for(name: str) -> None:
    stage = stage_of(name)
    names = marked(type(stage), CHANGES_ROUNDING)
    for dotted in (one for one in names if not bears(type(stage), one, NOT_RECORDED)):
        section, own = {key: (model, leaf) for key, model, leaf in leaves(stage)}[dotted]
        other = changed(stage, dotted, another(section, own))
        pair = plain(recorded_config(stage)), recorded_config(other)
        assert [one.name for one in differences(*pair, type(stage))] == [dotted]
        assert differences(*pair, type(stage), CHANGES_ROUNDING) == []


def models_in(annotation: Any, optional: bool = True) -> Iterator[type[BaseModel]]:
    """The models of an annotation and of their fields; `optional`: in unions and lists too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation, optional)
    elif optional:
        yield from chain.from_iterable(map(models_in, get_args(annotation)))


@pytest.mark.parametrize("model", STAGES.values())
def test_marks_stand_where_they_are_looked_for(model: type[BaseModel]) -> None:
    """In sections and sections of these, not in what may be missing or is listed."""
    marked_models = {
        one
        for one in models_in(model)
        for field in one.model_fields.values()
        if any(isinstance(mark, Mark) for mark in field.metadata)
    }
    assert marked_models and marked_models <= set(models_in(model, optional=False))


def test_what_is_marked() -> None:
    trained = {"compile", "device", "threads", "checkpoint_seconds", "tensorboard"}
    rounding = {"compile", "device", "threads"}
    assert set(marked(SupernetStage, CHANGES_ROUNDING)) == {f"supernet.{n}" for n in rounding}
    assert set(marked(SupernetStage, CHANGES_NOTHING)) == {
        "data.loader_workers",
        *(f"supernet.{name}" for name in trained - rounding),
    }
    assert marked(SearchStage, CAN_GROW) == ("search.evaluations",)
    for model in STAGES.values():
        assert set(marked(model, NOT_RECORDED)) <= set(marked(model, CHANGES_NOTHING))


@pytest.mark.parametrize("name", STAGES)
def test_what_is_not_recorded(name: str) -> None:
    stage = stage_of(name)
    left_out = marked(type(stage), NOT_RECORDED)
    whole, kept = stage.model_dump(mode="json"), stage.recorded()
    gone = {f"{name}.{key}" for key in whole[name].keys() - kept[name].keys()}
    gone |= whole.keys() - kept.keys()
    absent = ["search.generations", "search.racing", "search.designs"] * (name == "search")
    assert gone == {*left_out, *absent}
    if name != "search":
        assert list(kept) == [key for key in whole if key in kept], "in the same order"


@pytest.mark.parametrize("name", STAGES)
def test_a_run_that_is_older_than_a_setting_has_its_default(name: str) -> None:
    stage: Any = stage_of(name)
    recorded = plain(recorded_config(stage))
    option = {"pretrain": "beta", "search": "tournament"}.get(name, "shared_norms")
    del recorded[name][option], recorded["space"]["rsign"]
    assert differences(recorded, recorded_config(stage), type(stage)) == []
    own = getattr(getattr(stage, name), option)
    other = changed(stage, f"{name}.{option}", not own if own is True else own + 1)
    (found,) = differences(recorded, recorded_config(other), type(stage))
    assert found.name == f"{name}.{option}" and found.was == own


def test_a_damaged_config_is_compared_as_it_stands() -> None:
    stage = stage_of("supernet")
    recorded = plain(recorded_config(stage))
    recorded["supernet"]["epochs"] = "many"
    found = differences(recorded, recorded_config(stage), SupernetStage)
    assert list(map(str, found)) == ["supernet.epochs was 'many', now 20"]


def test_a_recorded_config_runs_no_code(tmp_path: Any) -> None:
    """A manifest of unknown origin may name a space in a Python file."""
    (tmp_path / "bad.py").write_text("raise SystemExit('ran')")
    stage: Stage = stage_of("supernet")
    recorded = {**plain(recorded_config(stage)), "space": {"name": f"{tmp_path}/bad.py:Bad"}}
    assert "space.name" in [
        one.name for one in differences(recorded, recorded_config(stage), SupernetStage)
    ]


def test_the_documentation_names_what_may_differ() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", RESUME.read_text(), re.MULTILINE)
    told = {
        f"{section}.{name}" for section, names in rows for name in re.findall(r"`(\w+)`", names)
    }
    found = {name for model in STAGES.values() for name in marked(model, CHANGES_NOTHING)}
    assert told == found - {"retrain"}, "of an audit, which has its part of that section"
