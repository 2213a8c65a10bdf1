"""`evobit cost`: exact numbers, and one line for every wrong input."""

import json
from pathlib import Path

import pytest

from evobit.main import run
from supernet.architecture_file import save_architecture
from supernet.spaces.mobilenet_groups import MobileNetGroups

ROOT = Path(__file__).parents[2]
SMALL = MobileNetGroups(
    image_size=8, classes=3, width=0.25, groups=(1, 2), blocks=((64, 1), (128, 2))
)
NAMED = ["cost", "--space", "mobilenet-groups"]
NAMES = ["ops", "flops", "bops", "bitops", "parameters", "binary_parameters", "bits"]


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "architecture.json"
    save_architecture(path, SMALL, SMALL.uniform(2), provenance={"run": "a test"})
    return path


def result(capsys, arguments):
    assert run([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def refused(capsys, arguments):
    """The one line of a command that must end with exit code 2."""
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert printed.err.startswith("evobit: ")
    return printed.err


@pytest.mark.parametrize(
    ("options", "ops"),
    [
        ([], 87_126_016),
        (["--groups", "4"], 37_000_192),
        (["--groups", "16"], 24_468_736),
        (["--groups", ",".join(["4"] * 13)], 37_000_192),
        (["--groups", "1", "--shortcut", "conv"], 215_576_576),
        (["--groups", "1", "--image-size", "224", "--classes", "1000"], 87_126_016),
    ],
)
def test_published_numbers(capsys, options, ops):
    costs, stderr = result(capsys, [*NAMED, *options])
    assert costs["ops"] == ops
    assert stderr == ""


def test_all_costs_of_the_ungrouped_network(capsys):
    costs, _ = result(capsys, [*NAMED, "--groups", "1"])
    assert list(costs) == NAMES
    assert costs["flops"] == 11_862_016
    assert costs["bops"] == 4_816_896_000
    assert costs["ops"] == costs["flops"] + costs["bops"] // 64
    assert costs["bitops"] == 4_816_896_000 + 32 * 32 * 11_862_016
    assert costs["bits"] == costs["binary_parameters"] + 32 * (
        costs["parameters"] - costs["binary_parameters"]
    )


def test_options_of_the_space(capsys):
    options = ["--width", "0.5", "--in-channels", "1", "--activation", "none"]
    costs, _ = result(capsys, [*NAMED, *options, "--classes", "10", "--stem-stride", "1"])
    space = {"width": 0.5, "in_channels": 1, "activation": "none", "classes": 10, "stem_stride": 1}
    by_set = [word for name, value in space.items() for word in ("--set", f"{name}={value}")]
    assert result(capsys, [*NAMED, *by_set])[0] == costs


def test_a_number_outside_the_usual_choices_counts_where_it_divides(capsys):
    numbers = ["1"] * 12 + ["64"]  # the last block has 1024 channels
    costs, _ = result(capsys, [*NAMED, "--groups", ",".join(numbers)])
    whole, _ = result(capsys, NAMED)
    # 1024 x 1024 x 9 multiply-adds at each of 7 x 7 pixels; 63/64 of them are saved.
    assert whole["bops"] - costs["bops"] == 1024 * 1024 * 9 * 49 * 63 // 64


def test_readable_table(capsys):
    assert run([*NAMED, "--groups", "4"]) == 0
    assert "37,000,192" in capsys.readouterr().out


def test_a_file_is_recomputed_and_a_lie_in_it_is_a_warning(capsys, saved):
    document = json.loads(saved.read_text())
    costs, stderr = result(capsys, ["cost", str(saved)])
    assert costs == document["costs"]
    assert stderr == ""
    document["costs"]["ops"] += 1
    saved.write_text(json.dumps(document))
    again, stderr = result(capsys, ["cost", str(saved)])
    assert again == costs
    assert "stores other costs: ops" in stderr


def test_a_file_from_before_bitops_is_read(capsys, saved):
    document = json.loads(saved.read_text())
    expected, _ = result(capsys, ["cost", str(saved)])
    del document["costs"]["bitops"]
    saved.write_text(json.dumps(document))
    assert result(capsys, ["cost", str(saved)]) == (expected, "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--groups", "3"], "3 does not divide the channels at position 'block1.spatial'"),
        (["--groups", "64"], "64 does not divide the channels at position 'block1.spatial'"),
        (["--groups", "1,1,5" + ",1" * 10], "at position 'block3.spatial'"),
        (["--groups", "1,2"], "2 numbers; expected 1, or 13"),
        (["--groups", "0"], "0 does not divide"),
        (["--groups", "a"], "expected whole numbers"),
        (["--shortcut", "none"], "shortcut is 'none': expected 'duplicate' or 'conv'"),
        (["--width", "0.3"], "width 0.3"),
        (["--image-size", "x"], "--image-size"),
        (["--no-such-option"], "--no-such-option"),
        (["--set", "wdith=1"], "has no option 'wdith'"),
    ],
)
def test_wrong_options(capsys, options, expected):
    assert expected in refused(capsys, [*NAMED, *options])


def test_wrong_commands(capsys, saved):
    assert "no search space 'resnet'" in refused(capsys, ["cost", "--space", "resnet"])
    assert "expected an architecture file" in refused(capsys, ["cost"])
    assert "give no other option" in refused(capsys, ["cost", str(saved), "--groups", "4"])
    assert "nothing" in refused(capsys, ["nothing"])


