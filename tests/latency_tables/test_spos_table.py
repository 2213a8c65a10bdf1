"""A table of a space whose choices all run in torch, between packed ends."""

import pytest

from deploy.kernels.library import backend_info
from latency_tables.build import BuildSettings, build_table
from latency_tables.layer_keys import distinct_layers, layers_in_torch
from latency_tables.plot import rows_by_groups
from latency_tables.predictor import Predictor
from latency_tables.table import load_table
from supernet.spaces.spos_blocks import SposBlocks

pytestmark = pytest.mark.skipif(
    backend_info()["backend"] != "native", reason="the compiled kernels are not installed"
)


def test_a_table_of_shuffle_blocks(tmp_path):
    space = SposBlocks(
        image_size=8, classes=4, in_channels=1, stem_channels=4, stem_stride=1,
        stages=((8, 2), (16, 1)), last_channels=12,
    )  # fmt: skip
    settings = BuildSettings(turns=1, rounds=2, fitted=4, held_out=4)
    build_table(space, tmp_path / "t.csv", settings)
    table = load_table(tmp_path / "t.csv")
    # Stem, four choices of three blocks, last convolution, head.
    assert set(table.frame.index) == set(distinct_layers(space).values())
    assert len(table.frame) == 1 + 3 * 4 + 1 + 1
    assert len(layers_in_torch(space)) == table.header.layers_in_torch == 12
    assert all(key.startswith("shuffle_block ") for key in layers_in_torch(space))
    sums = Predictor(table.with_header(intercept_ms=0.0, factor=1.0))
    spec = space.decode(space.first())
    times = [table.milliseconds()[distinct_layers(space)[block]] for block in spec.blocks]
    assert sums(spec) == pytest.approx(sum(times)) and min(times) > 0
    names = [row[0] for row in rows_by_groups(table)[1]]
    assert "shuffle_block 4 4 8 3 2 8 xception, in torch" in names
