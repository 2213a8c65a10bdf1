"""Tables of a user's own space, one of whose blocks has no packed operations.

It is the bottleneck, whose operations are taken away here.
"""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml

from deploy.kernels.library import backend_info
from deploy.lowering import network as lowering
from evobit.main import run
from latency_tables.build import BuildSettings, build_table
from latency_tables.layer_keys import distinct_layers, layers_in_torch
from latency_tables.plot import rows_by_groups
from latency_tables.predictor import Predictor
from latency_tables.table import load_table
from latency_tables.timing import pixels, random_network, time_layers
from search.limits.latency import LatencyConfig, open_latency
from supernet.spaces import space_from_description
from supernet.spec import BottleneckSpec, LogitsSpec, NetworkSpec, StemSpec

pytestmark = pytest.mark.skipif(
    backend_info()["backend"] != "native", reason="the compiled kernels are not installed"
)

SPACE = f"{Path(__file__).with_name('mixed_space.py')}:MixedSpace"
SETTINGS = BuildSettings(turns=1, rounds=2, fitted=4, held_out=4)
BOTTLENECK = "bottleneck in_channels=16 out_channels=16 stride=1 in_size=8 first=True last=True"


@pytest.fixture(autouse=True)
def bottlenecks_in_torch(monkeypatch):
    monkeypatch.delitem(lowering._LOWERED, BottleneckSpec)


@pytest.fixture
def space():
    return space_from_description({"name": SPACE})


def test_a_table_says_what_runs_in_torch_and_serves_a_search(space, tmp_path):
    path = tmp_path / "t.csv"
    build_table(space, path, SETTINGS)
    table = load_table(path)
    # Stem, a unit of 1 or 4 groups, the bottleneck, head.
    assert set(table.frame.index) == set(distinct_layers(space).values())
    assert len(table.frame) == 5
    assert layers_in_torch(space) == [BOTTLENECK]
    assert table.header.layers_in_torch == 1
    assert {key for key, where in table.frame["runs_on"].items() if where == "torch"} == {
        BOTTLENECK
    }
    assert set(table.frame["runs_on"]) == {"packed", "torch"}
    assert table.header.held_out.networks == 4
    sums = Predictor(table.with_header(intercept_ms=0.0, factor=1.0))
    for choices in product((1, 4, "bottleneck"), repeat=3):
        names = (position.name for position in space.positions)
        spec = space.decode(space.architecture(dict(zip(names, choices, strict=True))))
        times = [table.milliseconds()[distinct_layers(space)[block]] for block in spec.blocks]
        assert sums(spec) == pytest.approx(sum(times)) and sums(spec) > 0
    latency = open_latency(LatencyConfig(latency_table=path, trust_latency_table=True), space)
    assert latency.measure(spec) > 0  # three bottlenecks
    assert latency.measure(space.decode(space.first())) > 0  # none
    names = [row[0] for row in rows_by_groups(table)[1]]
    assert "bottleneck 16 16 1 8 first last, in torch" in names
    assert sum(name.endswith("in torch") for name in names) == 1


def test_a_block_without_a_step_is_no_layer_of_a_table(tmp_path):
    space = space_from_description({"name": SPACE, "binary_end": True})
    build_table(space, tmp_path / "t.csv", SETTINGS)
    table = load_table(tmp_path / "t.csv")
    assert "logits num_classes=4" not in table.milliseconds()
    assert np.isfinite(Predictor(table)(space.decode(space.first())))


def test_build_and_show_tell_of_layers_in_torch(tmp_path, capsys, monkeypatch, stages):
    monkeypatch.chdir(tmp_path)
    for name, fitted in (("TURNS", 1), ("NETWORKS_FITTED", 4), ("NETWORKS_HELD_OUT", 4)):
        monkeypatch.setattr(f"latency_tables.build.{name}", fitted)
    Path("mixed.yaml").write_text(yaml.safe_dump({**stages, "space": {"name": SPACE}}))
    build = ["latency-table", "build", "--config", "mixed.yaml", "-o", "t.csv", "--rounds", "2"]
    assert run(build) == 0
    assert f"1 of 5 layers have no 1-bit kernel and run in torch: {BOTTLENECK}" in (
        " ".join(capsys.readouterr().err.split())
    )
    assert run(["latency-table", "show", "t.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers_in_torch"] == 1
    assert run(["latency-table", "show", "t.csv"]) == 0
    shown = capsys.readouterr().out
    assert "layers_in_torch" in shown and "in torch" in shown


def test_every_step_counts_to_a_block(space):
    spec = space.decode(
        space.architecture({"block1": 4, "block2": "bottleneck", "block3": "bottleneck"})
    )
    network = random_network(spec)
    images = pixels(spec, 2)
    steps = network.layer_times(images, 1)
    assert [step.name for step in steps if step.kernel == "torch"] == ["block2", "block3"]
    handed_over = [step.name for step in steps if step.name.endswith(".handed_over")]
    assert handed_over == ["block2.handed_over", "block3.handed_over"]
    sample = time_layers(network, spec.block_names, images)
    assert len(sample.ms) == len(spec.blocks) == 5
    assert min(sample.ms) > 0
    assert np.isfinite(network(images)).all()


def test_a_network_that_torch_begins_or_ends():
    block = BottleneckSpec(4, 8, 1, 1, first=True, last=True)
    spec = NetworkSpec("ends", 4, 1, 8, ("block", "logits"), (block, LogitsSpec(8)))
    assert random_network(spec)(pixels(spec, 3)).shape == (3, 8)
    stem = StemSpec(3, 4, 1, 1, 1)
    spec = NetworkSpec("end", 3, 1, 8, ("stem", "block", "logits"), (stem, *spec.blocks))
    network = random_network(spec)
    assert network(pixels(spec, 3)).shape == (3, 8)
    kernels = [step.kernel for step in network.layer_times(pixels(spec, 3), 1)]
    assert kernels[-3:] == ["copy", "torch", "torch"]