def edited(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.write_text(path.read_text()[:100]), "not complete, valid JSON"),
        (lambda path: path.write_text(""), "not complete, valid JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        (lambda path: edited(path, version=99), "version 99; this program reads version 1"),
        (lambda path: edited(path, format="other/thing"), "found 'other/thing'"),
        (lambda path: edited(path, choices=None), "field 'choices' is missing"),
        (lambda path: edited(path, choices={"block1.spatial": 1}), "no choice for position"),
        (lambda path: edited(path, space={"name": "mobilenet-groups"}), "no choice for position"),
        (lambda path: edited(path, space={"name": "unknown"}), "no search space 'unknown'"),
        (lambda path: path.unlink(), "No such file"),
    ],
)
def test_a_damaged_architecture_file(capsys, saved, damage, expected):
    damage(saved)
    before = saved.read_bytes() if saved.exists() else None
    message = refused(capsys, ["cost", str(saved)])
    assert expected in message
    assert str(saved) in message
    assert (saved.read_bytes() if saved.exists() else None) == before


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--groups", "8"], ["--shortcut", "conv"]])
def test_verify_counts_the_built_network(capsys, options):
    small = ["--image-size", "32", "--width", "0.25", "--classes", "10", "--set", "groups=[1,2,8]"]
    costs, _ = result(capsys, [*NAMED, *small, *options, "--verify"])
    assert costs["verified"]


def test_verify_that_finds_a_difference_fails(capsys, monkeypatch):
    verifier = pytest.importorskip("supernet.verify")

    def differs(spec):
        raise verifier.CostMismatch("stem.conv: 1 counted, 2 expected")

    monkeypatch.setattr(verifier, "verify", differs)
    assert run([*NAMED, "--verify"]) == 1
    assert "stem.conv: 1 counted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (["reactnet-a"], "ops", 87_126_016),
        (["bireal-18"], "ops", 163_985_408),
        (["binarynet"], "parameters", 10_355_850),
        (["reactnet-a", "--image-size", "32"], "bops", 98_304_000),
        (["bireal-18", "--image-size", "32", "--stem", "small"], "bops", 547_356_672),
        (["react-resnet-18", "--classes", "10"], "parameters", 11_196_554),
    ],
)
def test_published_networks(capsys, options, name, value):
    costs, stderr = result(capsys, ["cost", "--network", *options])
    assert costs[name] == value
    assert list(costs) == NAMES
    assert stderr == ""


def test_a_published_network_is_verified(capsys):
    options = ["cost", "--network", "reactnet-b", "--image-size", "32", "--verify"]
    costs, _ = result(capsys, options)
    assert costs.pop("verified") == costs


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--network", "reactnet-z"], "no network 'reactnet-z'"),
        (["--network", "bireal-18", "--shortcut", "conv"], "--network takes no --shortcut"),
        (["--network", "bireal-18", "--width", "0.3"], "width 0.3 makes 19.2 of 64 channels"),
        (["--network", "binarynet", "--width", "0.5"], "network 'binarynet' has no width but 1"),
        (["--network", "bireal-18", "--groups", "4"], "--network takes no file"),
        (["--network", "bireal-18", "--image-size", "-1"], "image_size is -1"),
        (["--space", "mobilenet-groups", "--stem", "small"], "--stem is an option of --network"),
    ],
)
def test_wrong_requests_for_a_published_network(capsys, options, part):
    assert part in refused(capsys, ["cost", *options])


GROUPS = "configs/fmnist_groups.yaml"


def test_the_hand_made_designs_of_a_config(capsys, monkeypatch):
    listed, _ = result(capsys, ["cost", "--designs", str(ROOT / GROUPS)])
    assert listed["limits"] == {"max_ops": 54_700}
    designs = {one["name"]: one for one in listed["designs"]}
    assert len(designs) == 50
    assert designs["uniform g=4"]["ops"] == 53_056 and designs["uniform g=4"]["within_limits"]
    assert not designs["uniform g=1"]["within_limits"]
    assert list(designs["g=1..8 early"]["choices"].values())[:4] == [1, 2, 2, 4]
    first = [one for one in designs.values() if one["in_generation_0"]]
    assert len(first) == 12 and all(one["within_limits"] for one in first)
    monkeypatch.setenv("COLUMNS", "120")
    assert run(["cost", "--designs", str(ROOT / GROUPS), "--set", "search.max_ops=40000"]) == 0
    table = capsys.readouterr().out
    assert table.startswith(
        "hand-made designs: 12 of 50 keep the limits, 12 of them in generation 0"
    )
    assert "within max_ops 40,000" in table and "g=8..32 late" in table


@pytest.mark.parametrize("more", [["--groups", "4"], ["--verify"], ["a.json"], ["--classes", "3"]])
def test_designs_are_of_a_config_alone(capsys, more):
    line = refused(capsys, ["cost", "--designs", str(ROOT / GROUPS), *more])
    assert "--designs takes a config and --set alone" in line


def test_a_wrong_field_beside_designs_is_named(capsys):
    line = refused(capsys, ["cost", "--designs", str(ROOT / GROUPS), "--set", "search.max_op=1"])
    assert "max_op" in line
