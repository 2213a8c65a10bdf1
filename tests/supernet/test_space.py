"""The ends of a space: its networks of most and of fewest parameters."""

from itertools import product

from supernet.costs import cost
from supernet.space import SearchSpace
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spaces.spos_blocks import SposBlocks


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
