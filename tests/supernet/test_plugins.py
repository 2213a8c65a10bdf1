"""A user's own module by file, and which spaces a file may name."""

from pathlib import Path

import pytest

from supernet import plugins
from supernet.architecture_file import load_architecture, save_architecture
from supernet.files import UserError
from supernet.plugins import load_module
from supernet.spaces import space_class, space_from_description

OWN = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from supernet.spaces.mobilenet_groups import MobileNetGroups

with open(Path(__file__).with_name("runs"), "a") as file:
    file.write("x")

@dataclass(frozen=True)
class Own(MobileNetGroups):
    extra: float = 1.0
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return f"{tmp_path}/own.py:Own"


def test_a_file_is_imported_once_and_apart_from_others_of_its_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.py").write_text(f"NAME = {name!r}")
    one, two = (load_module(f"{tmp_path}/{name}/same.py", "x") for name in ("one", "two"))
    assert (one.NAME, two.NAME) == ("one", "two")
    assert load_module(f"{tmp_path}/one/same.py", "x") is one


@pytest.mark.parametrize(
    ("text", "expected"),
    [("import no_such_module", "no_such_module"), ("x = (", "SyntaxError"), ("1 / 0", "ZeroDiv")],
)
def test_a_file_that_fails_is_refused_every_time(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    for _ in range(2):
        with pytest.raises(UserError, match=f"what: importing .*bad.py failed .*{expected}"):
            load_module(f"{tmp_path}/bad.py", "what")


def test_a_description_that_is_not_trusted_runs_nothing(tmp_path: Path, own: str) -> None:
    with pytest.raises(UserError, match=r"search space .*own.py:Own.* is named by a file"):
        space_from_description({"name": own}, trusted=False)
    assert not (tmp_path / "runs").exists()
    space = space_from_description({"name": own, "extra": 2})
    assert space_from_description(space.describe(), trusted=False) == space
    assert (tmp_path / "runs").read_text() == "x"
    registered = space_from_description({"name": "mobilenet-groups"}, trusted=False)
    assert registered.describe()["name"] == "mobilenet-groups"


def test_an_architecture_file_of_the_expected_space(tmp_path: Path, own: str) -> None:
    space = space_from_description({"name": own})
    path = tmp_path / "a.json"
    save_architecture(path, space, space.first())
    plugins._allowed.clear()
    with pytest.raises(
        UserError, match=f"a.json: search space .* is named by a file.* --allow {own}"
    ):
        load_architecture(path)
    assert load_architecture(path, expected_space=space)[:2] == (space, space.first())
    assert space_class(own) is type(space)
