"""Tables built on this machine for a tiny space, interrupted builds, and tables from elsewhere."""

import csv
import json

import pytest

from deploy.kernels.library import backend_info
from latency_tables import build as building
from latency_tables.build import BuildSettings, build_table
from latency_tables.exchange import export_layers, export_networks, import_table
from latency_tables.layer_keys import distinct_layers
from latency_tables.predictor import Predictor, check_predictor
from latency_tables.table import load_table
from supernet.files import UserError
from supernet.spaces.published import PublishedNetworkSpace

SETTINGS = BuildSettings(turns=1, rounds=2, fitted=4, held_out=4)

needs_native = pytest.mark.skipif(
    backend_info()["backend"] != "native", reason="the compiled kernels are not installed"
)


@needs_native
def test_every_layer_is_measured(tiny_space, tmp_path):
    advanced = []
    table = build_table(
        tiny_space, tmp_path / "t.csv", SETTINGS, lambda done, total: advanced.append((done, total))
    )
    assert set(table.frame.index) == set(distinct_layers(tiny_space).values())
    assert (table.frame["latency_ms"] > 0).all()
    total = 2 * (3 + 8)  # 2 rounds of 3 covering and 8 whole networks
    assert advanced == [(i + 1, total) for i in range(total)]
    assert load_table(tmp_path / "t.csv").header == table.header
    assert table.header.held_out.networks == len(table.header.points) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@needs_native
@pytest.mark.parametrize(
    "options",
    [
        {"network": "binarynet", "image_size": 16},
        {"network": "reactnet-a", "image_size": 16, "stem": "small", "width": 0.25},
    ],
)
def test_a_space_of_one_network_has_no_correction(tmp_path, options):
    space = PublishedNetworkSpace(classes=3, **options)
    table = build_table(space, tmp_path / "t.csv", SETTINGS)
    loaded = load_table(tmp_path / "t.csv")
    assert loaded.header == table.header
    assert (loaded.header.intercept_ms, loaded.header.factor) == (0, 1)
    assert loaded.header.held_out is None and loaded.header.repeat_correlation is None
    ((predicted, measured),) = loaded.header.points
    assert [one["choices"] for one in loaded.header.references] == [{}]
    assert measured == loaded.header.references[0]["latency_ms"]
    # The plain sum; every layer's six digits round by up to 5e-6 of it.
    found = Predictor(loaded)(space.decode(space.first()))
    assert found == pytest.approx(predicted, rel=1e-5, abs=1e-6)
    with pytest.raises(UserError, match="too few networks to tell"):
        check_predictor(loaded, "t.csv")


class Interrupted(Exception):
    """The user's Ctrl-C."""


@needs_native
@pytest.mark.parametrize("after", [1, 5, 9])
def test_an_interrupted_build_goes_on(tiny_space, tmp_path, after, monkeypatch):
    def stop(done, total):
        if done == after:
            raise Interrupted

    with pytest.raises(Interrupted):
        build_table(tiny_space, tmp_path / "t.csv", SETTINGS, stop)
    assert not (tmp_path / "t.csv").exists()
    progress = tmp_path / "t.csv.progress"
    kept = progress.read_text().splitlines()[1:]
    assert len(kept) == after
    with progress.open("a") as file:
        file.write('["layers 0')  # torn by the power cut
    measured = []
    original = building.Records.add
    monkeypatch.setattr(
        building.Records, "add", lambda self, *one: (measured.append(one), original(self, *one))
    )
    build_table(tiny_space, tmp_path / "t.csv", SETTINGS)
    assert len(measured) == 2 * (3 + 8) - after
    assert not progress.exists()


@needs_native
def test_measurements_of_other_settings_are_not_mixed(tiny_space, tmp_path):
    (tmp_path / "t.csv.progress").write_text('{"threads": 2}\n')
    with pytest.raises(UserError, match="another space, device or settings"):
        build_table(tiny_space, tmp_path / "t.csv", SETTINGS)


def fill(path, milliseconds) -> None:
    """Write a time into every row of an exported CSV, as a device's own script would."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    with path.open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "latency_ms": milliseconds(row)} for row in rows)


def test_a_table_from_elsewhere(tiny_space, tmp_path):
    layers, networks = tmp_path / "layers.csv", tmp_path / "networks.csv"
    assert export_layers(tiny_space, layers) == len(distinct_layers(tiny_space))
    assert export_networks(tiny_space, networks) == 27
    fill(
        layers,
        lambda row: 1 + 0.1 * float(row["groups"] or 1) + 0.01 * float(row["in_channels"] or 1),
    )
    plain = import_table(tiny_space, layers, tmp_path / "plain.csv", device="phone")
    assert plain.header.held_out is None
    predict = Predictor(plain)

    def network_ms(row):
        spec = tiny_space.decode(tiny_space.architecture(json.loads(row["choices"])))
        return 3 + 2 * predict(spec)

    fill(networks, network_ms)
    table = import_table(
        tiny_space, layers, tmp_path / "t.csv", device="phone", networks=networks, threads=4
    )
    assert (table.header.source, table.header.device, table.header.threads) == (
        "imported", "phone", 4,
    )  # fmt: skip
    assert table.header.intercept_ms == pytest.approx(3, abs=1e-6)
    assert table.header.factor == pytest.approx(2, abs=1e-6)
    assert table.header.held_out.mean_error_percent < 1e-6
    assert load_table(tmp_path / "t.csv").header == table.header


@needs_native
def test_a_folder_in_the_tables_place_is_refused_before_anything_is_measured(tiny_space, tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        build_table(tiny_space, tmp_path, SETTINGS, lambda done, total: pytest.fail("measured"))


def test_imports_that_are_wrong(tiny_space, tmp_path):
    layers, networks = tmp_path / "layers.csv", tmp_path / "networks.csv"
    export_layers(tiny_space, layers)
    with pytest.raises(UserError, match="expected milliseconds above 0"):
        import_table(tiny_space, layers, tmp_path / "t.csv", device="phone")
    fill(layers, lambda row: 1)
    lines = layers.read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UserError, match="no entry for the layer 'head"):
        import_table(tiny_space, tmp_path / "short.csv", tmp_path / "t.csv", device="phone")
    export_networks(tiny_space, networks)
    with pytest.raises(UserError, match="networks.csv, line 2"):
        import_table(tiny_space, layers, tmp_path / "t.csv", device="phone", networks=networks)
    assert not (tmp_path / "t.csv").exists()
