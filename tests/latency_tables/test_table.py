"""Tables on disk: round trip, refusals, and what they predict."""

from pathlib import Path

import pandas as pd
import pytest

from latency_tables.layer_keys import distinct_layers
from latency_tables.machine import check_device, check_use, this_device
from latency_tables.plot import by_groups, predicted_against_measured
from latency_tables.predictor import (
    Predictor,
    check_predictor,
    errors,
    fit_line,
    rank_correlation,
)
from latency_tables.table import (
    COLUMNS,
    Errors,
    Header,
    LatencyTable,
    check_layers,
    load_table,
    save_table,
)
from supernet.files import UserError
from supernet.spaces import space_from_description

TABLES = Path(__file__).resolve().parents[2] / "latency_tables" / "tables"


@pytest.fixture
def table(tiny_space) -> LatencyTable:
    """Layer i takes i + 1 milliseconds."""
    device = this_device()
    rows = [
        (key, i + 1.0, i + 0.5, i + 1.5, 4, "packed")
        for i, key in enumerate(distinct_layers(tiny_space).values())
    ]
    header = Header(
        space=tiny_space.describe(),
        device=device.name,
        isa=device.isa,
        threads=1,
        batch=1,
        kernel_version=device.kernel_version,
        date="2026-01-01",
        source="measured",
        intercept_ms=0.25,
        factor=2.0,
        held_out=Errors(30, 5.0, 9.0, 0.99),
        points=[[1.0, 1.1], [2.0, 2.1]],
    )
    return LatencyTable(header, pd.DataFrame(rows, columns=list(COLUMNS)).set_index("layer"))


def test_a_table_is_a_file_and_back(table, tmp_path):
    save_table(tmp_path / "t.csv", table)
    found = load_table(tmp_path / "t.csv")
    assert found.header == table.header
    assert found.milliseconds() == table.milliseconds()
    assert pd.read_csv(tmp_path / "t.csv", comment="#").shape == (len(table.frame), len(COLUMNS))


def test_a_network_takes_the_corrected_sum_of_its_layers(table, tiny_space):
    layers = list(distinct_layers(tiny_space))
    spec = tiny_space.decode(tiny_space.first())
    expected = 0.25 + 2.0 * sum(layers.index(block) + 1.0 for block in spec.blocks)
    assert Predictor(table)(spec) == pytest.approx(expected)


def test_a_missing_layer_is_named(table, tiny_space):
    short = LatencyTable(table.header, table.frame.iloc[1:])
    with pytest.raises(UserError, match="no entry for the layer 'stem "):
        check_layers(short, distinct_layers(tiny_space), "t.csv")
    with pytest.raises(UserError, match="no entry for the layer 'stem "):
        Predictor(short)(tiny_space.decode(tiny_space.first()))


def test_lines_and_errors():
    assert fit_line([1, 2, 4], [5, 7, 11]) == pytest.approx((3, 2))
    found = errors([1.1, 1.8, 4.0], [1.0, 2.0, 4.0])
    assert found.networks == 3
    assert found.mean_error_percent == pytest.approx((10 + 10 + 0) / 3)
    assert found.worst_error_percent == pytest.approx(10)
    assert found.rank_correlation == 1
    # Ranks 1, 2, 3 against 2, 1, 3: 1 - 6 * (1 + 1) / (3 * 8) = 0.5.
    assert rank_correlation([1, 2, 3], [5, 4, 9]) == pytest.approx(0.5)
    assert rank_correlation([1, 1, 3], [1, 1, 9]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("held_out", "part"),
    [
        (Errors(30, 12.0, 20.0, 0.99), "off by 12.0 % on average"),
        (Errors(30, 2.0, 4.0, 0.85), "correlation of 0.85"),
        (None, "nobody measured"),
    ],
)
def test_a_poor_predictor_is_no_constraint(table, held_out, part):
    with pytest.raises(UserError, match=part) as caught:
        check_predictor(table.with_header(held_out=held_out), "t.csv")
    assert "trust_latency_table" in str(caught.value)
    check_predictor(table, "t.csv")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"kernel_version": 99}, "kernel version '99'"),
        ({"isa": "neon"}, "instruction set 'neon'"),
        ({"device": "a telephone"}, "device 'a telephone'"),
    ],
)
def test_another_device_is_refused(table, changes, part):
    with pytest.raises(UserError, match=part):
        check_device(table.with_header(**changes).header, "t.csv")
    check_device(table.header, "t.csv")


def test_another_use_is_refused(table):
    check_use(table.header, 1, 1, "t.csv")
    with pytest.raises(UserError, match="threads 1, the search asks for 2"):
        check_use(table.header, 2, 1, "t.csv")
    with pytest.raises(UserError, match="batch 1, the search asks for 8"):
        check_use(table.header, 1, 8, "t.csv")


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("# {", "{", "expected format"),
        ('"version": 1', '"version": 7', "version 7"),
        ('"threads": 1, ', "", "incomplete header"),
        (",1,0.5,1.5,", ",-1,0.5,1.5,", "latency_ms is '-1"),
        (",1,0.5,1.5,", ",nan,0.5,1.5,", "expected milliseconds above 0"),
        (",1,0.5,1.5,", ",,0.5,1.5,", "expected milliseconds above 0"),
        (",1,0.5,1.5,", ",inf,0.5,1.5,", "expected milliseconds above 0"),
        (",1,0.5,1.5,", ",1 us,0.5,1.5,", "latency_ms is '1 us'"),
        ("layer,latency_ms", "layer,latency_us", "no column 'latency_ms'"),
        ("runs_on", "joules", "column 'joules' is not known"),
        ("layer,", "Layer,", "no column 'layer'"),
    ],
)
def test_damage_is_named(table, tmp_path, old, new, part):
    save_table(tmp_path / "t.csv", table)
    text = (tmp_path / "t.csv").read_text()
    assert old in text
    (tmp_path / "t.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=part):
        load_table(tmp_path / "t.csv")


def test_a_layer_twice_and_no_file_are_refused(table, tmp_path):
    save_table(tmp_path / "t.csv", table)
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text + text.splitlines()[-1] + "\n")
    with pytest.raises(UserError, match="stands twice"):
        load_table(tmp_path / "t.csv")
    with pytest.raises(UserError, match="cannot be read"):
        load_table(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is no text"):
        load_table(tmp_path / "b.csv")


def test_the_pictures_show_the_tables_numbers(table):
    from xml.etree import ElementTree

    svg = "{http://www.w3.org/2000/svg}"
    layers = ElementTree.fromstring(by_groups(table))
    titles = {title.text for title in layers.iter(f"{svg}title")}
    grouped = {key for key in table.milliseconds() if " kernel_size=3 " in key and "groups" in key}
    assert grouped <= titles
    networks = ElementTree.fromstring(predicted_against_measured(table))
    groups = {g.get("class"): list(g.iter(f"{svg}circle")) for g in networks.iter(f"{svg}g")}
    assert len(groups["networks"]) == len(table.header.points)
    assert predicted_against_measured(table.with_header(points=[])) is None


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.csv")), ids=lambda path: path.stem)
def test_the_tables_that_come_with_evobit_are_of_these_kernels(path):
    table = load_table(path)
    space = space_from_description(table.header.space)
    check_layers(table, distinct_layers(space), path)
    check_predictor(table, path)
    assert table.header.kernel_version == this_device().kernel_version
    spec = space.decode(space.first())
    assert Predictor(table)(spec) > 0
