"""The commands of the stages on a tiny space and data, run for real, and every refusal."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from deploy.card_file import read_card
from evobit.main import run
from supernet.architecture_file import save_architecture
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.run_files.folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> Path:
    """A working folder with a config and an architecture of its space."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))
    space = MobileNetGroups(**_options(stages["space"]))
    save_architecture("a.json", space, space.first())
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finished")


def _options(description: dict) -> dict:
    options = {name: value for name, value in description.items() if name != "name"}
    options["groups"] = tuple(options["groups"])
    options["blocks"] = tuple(map(tuple, options["blocks"]))
    return options


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_whole_path_step_by_step(
    folder: Path, stages: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["search", "tiny.yaml"]) == 2
    assert "no supernet run in runs/tiny-supernet" in capsys.readouterr().err
    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.epochs=6", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["steps"] == 6 * 8 and "next: " not in printed.err
    assert json.loads(printed.out)["update_counts"]
    assert RunFolder(Path("runs/tiny-supernet"), "supernet").config["supernet"]["epochs"] == 6
    assert run(["search", "tiny.yaml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["evaluations"] == 12  # 4 + 2 x 4
    history = Path("runs/tiny-search/history.jsonl").read_text().splitlines()
    assert len(history) == len({line.split('"architecture"')[1][:120] for line in history}) == 12
    assert set(json.loads(history[0])) == {
        "index", "architecture", "costs", "top1", "generation", "origin",
    }  # fmt: skip

    assert run(["export", "runs/tiny-search", "-o", "best.json"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "best.json\n"
    assert printed.err == "evobit: next: evobit retrain CONFIG best.json\n"
    best = json.loads(Path("best.json").read_text())
    assert run(["cost", "best.json", "--verify", "--json"]) == 0
    costs = json.loads(capsys.readouterr().out)
    assert costs.pop("verified") and costs == best["costs"]

    assert run(["export", "runs/tiny-search", "--pareto"]) == 0
    files = capsys.readouterr().out.splitlines()
    assert files[0] == "front/architecture-1.json" and files[-1] == "front/front.svg"
    assert run(["export", "runs/tiny-search", "--pareto"]) == 0
    chosen = "evobit: next: evobit retrain CONFIG front/architecture-N.json"
    assert last(capsys.readouterr().err) == chosen

    assert run(["retrain", "tiny.yaml", "best.json"]) == 0
    capsys.readouterr()
    assert run(["report", "runs/tiny-retrain", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in report["networks"]] == ["finalist", "uniform", "random"]
    assert all(len(row["top1"]) == 2 for row in report["networks"])
    assert report["networks"][0]["ops"] == best["costs"]["ops"]
    assert Path("runs/tiny-retrain/report.md").exists()

    network = next(Path("runs/tiny-retrain/networks").glob("*/network.safetensors"))
    assert run(["evaluate", str(network), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    kept = json.loads((network.parent / "test_score.json").read_text())
    assert scored["images"] == 40 and scored["top1"] == pytest.approx(kept["top1"], abs=1e-3)

    # Every step again: finished runs say so by doing nothing.
    before = snapshot(folder / "runs")
    capsys.readouterr()
    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.epochs=6"]) == 0
    printed = capsys.readouterr()
    assert last(printed.err) == "evobit: next: evobit search tiny.yaml"
    assert "steps" in printed.out and "update_counts" not in printed.out
    assert run(["search", "tiny.yaml"]) == 0
    printed = capsys.readouterr()
    assert last(printed.err) == "evobit: next: evobit export runs/tiny-search -o best.json"
    assert run(["retrain", "tiny.yaml", "best.json"]) == 0
    printed = capsys.readouterr()
    assert last(printed.err) == (
        "evobit: next: evobit report runs/tiny-retrain --html; "
        f"evobit pack runs/tiny-retrain --allow {stages['data']['name']} -o model.evobit"
    )
    assert Path("runs/tiny-retrain/report.md").read_text() in printed.out
    finalist = f"runs/tiny-retrain/{report['networks'][0]['networks'][0]}/network.safetensors"
    assert last(printed.out) == f"finalist: {finalist}"
    after = snapshot(folder / "runs")
    assert {path for path in before if before[path] != after[path]} == set()

    # A retraining's folder stands for its finalist.
    assert run(["evaluate", "runs/tiny-retrain", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["checkpoint"] == finalist
    assert run(["pack", finalist, "-o", "named.evobit", "--json"]) == 0
    assert "next: " not in capsys.readouterr().err
    assert run(["pack", "runs/tiny-retrain", "-o", "a b.evobit"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "evobit: next: evobit predict 'a b.evobit' IMAGE..."
    assert f"evobit: runs/tiny-retrain: its finalist's network is {finalist}" in said
    assert Path("a b.evobit").read_bytes() == Path("named.evobit").read_bytes()
    assert run(["pack", "runs/tiny-search"]) == 2
    one_line(capsys, "runs/tiny-search: holds a run of stage 'search', not 'retrain'")
    manifest = RunFolder(Path("runs/tiny-retrain"), "retrain")
    manifest.record("summary", {**(manifest.summary or {}), "networks": []})
    assert run(["evaluate", "runs/tiny-retrain"]) == 2
    one_line(capsys, "runs/tiny-retrain: has no finalist")
    manifest.record("summary", None)
    assert run(["pack", "runs/tiny-retrain"]) == 2
    one_line(capsys, "'evobit retrain CONFIG ARCH.json... --run runs/tiny-retrain' resumes it")
    RunFolder(Path("runs/tiny-supernet"), "supernet").record("summary", None)
    assert run(["search", "tiny.yaml", "--run", "runs/new"]) == 2
    one_line(capsys, "'evobit train-supernet CONFIG --run runs/tiny-supernet' resumes it")


def test_a_pareto_search(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.epochs=1"]) == 0
    words = ["search", "tiny.yaml", "--set", "search.searcher=nsga2", "--set"]
    assert run([*words, "search.objectives=[bits, ms]", "--dry-run"]) == 2
    assert "no objective 'ms'; objectives beside top1 are" in capsys.readouterr().err
    assert run([*words, "search.objectives=[bits, ops]", "--dry-run"]) == 0
    capsys.readouterr()
    assert run([*words, "search.objectives=[bits, ops]", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert run(["export", "runs/tiny-search", "--pareto", "-o", "all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == len(found["front"]) + 2
    front = json.loads(Path("all/front.json").read_text())
    assert list(front["reference"]) == ["top1", "bits", "ops"]
    assert front["hypervolume"] == found["hypervolume"]
    assert run(["export", "runs/tiny-search", "--pareto", "--objective", "parameters"]) == 0
    front = json.loads(Path("front/front.json").read_text())
    assert list(front["objectives"]) == ["top1", "parameters"]
    assert run(["export", "runs/tiny-search", "--pareto", "--limit", "max_ops=1"]) == 2
    assert run(["export", "runs/tiny-search", "--objective", "ops"]) == 2


def test_demo_resumes_and_reports(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--config", "tiny.yaml", "--run", "shown", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    card = read_card(Path("shown/finalist.evobit.md"))
    assert card is not None and first["demo"]["card"] == "shown/finalist.evobit.md"
    assert f"| median, ms | {first['bench']['latency_ms']:.4g} |" in card.sections["Latency"]
    assert "finalist.evobit" in card.sections["File"]
    assert '<script type="application/json" id="report">' in Path("shown/report.html").read_text()
    shutil.rmtree("shown/retrain")
    assert run(["demo", "--config", "tiny.yaml", "--run", "shown", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    taken = ("core_minutes", "own_core_minutes")
    first_rows, rows = (
        [
            {name: value for name, value in row.items() if name not in taken}
            for row in one["networks"]
        ]
        for one in (first, again)
    )
    assert first_rows == rows, "retraining is deterministic"
    assert {row["start"] for row in rows} == {"trained on", "from scratch"}
    names = [row["name"] for row in rows]
    assert names[0] == "finalist" and again["finals"]["design"] in names
    assert {one["goes_on"] for one in again["finals"]["rungs"][0]["entrants"]} == {True, False}


@pytest.mark.parametrize("words", [["train-supernet"], ["search"], ["retrain", "a.json"]])
def test_dry_run_estimates_and_does_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    command, *rest = words
    assert run([command, "tiny.yaml", *rest, "--dry-run", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["time_s"] >= 0 and shown["disk_bytes"] > 0 and shown["memory_bytes"] > 0
    assert not Path("runs").exists()


@pytest.mark.parametrize("words", [["train-supernet"], ["search"], ["retrain", "a.json"]])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sead": 1}, "unknown section 'sead'; did you mean 'seed'?"),
        ({"seed": "x"}, "field 'seed' is 'x': expected a whole number"),
        ({"groups": [1, 3]}, "3 groups divide the channels of no block"),
        ({"wdith": 1}, "did you mean 'space.width'?"),
    ],
)
def test_a_wrong_config_changes_nothing(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    change: dict,
    expected: str,
) -> None:
    path = Path("tiny.yaml")
    config = yaml.safe_load(path.read_text())
    if set(change) & {"groups", "wdith"}:
        config["space"].update(change)
    else:
        config.update(change)
    path.write_text(yaml.safe_dump(config))
    before = snapshot(folder)
    command, *rest = words
    assert run([command, "tiny.yaml", *rest]) == 2
    one_line(capsys, expected)
    assert snapshot(folder) == before


def last(text: str) -> str:
    """The last line."""
    return text.splitlines()[-1]


def one_line(capsys: pytest.CaptureFixture[str], expected: str) -> None:
    printed = capsys.readouterr()
    assert expected in printed.err
    assert len(printed.err.splitlines()) == 1 and printed.out == ""


def test_an_architecture_of_another_space_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = MobileNetGroups()
    save_architecture("other.json", other, other.first())
    assert run(["retrain", "tiny.yaml", "a.json", "other.json"]) == 2
    one_line(capsys, "other.json: belongs to another search space")
    assert not Path("runs").exists()


def test_a_limit_below_the_cheapest_architecture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train-supernet", "tiny.yaml", "--run", "runs/other", "--set", "seed=3"]) == 0
    following = last(capsys.readouterr().err).removeprefix("evobit: next: evobit ").split()
    assert following == ["search", "tiny.yaml", "--supernet", "runs/other", "--set", "seed=3"]
    assert run([*following, "--set", "search.max_ops=10"]) == 2
    one_line(capsys, "cheapest")
    assert not Path("runs/tiny-search").exists()


def test_a_checkpoint_that_does_not_match(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from supernet.files import load_weights, save_weights

    assert run(["retrain", "tiny.yaml", "a.json", "--set", "retrain.seeds=1"]) == 0
    capsys.readouterr()
    network = next(Path("runs/tiny-retrain/networks").glob("*/network.safetensors"))
    tensors, metadata = load_weights(network)
    renamed = {name.replace("head.linear", "head.final"): t for name, t in tensors.items()}
    save_weights("renamed.safetensors", renamed, metadata)
    assert run(["evaluate", "renamed.safetensors"]) == 2
    one_line(capsys, "missing head.linear.bias, head.linear.weight; unexpected head.final.bias")
    name = "block1_spatial.conv.weight"
    save_weights("shapes.safetensors", {**tensors, name: tensors[name][:1]}, metadata)
    assert run(["evaluate", "shapes.safetensors"]) == 2
    one_line(capsys, f"wrong shape: {name} is (1, 8, 3, 3), expected (8, 8, 3, 3)")
    save_weights("plain.safetensors", tensors)
    assert run(["evaluate", "plain.safetensors"]) == 2
    one_line(capsys, "expected format 'evobit/network'")
    Path("cut.safetensors").write_bytes(network.read_bytes()[:500])
    assert run(["evaluate", "cut.safetensors"]) == 2
    one_line(capsys, "cut.safetensors: cannot be read")
    for other in ("tiny.yaml", "a.json"):
        assert run(["pack", other]) == 2
        one_line(
            capsys,
            f"{other}: cannot be read (not safetensors, or damaged); expected a trained network's "
            "file (network.safetensors, which 'evobit retrain' writes)",
        )


def test_supernet_weights_that_do_not_match(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from supernet.files import load_weights, save_weights

    assert run(["train-supernet", "tiny.yaml"]) == 0
    capsys.readouterr()
    path = Path("runs/tiny-supernet/supernet.safetensors")
    tensors, metadata = load_weights(path)
    tensors.pop("blocks.head.linear.bias")
    save_weights(path, tensors, metadata)
    assert run(["search", "tiny.yaml"]) == 2
    assert "missing blocks.head.linear.bias" in capsys.readouterr().err
