"""Which hand-made designs a search begins with: within the limits, spread over the family."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.limits.hand_made import hand_made, spread
from search.limits.measure import CostMeter
from supernet.costs.limits import limits_from
from supernet.files import UserError
from supernet.spaces.mobilenet_groups import MobileNetGroups

GROUPS = MobileNetGroups(image_size=32, classes=10, in_channels=1, width=0.25)
MEASURE = CostMeter(GROUPS)
FAMILY = GROUPS.designs()
NAMES = {one: name for name, one in FAMILY.items()}
MAXIMUM = limits_from({"max_ops": 54_700})


def found(count, limits=MAXIMUM, given=()):
    return hand_made(GROUPS, MEASURE, limits, given, count)


def test_of_the_group_space_six_come_first_the_nearest_to_the_limit_before():
    designs = found(6)
    assert str(designs) == "hand-made designs: 32 of 50 keep the limits, 6 of them in generation 0"
    assert [(NAMES[one], MEASURE(one)["ops"]) for one in designs.first] == [
        ("g=1..8 early", 53_920), ("g=2..8", 53_344), ("uniform g=4", 53_056),
        ("g=2..32 late", 52_912), ("g=4..8 late", 49_312), ("g=2..8 early", 47_584),
    ]  # fmt: skip


@settings(max_examples=40)
@given(
    count=st.integers(0, 60),
    numbers=st.tuples(st.integers(30_000, 130_000), st.integers(150_000, 2_000_000)),
    kind=st.sampled_from(["ops", "parameters", "both", "minimum", "none"]),
)
def test_whatever_the_limits_they_are_kept_and_the_family_covered(count, numbers, kind):
    ops, parameters = numbers
    limits = limits_from(
        {
            "ops": {"max_ops": ops},
            "parameters": {"max_parameters": parameters},
            "both": {"max_ops": ops, "max_parameters": parameters},
            "minimum": {"min_ops": ops},
            "none": {},
        }[kind]
    )
    designs = found(count, limits)
    kept = list(designs.within.values())
    assert kept == [one for one in FAMILY.values() if all(x.holds(MEASURE(one)) for x in limits)]
    first = designs.first
    assert len(first) == len(set(first)) == min(count, len(kept)) and set(first) <= set(kept)
    # One of each of as many equal parts of the family.
    places = sorted(map(kept.index, first))
    for number, place in enumerate(places):
        assert number * len(kept) <= place * len(first) + len(first) - 1
        assert place * len(first) < (number + 1) * len(kept)
    assert first == spread(kept, MEASURE, limits, count), "the same each time"


def test_nearest_is_the_greatest_share_of_any_upper_limit_or_else_the_dearest():
    def first(limits):
        (one,) = found(1, limits_from(limits)).first
        return NAMES[one]

    # Of 393,000 parameters it has 392,826, and only 52,912 of 100,000 OPs.
    assert first({"max_ops": 100_000, "max_parameters": 393_000}) == "g=2..32 late"
    assert first({"max_ops": 54_700, "max_parameters": 1e7}) == "g=1..8 early"
    assert first({"min_ops": 50_000}) == first({}) == "uniform g=1"


def test_what_is_given_does_not_come_again():
    given_one = GROUPS.uniform(4)
    first = found(6, given=[given_one]).first
    assert given_one not in first and len(first) == 6
    assert len(found(60, given=[given_one]).first) == 31


def test_a_space_of_ones_own_may_name_none_of_its_architectures(space):
    class Broken(MobileNetGroups):
        def designs(self):
            return {"foreign": GROUPS.uniform(4)}

    own = Broken(**{name: value for name, value in space.describe().items() if name != "name"})
    with pytest.raises(UserError, match="design 'foreign': space 'mobilenet-groups' has no pos"):
        hand_made(own, CostMeter(own), (), (), 1)
