"""Who enters: every network once, under the kind that it is."""

from pathlib import Path

import pytest

from evaluate.finals.entrants import DESIGN, FOUND, GIVEN, Entrant, entrants_of, named_in
from supernet.architecture import Architecture
from supernet.architecture_file import save_architecture
from supernet.candidate import Candidate
from supernet.files import UserError
from supernet.spaces.mobilenet_groups import MobileNetGroups

LIMITS = {"max_ops": 1e9}


def mixed(space: MobileNetGroups, *groups: int) -> Architecture:
    names = [position.name for position in space.positions]
    return space.architecture(dict(zip(names, groups, strict=True)))


def candidates(*scored: tuple[Architecture, float | None]) -> list[Candidate]:
    return [
        Candidate(place, one, {"ops": 1.0}, top1, generation=0, origin="random")
        for place, (one, top1) in enumerate(scored)
    ]


def enter(
    space: MobileNetGroups,
    scored: list[Candidate],
    designs: dict[str, Architecture] | None = None,
    given: dict[str, Architecture] | None = None,
    best: int = 9,
    num_designs: int = 9,
) -> tuple[Entrant, ...]:
    return entrants_of(
        space,
        scored,
        designs or {},
        given or {},
        best,
        num_designs,
        lambda one: {"index": one.index},
        LIMITS,
    )


def test_found_ones_first_best_first(tiny_space: MobileNetGroups) -> None:
    a, b, c = (mixed(tiny_space, *groups) for groups in ((1, 2, 1), (2, 1, 4), (4, 1, 2)))
    scored = candidates((a, 40.0), (b, 60.0), (c, None), (a, 40.0))
    entrants = enter(tiny_space, scored, {"g=2": tiny_space.uniform(2)})
    assert [(one.name, one.kind, one.candidate) for one in entrants] == [
        ("found 1", FOUND, 1),
        ("found 2", FOUND, 0),
        ("g=2", DESIGN, None),
    ]
    assert entrants[0].provenance == {"index": 1}
    assert entrants[2].provenance == {"design": "g=2", "limits": LIMITS}
    assert [one.name for one in enter(tiny_space, scored, best=1)] == ["found 1"]


def test_a_design_that_was_found_is_a_design(tiny_space: MobileNetGroups) -> None:
    other, uniform = mixed(tiny_space, 1, 2, 1), tiny_space.uniform(4)
    scored = candidates((uniform, 90.0), (other, 10.0))
    entrants = enter(tiny_space, scored, {"g=4": uniform})
    assert [(one.name, one.kind, one.candidate) for one in entrants] == [
        ("found 1", FOUND, 1),
        ("g=4", DESIGN, 0),
    ]
    # Not a found one either where there are too many designs for it to enter.
    entrants = enter(tiny_space, scored, {"g=4": uniform}, num_designs=0)
    assert [one.name for one in entrants] == ["found 1"]


def test_a_named_network_enters_once(tiny_space: MobileNetGroups) -> None:
    a, b = mixed(tiny_space, 1, 2, 1), mixed(tiny_space, 4, 2, 1)
    uniform = tiny_space.uniform(4)
    entrants = enter(
        tiny_space,
        candidates((a, 50.0)),
        {"g=4": uniform},
        {"mine": b, "again": a, "four": uniform},
    )
    assert [(one.name, one.kind) for one in entrants] == [
        ("found 1", FOUND),
        ("g=4", DESIGN),
        ("mine", GIVEN),
    ]


def test_two_networks_of_one_name_are_refused(tiny_space: MobileNetGroups) -> None:
    a, b = mixed(tiny_space, 1, 2, 1), mixed(tiny_space, 4, 2, 1)
    scored, designs = candidates((a, 50.0)), {"g=4": tiny_space.uniform(4)}
    for name in ("found 1", "g=4"):
        with pytest.raises(UserError, match=f"finals.include: .* called '{name}'"):
            enter(tiny_space, scored, designs, {name: b})


def test_a_named_design_is_a_design(tiny_space: MobileNetGroups) -> None:
    uniform = tiny_space.uniform(4)
    scored = candidates((mixed(tiny_space, 1, 2, 1), 50.0))
    entrants = enter(tiny_space, scored, {"g=4": uniform}, {"mine": uniform}, num_designs=0)
    assert [(one.name, one.kind) for one in entrants[1:]] == [("mine", DESIGN)]


def test_nothing_found_but_designs(tiny_space: MobileNetGroups) -> None:
    uniform = tiny_space.uniform(4)
    with pytest.raises(UserError, match="no network that is not one of the hand-made designs"):
        enter(tiny_space, candidates((uniform, 50.0)), {"g=4": uniform})


def test_names_of_files(tiny_space: MobileNetGroups, tmp_path: Path) -> None:
    a, b = mixed(tiny_space, 1, 2, 1), mixed(tiny_space, 4, 2, 1)
    mine, ladder = tmp_path / "mine.json", tmp_path / "other.json"
    save_architecture(mine, tiny_space, a)
    save_architecture(ladder, tiny_space, b, provenance={"design": "g=4..1"})
    assert named_in([mine, ladder, mine], tiny_space) == {"mine": a, "g=4..1": b}
    (tmp_path / "twin").mkdir()
    save_architecture(tmp_path / "twin" / "mine.json", tiny_space, b)
    with pytest.raises(UserError, match="another network of the finals is named 'mine' too"):
        named_in([mine, tmp_path / "twin" / "mine.json"], tiny_space)
