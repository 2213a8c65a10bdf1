"""Every number that a config or a command takes has an upper bound, or a reason to have none."""

import typing
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest
import typer
import yaml
from pydantic import BaseModel

from evaluate.audit.config import AuditStage
from evaluate.finals.config import FinalsStage
from evaluate.retrain.config import RetrainStage
from evobit.commands import latency
from evobit.config import load_stage
from evobit.main import app, run
from search.config import SearchStage
from supernet.files import UserError
from supernet.spaces import space_from_description
from training.bounds import MAX_THREADS
from training.device import set_threads
from training.pretraining.config import PretrainStage
from training.supernet_stage import SupernetStage

STAGES = (SupernetStage, SearchStage, RetrainStage, PretrainStage, AuditStage, FinalsStage)

UNBOUNDED = {
    "OptimiserConfig.betas": "a validator of its own: [0, 1)",
    "EraseConfig.area": "a validator of its own: (0, 1]",
    "PathSamplingConfig.minimum": "only compared with costs",
    "PathSamplingConfig.maximum": "only compared with costs",
    "ScheduleEntry.choices": "only compared with the choices of a space",
    "RetrainConfig.limits": "only compared with costs",
    "AuditConfig.limits": "only compared with costs",
}
OF_A_SPACE = {"image_size", "classes", "in_channels", "width", "stem_stride"}
"""Options of `cost`: bounded as those of a space."""


def numbers_of(model: type[BaseModel], dotted: str) -> Iterator[tuple[str, str, float | None]]:
    """Model and field, dotted name and upper bound of every number, sections within too."""
    for name, field in model.model_fields.items():
        own = f"{dotted}.{name}" if dotted else name
        for kind, marks in kinds_of(field.annotation, list(field.metadata)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from numbers_of(kind, own)
            elif kind in (int, float):
                bounds = [getattr(mark, "le", getattr(mark, "lt", None)) for mark in marks]
                found = next((bound for bound in bounds if bound is not None), None)
                yield f"{model.__name__}.{name}", own, found


def kinds_of(annotation: Any, marks: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """What a field may hold, however deep in unions, tuples and mappings, and its marks."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        flat = [one for mark in more for one in getattr(mark, "metadata", None) or [mark]]
        yield from kinds_of(inner, [*marks, *flat])
    elif get_args(annotation) and get_origin(annotation) is not typing.Literal:
        for inner in get_args(annotation):
            yield from kinds_of(inner, marks)
    else:
        yield annotation, marks


FIELDS = sorted({one for stage in STAGES for one in numbers_of(stage, "")}, key=str)


def test_every_number_of_a_config_is_bounded() -> None:
    unbounded = {field for field, _, bound in FIELDS if bound is None}
    assert unbounded == set(UNBOUNDED)
    assert len(FIELDS) > 120


@pytest.mark.parametrize("stage", STAGES)
def test_beyond_its_bound_a_number_is_refused(stage, tmp_path, tiny_space) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"space": tiny_space.describe()}))
    tried = 0
    for _, dotted, bound in numbers_of(stage, ""):
        if bound is None:
            continue
        # Of a section that is not there, or a list, the field alone cannot be set.
        try:
            load_stage(config, stage, [f"{dotted}={10 * int(bound) + 1}"])
        except UserError as error:
            tried += f"'{dotted}' is" in str(error)
        else:
            raise AssertionError(f"{dotted} was taken")
    assert tried > 10


def test_every_number_of_a_command_is_bounded() -> None:
    unbounded = set()
    for command in (*app.registered_commands, *latency.app.registered_commands):
        for name, hint in typing.get_type_hints(command.callback, include_extras=True).items():
            if get_origin(hint) is not Annotated:
                continue
            kind, *marks = get_args(hint)
            options = [mark for mark in marks if isinstance(mark, typer.models.OptionInfo)]
            if {int, float} & {kind, *get_args(kind)} and options[0].max is None:
                unbounded.add(name)
    assert unbounded == OF_A_SPACE


@pytest.mark.parametrize("option", sorted(OF_A_SPACE))
def test_a_network_is_refused_that_no_machine_could_hold(option, capsys) -> None:
    asked = f"--{option.replace('_', '-')}=2000000000"
    assert run(["cost", "--space", "mobilenet-groups", asked]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"name": "mobilenet-groups", "width": 1e4},
        {"name": "mobilenet-groups", "widths": [1.0, 20000.0]},
        {"name": "spos-blocks", "widths": [1.0, 20000.0]},
        {"name": "wide-binary", "widths": [1.0, 20000.0]},
    ],
    ids=str,
)
def test_a_space_is_refused_of_networks_that_no_machine_could_hold(options) -> None:
    with pytest.raises(UserError, match="parameters, expected at most 1,000,000,000"):
        space_from_description(options)


def test_so_is_one_of_which_the_largest_alone_is_too_large() -> None:
    with pytest.raises(UserError, match="parameters, expected at most 1,000,000,000"):
        space_from_description({"name": "mobilenet-groups", "widths": [1.0, 20_000.0]})


def test_threads_that_the_environment_asks_for_are_bounded(monkeypatch) -> None:
    import torch

    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1" + "0" * 30)
    try:
        assert set_threads(None) == MAX_THREADS
    finally:
        torch.set_num_threads(before)


def test_memory_that_is_not_there_is_a_line(capsys) -> None:
    import torch

    from evobit.errors import exit_code

    assert exit_code(lambda: torch.empty(2**60)) == 1
    assert exit_code(lambda: bytearray(2**62)) == 1
    printed = capsys.readouterr().err
    assert printed.count("evobit: not enough memory") == 2 and "traceback" not in printed
