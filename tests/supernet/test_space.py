"""The ends of a space: its networks of most and of fewest parameters."""

from itertools import product

from supernet.costs import cost
from supernet.space import Position, SearchSpace
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spaces.spos_blocks import SposBlocks
from supernet.spec.building import MOBILENET_BLOCKS


def test_largest_and_smallest_have_most_and_fewest_parameters(tiny_space: MobileNetGroups) -> None:
    blocks = SposBlocks(
        image_size=16, classes=4, stem_channels=4, stages=((8, 2), (16, 1)), last_channels=12
    )
    for space in (tiny_space, blocks):
        every = [parameters_of(space, choices) for choices in choices_of(space)]
        ends = (space.largest(), space.smallest())
        assert [parameters_of(space, dict(end)) for end in ends] == [max(every), min(every)]
    # A convolution in more groups has fewer weights.
    assert str(tiny_space.largest()) == "1,1,1" and str(tiny_space.smallest()) == "4,4,4"


def choices_of(space: SearchSpace) -> list[dict]:
    names = [position.name for position in space.positions]
    every = product(*(position.choices for position in space.positions))
    return [dict(zip(names, choices, strict=True)) for choices in every]


def parameters_of(space: SearchSpace, choices: dict) -> int:
    return cost(space.decode(space.architecture(choices))).parameters


def test_what_a_position_chooses_is_said_or_the_end_of_its_name(tiny_space: MobileNetGroups):
    axes = [
        Position(name, (1, 2)).axis for name in ("block1.width", "stage2.depth", "block1", "a.b")
    ]
    assert axes == ["width", "depth", "kind", "kind"]
    assert Position("block1.spatial", (1, 2), "groups").axis == "groups"
    assert {position.axis for position in tiny_space.positions} == {"groups"}
    widths = MobileNetGroups(widths=(0.5, 1.0)).positions
    assert [position.axis for position in widths] == ["groups", "width"] * 13


def test_mobilenet_has_13_blocks_and_halves_its_map_4_times_after_the_stem():
    assert len(MOBILENET_BLOCKS) == 13
    halving = [number for number, (_, stride) in enumerate(MOBILENET_BLOCKS, 1) if stride == 2]
    assert halving == [2, 4, 6, 12]
    assert [channels for channels, _ in MOBILENET_BLOCKS][::4] == [64, 256, 512, 1024]
