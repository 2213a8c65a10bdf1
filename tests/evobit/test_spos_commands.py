"""A space of real-valued blocks through every command, for real; what cannot be done is refused."""

import json
from pathlib import Path

import pytest
import yaml

from evobit.main import run

TINY = {
    "name": "spos-blocks",
    "image_size": 8,
    "classes": 4,
    "in_channels": 1,
    "stem_channels": 4,
    "stem_stride": 1,
    "stages": [[8, 2], [16, 1]],
    "last_channels": 12,
}
COST = ["cost", "--space", "spos-blocks"]
PUBLISHED = "2,1,0,1,2,0,2,0,2,0,2,3,0,0,0,0,3,2,3,3"
WINNER = "0,0,3,1,1,1,0,0,2,0,2,1,1,0,2,0,2,1,3,2"
SCALE_IDS = "6,5,3,5,2,6,3,4,2,5,7,5,4,6,7,4,4,5,4,3"
SCALES = "1.4,1.2,0.8,1.2,0.6,1.4,0.8,1.0,0.6,1.2,1.6,1.2,1.0,1.4,1.6,1.0,1.0,1.2,1.0,0.8"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump({**stages, "space": TINY}))
    return tmp_path


def result(capsys: pytest.CaptureFixture[str], words: list[str]) -> dict:
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def one_line(capsys: pytest.CaptureFixture[str], expected: str) -> None:
    printed = capsys.readouterr()
    assert expected in printed.err
    assert len(printed.err.splitlines()) == 1 and printed.out == ""


def test_the_whole_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert result(capsys, ["train-supernet", "tiny.yaml", "--dry-run"])["memory_bytes"] > 0
    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.epochs=1"]) == 0
    found = result(capsys, ["search", "tiny.yaml", "--set", "search.max_flops=60000"])
    assert found["evaluations"] == 12
    assert run(["export", "runs/tiny-search", "-o", "best.json"]) == 0
    best = json.loads(Path("best.json").read_text())
    assert best["costs"]["flops"] <= 60000
    assert set(best["choices"].values()) <= {"3x3", "5x5", "7x7", "xception"}
    costs = result(capsys, ["cost", "best.json", "--verify"])
    assert costs.pop("verified") and costs == best["costs"]
    words = ["retrain", "tiny.yaml", "best.json", "--set", "retrain.seeds=1"]
    assert run([*words, "--set", "retrain.epochs=1"]) == 0
    networks = sorted(Path("runs/tiny-retrain/networks").glob("*/network.safetensors"))
    assert len(networks) == 3  # the finalist, a uniform one, a random one
    assert result(capsys, ["evaluate", str(networks[0])])["images"] == 40

    assert run(["pack", str(networks[0]), "-o", "model.evobit"]) == 2
    one_line(capsys, "block 'block1' (ShuffleBlockSpec): there is no packed operation for it")
    assert not Path("model.evobit").exists()


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_nested_sharing_is_refused_before_a_run_begins(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    words = ["train-supernet", "tiny.yaml", "--set", "supernet.sharing=nested"]
    assert run([*words, *options]) == 2
    one_line(
        capsys, "block 'block1' of space 'spos-blocks' is a choice of whole blocks: use sharing"
    )
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "flops", "parameters"),
    [
        (["--choices", PUBLISHED], 322.919e6, 3.558e6),
        (["--choices", WINNER], 318.729e6, 3.345e6),
        (["--choices", WINNER, "--set", f"mid_scales=[{SCALES}]"], 327.858e6, 3.433e6),
        (["--choices", WINNER, "--widths", SCALE_IDS], 327.858e6, 3.433e6),
    ],
)
def test_published_counts(
    capsys: pytest.CaptureFixture[str], options: list[str], flops: float, parameters: float
) -> None:
    costs = result(capsys, [*COST, *options])
    assert (round(costs["flops"], -3), round(costs["parameters"], -3)) == (flops, parameters)


def test_widths_that_no_space_has_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*COST, "--choices", WINNER, "--widths", "9"]) == 2
    one_line(capsys, "--widths: position 'block1.width' has no choice 9")
    assert run(["cost", "--space", "mixed-precision", "--widths", "1"]) == 2
    one_line(capsys, "has no position of channels")


def test_one_choice_for_all_and_small_images(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--image-size", "32", "--classes", "10", "--stem-stride", "1"]
    of_all = result(capsys, [*COST, *small, "--choices", "3"])
    assert of_all == result(capsys, [*COST, *small, "--choices", ",".join("3" * 20)])
    assert result(capsys, [*COST, *small]) == result(capsys, [*COST, *small, "--choices", "0"])
    assert of_all != result(capsys, [*COST, *small])


def test_choices_of_another_space(capsys: pytest.CaptureFixture[str]) -> None:
    # The third number of groups is 4.
    named = ["cost", "--space", "mobilenet-groups"]
    assert result(capsys, [*named, "--choices", "2"]) == result(capsys, [*named, "--groups", "4"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*COST, "--choices", "1,2"], "--choices: 2 numbers; expected 1, or 20, one a position"),
        (
            [*COST, "--choices", "4"],
            "position 'block1' has no choice 4; there are 0 (3x3), 1 (5x5), 2 (7x7), 3 (xception)",
        ),
        ([*COST, "--choices", "-1"], "has no choice -1"),
        ([*COST, "--choices", "3x3"], "--choices 3x3: expected whole numbers"),
        ([*COST, "--choices", "1", "--groups", "1"], "give --groups or --choices, not both"),
        ([*COST, "--groups", "1"], "space 'spos-blocks' has no groups to choose; use --choices"),
        ([*COST, "--width", "0.5"], "space 'spos-blocks' has no option 'width'"),
        (["cost", "--network", "bireal-18", "--choices", "1"], "--network takes no file"),
    ],
)
def test_wrong_requests(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert run(words) == 2
    one_line(capsys, message)
