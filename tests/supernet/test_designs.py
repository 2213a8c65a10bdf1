"""The family of hand-made designs: in the space, named, each network once, ladders that grow."""

from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supernet import designs as family
from supernet.costs import cost
from supernet.designs import designs
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.spaces.metapruning import MetaPruning
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spaces.published import PublishedNetworkSpace
from supernet.spaces.spos_blocks import SposBlocks
from supernet.spaces.wide_binary import WideBinary
from tests.supernet.spaces.every_space import SMALL_SPACES

GROUPS = MobileNetGroups(image_size=32, classes=10, in_channels=1, width=0.25)
WIDE = WideBinary(
    image_size=32, classes=10, in_channels=1, stem_channels=8, widths=(0.5, 1.0),
    stages=((16, 1, 1), (32, 2, 2), (64, 2, 2), (128, 2, 2)),
)  # fmt: skip
NUMBERS = st.sets(st.sampled_from((1, 2, 4, 8, 16)), min_size=1)


@cache
def texts(space: SearchSpace) -> dict[str, str]:
    return {name: str(one) for name, one in space.designs().items()}


def within(space: SearchSpace, max_ops: int) -> int:
    return sum(cost(space.decode(one)).ops <= max_ops for one in space.designs().values())


def is_a_family(space: SearchSpace) -> None:
    found = space.designs()
    assert list(found) == list(space.designs()), "in the same order each time"
    for one in found.values():
        assert space.architecture(dict(one)) == one
    networks = {space.decode(one) for one in found.values()}
    assert len(networks) == len(found), "no network twice"
    uniform = {space.decode(one) for one in space.uniform_architectures().values()}
    assert uniform <= networks
    assert set(list(found)[: len(uniform)]) <= set(space.uniform_architectures())


@pytest.mark.parametrize("name", SMALL_SPACES)
def test_every_space_has_a_family(name: str) -> None:
    space = space_from_description(SMALL_SPACES[name])
    is_a_family(space)
    assert len(space.designs()) > 1


@st.composite
def wide_spaces(draw: st.DrawFn) -> WideBinary:
    stages = draw(st.lists(st.tuples(st.just(32), st.integers(1, 3), st.just(1)), min_size=1,
                           max_size=3))  # fmt: skip
    return WideBinary(
        image_size=8, classes=3, stem_channels=16, stages=tuple(stages),
        widths=tuple(sorted(draw(st.sets(st.sampled_from((0.5, 1.0, 1.5)), min_size=1)))),
        kernels=tuple(sorted(draw(st.sets(st.sampled_from((1, 3, 5)), min_size=1)))),
        groups=tuple(sorted(draw(NUMBERS))), min_blocks=draw(st.integers(1, 2)),
    )  # fmt: skip


@settings(max_examples=25)
@given(wide_spaces())
def test_a_wide_space_has_one_too(space: WideBinary) -> None:
    is_a_family(space)
    for name, one in space.designs().items():
        for axis in ("width", "kernel"):
            values = {one[p.name] for p in space.positions if p.axis == axis}
            assert len(values) <= 1, f"{name}: one {axis} everywhere"
        grown = [one[p.name] for p in space.positions if p.axis == "groups"]
        assert grown == sorted(grown), f"{name}: groups never fall with depth"
        assert (len(set(grown)) > 1) <= (".." in name)


@settings(max_examples=25)
@given(st.lists(st.sampled_from((8, 16, 24, 64)), min_size=1, max_size=6), NUMBERS)
def test_a_position_takes_the_greatest_choice_up_to_the_value(
    channels: list[int], numbers: set[int]
) -> None:
    """Narrow blocks offer fewer numbers, in whichever order they come."""
    space = MobileNetGroups(
        image_size=8, classes=3, groups=(1, *sorted(numbers - {1})), shortcut="conv",
        blocks=tuple((one, 1) for one in channels),
    )  # fmt: skip
    is_a_family(space)
    ladder = "g=1..{}".format
    for name, one in space.designs().items():
        if name.partition("=")[0] == "uniform g":
            asked = int(name.partition("=")[2])
            for position in space.positions:
                low = [choice for choice in position.choices if int(choice) <= asked]
                assert one[position.name] == max(map(int, low))
        if name == ladder(max(numbers)):
            first, last = space.positions[0], space.positions[-1]
            assert one[first.name] == 1
            assert one[last.name] == max(c for c in last.choices if int(c) <= max(numbers))


