"""The layers of a space and architectures that contain them all."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.layer_keys import (
    covering_architectures,
    distinct_layers,
    layer_key,
    spread_over,
)
from latency_tables.table import check_layers, load_table
from supernet.files import UserError
from supernet.spaces import space_from_description
from supernet.spec import BinaryUnitSpec, HeadSpec, StemSpec

TABLES = Path(__file__).parents[2] / "latency_tables" / "tables"


def test_a_key_names_kind_and_every_field(tiny_space):
    keys = distinct_layers(tiny_space)
    block = tiny_space.decode(tiny_space.first()).blocks[1]
    assert keys[block] == layer_key(block)
    assert keys[block].startswith("binary_unit in_channels=")
    assert f" groups={block.groups} " in keys[block]
    assert len(set(keys.values())) == len(keys)


def test_keys_of_measured_tables_stay_and_new_fields_show():
    unit = BinaryUnitSpec(64, 64, 3, 2, 4, 56, "pool", "prelu")
    assert layer_key(unit) == (
        "binary_unit in_channels=64 out_channels=64 kernel_size=3 stride=2 groups=4 in_size=56 "
        "shortcut=pool activation=prelu"
    )
    assert layer_key(StemSpec(3, 32, 3, 2, 224)) == (
        "stem in_channels=3 out_channels=32 kernel_size=3 stride=2 in_size=224"
    )
    assert layer_key(HeadSpec(64, 10, 7)) == "head in_channels=64 num_classes=10 in_size=7"
    assert layer_key(replace(unit, rsign=True)) == f"{layer_key(unit)} rsign=True"


@pytest.mark.parametrize("name", ["fmnist-latency", "mobilenet-groups-224"])
def test_shipped_tables_hold_every_layer_of_the_space_that_they_describe(name):
    table = load_table(TABLES / f"{name}.csv")
    space = space_from_description(table.header.space)
    check_layers(table, distinct_layers(space), name)
    # Thresholds are layers of their own times.
    with pytest.raises(UserError, match="rsign=True"):
        check_layers(table, distinct_layers(replace(space, rsign=True)), name)


def test_the_layers_of_the_group_space_at_224():
    space = space_from_description({"name": "mobilenet-groups"})
    kinds = [key.split()[0] for key in distinct_layers(space).values()]
    # 9 distinct 3x3 shapes (inputs of 32 to 1024 channels, stride 1 or 2) x 6 group numbers,
    # 9 distinct 1x1 shapes, stem and head.
    assert kinds.count("binary_unit") == 9 * 6 + 9
    assert kinds.count("stem") == kinds.count("head") == 1


@given(turns=st.integers(1, 3), seed=st.integers(0, 100))
def test_the_cover_contains_every_layer_in_every_turn(turns, seed):
    space = space_from_description({"name": "mobilenet-groups", "width": 0.25})
    cover = covering_architectures(space, turns, Random(seed))
    seen = [block for one in cover for block in space.decode(one).blocks]
    assert all(seen.count(block) >= turns for block in distinct_layers(space))
    assert len(cover) == 6 * turns  # no more than the longest list of choices


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_values_are_spread_evenly(count):
    values = [float(number) for number in range(100)]
    chosen = sorted(values[i] for i in spread_over(values, count))
    assert len(set(chosen)) == count
    assert chosen == pytest.approx([99 * (i + 0.5) / count for i in range(count)], abs=0.5)
