"""A table of a space whose blocks depend on several positions and run in torch."""

import pytest

from deploy.kernels.library import backend_info
from latency_tables.build import BuildSettings, build_table
from latency_tables.layer_keys import distinct_layers, layers_in_torch
from latency_tables.table import load_table
from supernet.files import UserError
from supernet.spaces.metapruning import MetaPruning

pytestmark = pytest.mark.skipif(
    backend_info()["backend"] != "native", reason="the compiled kernels are not installed"
)


def test_a_table_of_pruned_blocks(tmp_path):
    space = MetaPruning("mobilenet-v1", 8, 4, 1, (50, 100), 0.125, "small")
    settings = BuildSettings(turns=1, rounds=1, fitted=3, held_out=3)
    build_table(space, tmp_path / "t.csv", settings)
    table = load_table(tmp_path / "t.csv")
    assert set(table.frame.index) == set(distinct_layers(space).values())
    in_torch = layers_in_torch(space)
    # Blocks 7 to 11 are alike, and the last has one width to choose. Stem and head are packed.
    assert len(in_torch) == table.header.layers_in_torch == 4 * (6 + 1 + 1) + 2
    assert "separable in_channels=2 out_channels=4 stride=1 in_size=8" in in_torch


def test_a_table_of_too_many_layers_is_refused(tmp_path):
    with pytest.raises(UserError, match="31 percents make 11,595 different blocks"):
        build_table(MetaPruning(), tmp_path / "t.csv")