def test_the_group_space_has_fifty_of_which_thirty_two_keep_a_limit() -> None:
    assert len(GROUPS.designs()) == 50 and within(GROUPS, 54_700) == 32
    found = texts(GROUPS)
    assert found["uniform g=4"] == ",".join("4" * 13)
    assert found["uniform g=32"] == "8,16" + ",32" * 11, "no more than a block has"
    # Ranks 0 to 3 over 13 blocks, by depth, its root and its square.
    assert found["g=1..8"] == "1,1,1,2,2,2,4,4,4,4,4,8,8"
    assert found["g=1..8 early"] == "1,2,2,4,4,4,4,4,4,8,8,8,8"
    assert found["g=1..8 late"] == "1,1,1,1,1,2,2,2,2,4,4,8,8"


def test_one_is_near_the_ladder_that_beat_the_uniform_network() -> None:
    """1,1,2,4,4,4,4,8,8,8,8,8,8: three of its blocks have half or twice the groups here."""
    asked = [1, 1, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8]
    near = [
        sum(a != b for a, b in zip(asked, map(int, dict(one).values()), strict=True))
        for one in GROUPS.designs().values()
    ]
    assert min(near) == 3


def test_the_wide_space_has_dense_and_shallow_ones_and_whole_ladders_of_them() -> None:
    found = WIDE.designs()
    assert len(found) == 176 and within(WIDE, 35_000) == 124
    dense = found["w=1 k=3 g=1 d=1"]
    assert cost(WIDE.decode(dense)).ops == 30_976
    assert {dense[p.name] for p in WIDE.positions if p.axis != "kernel"} == {1}
    # One block a stage climbs the whole ladder; blocks that are not there stand where it is.
    ladder = found["w=1 k=5 g=1..8 d=1"]
    groups = [ladder[f"stage{stage}.block1.groups"] for stage in (1, 2, 3, 4)]
    assert groups == [1, 2, 4, 8] and cost(WIDE.decode(ladder)).ops == 33_760


def test_names_of_other_axes_are_theirs() -> None:
    blocks = SposBlocks(image_size=32, stem_stride=1, widths=(0.6, 1.0, 1.4)).designs()
    assert {"uniform xception", "w=0.6 kind=3x3", "w=1.4 kind=xception"} <= set(blocks)
    assert len(blocks) == 4 * 3
    percents = MetaPruning().designs()
    assert list(percents) == [f"uniform {percent}%" for percent in range(10, 101, 3)]


def test_a_network_of_a_paper_has_none() -> None:
    assert PublishedNetworkSpace("reactnet-a").designs() == {}


def test_too_many_combinations_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(texts(WIDE))
    # 2 widths x 2 kernels x 2 depths x 4 numbers of groups; 8 x 3 x 6 ladders.
    monkeypatch.setattr(family, "MAX_COMBINATIONS", 8 * 4)
    assert list(WIDE.designs()) == [name for name in whole if ".." not in name]
    monkeypatch.setattr(family, "MAX_COMBINATIONS", 8 * 4 - 1)
    assert list(WIDE.designs()) == list(WIDE.uniform_architectures())
    monkeypatch.setattr(family, "MAX_COMBINATIONS", 8 * 18)
    assert list(WIDE.designs()) == whole


def test_a_space_may_know_better() -> None:
    @dataclass(frozen=True)
    class Own(MobileNetGroups):
        def designs(self):
            return {"mine": self.uniform(2), **designs(self)}

    own = Own(image_size=32, width=0.25)
    assert list(own.designs())[:2] == ["mine", "uniform g=1"]
