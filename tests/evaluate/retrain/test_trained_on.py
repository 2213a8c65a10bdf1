"""Networks trained on from a supernet's weights, beside the same ones from scratch."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from evaluate.estimate.run import estimate
from evaluate.html_report.facts.report import collect
from evaluate.html_report.page import page
from evaluate.retrain.config import RetrainConfig
from evaluate.retrain.finalists import network_of
from evaluate.retrain.report import report
from evaluate.retrain.run import prepare, retrain
from evaluate.shipping.card_facts import known_of_network
from evobit.main import run
from search.config import SearchStage
from search.results.export import export_best
from search.run import run_search
from supernet.architecture_file import save_architecture
from supernet.files import UserError, read_json
from supernet.spaces.mobilenet_groups import MobileNetGroups
from tests.evaluate.retrain.test_retrain import stage_of
from training.network_file import load_network
from training.run_files.folder import RunFolder
from training.supernet_file import load_supernet
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

SMALL = {"uniform": 1, "random": 0, "seeds": 2, "epochs": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained_on")


@pytest.fixture
def runs(made: Path, stages: dict) -> Path:
    """A supernet, a search on it and its best, made once; `bars` is each test's own reader."""
    if not (made / "best.json").exists():
        common = {name: stages[name] for name in ("space", "data", "seed")}
        train_supernet(SupernetStage(**common, supernet=stages["supernet"]), made / "supernet")
        stage = SearchStage(**common, search=stages["search"])
        run_search(stage, made / "search", made / "supernet")
        export_best(made / "search", made / "best.json")
    return made


def design(path: Path, space: MobileNetGroups, groups: int, **provenance: object) -> Path:
    save_architecture(path, space, space.uniform(groups), provenance=provenance)
    return path


def test_both_starts_have_their_rows(
    runs: Path, tmp_path: Path, stages: dict, tiny_space: MobileNetGroups
) -> None:
    """The networks from scratch are those of a run without a supernet, byte for byte."""
    best, supernet = runs / "best.json", runs / "supernet"
    stage = stage_of(stages, **SMALL, supernet=supernet, scratch_epochs=2)
    summary = retrain(stage, [best], runs / "on")
    rows = summary["networks"]
    found = [(row["name"], row["start"], row["epochs"]) for row in rows]
    others = [row["name"] for row in rows if row["kind"] != "finalist"]
    assert others, "the finalist is the uniform network: the test says nothing"
    assert found == [
        ("finalist", "trained on", 1),
        *((name, "trained on", 1) for name in others),
        ("finalist (from scratch)", "from scratch", 2),
    ]
    plain = stage_of(stages, **{**SMALL, "uniform": 0, "epochs": 2})
    retrain(plain, [best], tmp_path / "plain")
    for name in rows[-1]["networks"]:
        weights = Path(name) / "network.safetensors"
        assert (runs / "on" / weights).read_bytes() == (tmp_path / "plain" / weights).read_bytes()
    assert all("-on-seed" in name for row in rows[:-1] for name in row["networks"])
    manifest = RunFolder(runs / "on", "retrain").manifest
    assert manifest["inputs"]["supernet"]["path"] == str(supernet)
    assert network_of(runs / "on") == runs / "on" / rows[0]["networks"][0] / "network.safetensors"


def test_the_table_says_what_each_row_took(runs: Path, stages: dict) -> None:
    stage = stage_of(stages, **SMALL, supernet=runs / "supernet", scratch_epochs=2)
    retrain(stage, [runs / "best.json"], runs / "on")
    made = report(runs / "on")
    on, uniform, scratch = made.rows
    # 160 images in batches of 16; the supernet has 128 of them and 3 epochs, a path a step.
    assert (on["own_image_passes"], scratch["own_image_passes"]) == (160, 2 * 160)
    supernet = 3 * 128
    candidates = read_json(runs / "search" / "manifest.json", what="m")["summary"]["evaluations"]
    search = candidates * (64 + 32)
    assert uniform["image_passes"] == 160 + supernet
    assert on["image_passes"] == 160 + supernet + search
    assert scratch["image_passes"] == 2 * 160 + supernet + search
    for row in made.rows:
        assert 0 < row["own_core_minutes"] < row["core_minutes"]
    before = RunFolder(runs / "on", "retrain").manifest["work_before"]["supernet"]
    (of_supernet,) = (one["core_minutes"] for one in before.values())
    more = uniform["core_minutes"] - uniform["own_core_minutes"]
    assert more == pytest.approx(of_supernet)
    baselines = [one["baseline"] for one in made.differences if one["finalist"] == "finalist"]
    assert baselines[0].startswith("uniform") and baselines[1] == "finalist (from scratch)"
    # Alone from scratch: nothing to compare it with.
    assert all(one["finalist"] == "finalist" for one in made.differences)
    assert "| start | epochs | core-min, own | core-min, in all |" in made.markdown
    assert "bars.py:read, trained as the table says; limits" in made.markdown
    for name, stage_name in (("supernet", "supernet"), ("search", "search"), ("on", "retrain")):
        RunFolder(runs / name, stage_name).record("command", ["evobit", stage_name])
    facts = collect(runs / "on", runs / "search")
    order = [line.split()[1] for line in facts["commands"]]
    assert order == ["supernet", "search", "export", "retrain"]
    text = page(facts)
    assert "image passes in all, millions" in text
    assert "Trained on from weights of the supernet for 1 epochs" in text
    network = network_of(runs / "on")
    card = known_of_network(network, load_network(network)).sections["Training"]
    assert "| start | trained on |" in card and "made of: supernet" in card


def test_an_interrupted_run_goes_on(runs: Path, stages: dict, tmp_path: Path) -> None:
    stage = stage_of(stages, **SMALL, supernet=runs / "supernet", from_scratch="none")
    whole = retrain(stage, [runs / "best.json"], tmp_path / "run")
    assert [row["start"] for row in whole["networks"]] == ["trained on", "trained on"]
    folder = RunFolder(tmp_path / "run", "retrain")
    before = folder.manifest["work_before"]
    folder.record("summary", None)
    for network in sorted((tmp_path / "run" / "networks").iterdir())[:2]:
        (network / "test_score.json").unlink()
        (network / "network.safetensors").unlink()
    assert retrain(stage, [runs / "best.json"], tmp_path / "run") == whole
    assert folder.manifest["work_before"] == before
    # The search lies beside neither the file that is moved nor the run that is moved.
    shutil.copy(runs / "best.json", tmp_path / "best.json")
    folder.record("work_before", None)
    folder.record("summary", None)
    retrain(stage, [tmp_path / "best.json"], tmp_path / "run")
    made = report(tmp_path / "run")
    assert [row["core_minutes"] is None for row in made.rows] == [True, False]
    assert any("took in all is not known" in note for note in made.notes)
    assert "| – |" in made.markdown


def test_weights_are_the_paths(
    runs: Path, stages: dict, tmp_path: Path, tiny_space: MobileNetGroups
) -> None:
    slow = {**SMALL, "seeds": 1, "learning_rate": 1e-12}
    stage = stage_of(stages, **slow, supernet=runs / "supernet", from_scratch="all")
    summary = retrain(stage, [runs / "best.json"], tmp_path / "run")
    shared = load_supernet(runs / "supernet")
    starts = [row["start"] for row in summary["networks"]]
    assert starts == ["trained on"] * 2 + ["from scratch"] * 2
    for row in summary["networks"]:
        trained = load_network(tmp_path / "run" / row["networks"][0] / "network.safetensors")
        expected = dict(shared.extract(trained.architecture).named_parameters())
        is_path = all(
            torch.allclose(found, expected[name], rtol=0, atol=1e-8)
            for name, found in trained.network.named_parameters()
        )
        assert is_path == (row["start"] == "trained on")
    compared = {(one["finalist"], one["baseline"]) for one in report(tmp_path / "run").differences}
    uniform = "uniform g=1 (the best uniform network trained)"
    on = {("finalist", uniform), ("finalist", "finalist (from scratch)")}
    scratch = uniform.replace("g=1", "g=1 (from scratch)")
    assert compared == {*on, ("finalist (from scratch)", scratch)}


def test_given_baselines(stages: dict, tmp_path: Path, tiny_space: MobileNetGroups) -> None:
    best = design(tmp_path / "best.json", tiny_space, 2, limits={"max_ops": 1.0})
    ladder = design(tmp_path / "a.json", tiny_space, 4, design="a ladder")
    dense = design(tmp_path / "dense.json", tiny_space, 1)
    stage = stage_of(stages, **{**SMALL, "uniform": 0, "seeds": 1})
    prepared = prepare(stage, [best], [ladder, dense])
    kinds = [(entry.name, entry.kind) for entry in prepared.comparison.entries]
    assert kinds == [("finalist", "finalist"), ("a ladder", "given"), ("dense", "given")]
    assert len(prepared.comparison.warnings(tiny_space)) == 3
    assert estimate(stage, tmp_path / "run", [best], [ladder])["networks"] == 2
    retrain(stage, [best], tmp_path / "run", [ladder, dense])
    made = report(tmp_path / "run")
    assert [one["baseline"] for one in made.differences] == ["a ladder", "dense"]
    assert [row["kind"] for row in made.rows] == ["finalist", "given", "given"]
    assert "start" not in made.rows[0] and "core-min" not in made.markdown
    same = design(tmp_path / "b.json", tiny_space, 1, design="a ladder")
    with pytest.raises(UserError, match="another network to compare with is named 'a ladder'"):
        prepare(stage, [best], [ladder, same])
    taken = design(tmp_path / "finalist.json", tiny_space, 4)
    with pytest.raises(UserError, match="two networks of the comparison are named 'finalist'"):
        prepare(stage, [best], [taken])
    with pytest.raises(UserError, match="was made from another baseline 1"):
        retrain(stage, [best], tmp_path / "run", [dense, ladder])


def test_what_is_refused(
    runs: Path, stages: dict, tmp_path: Path, tiny_space: MobileNetGroups
) -> None:
    with pytest.raises(ValueError, match="supernet and start_from both say"):
        RetrainConfig(supernet=runs, start_from=runs)
    with pytest.raises(ValueError, match="every one of the phases has epochs of its own"):
        RetrainConfig(scratch_epochs=2, phases=({"epochs": 1},))

    def refused(message: str, supernet: Path) -> None:
        with pytest.raises(UserError, match=message):
            retrain(stage_of(stages, **SMALL, supernet=supernet), [], tmp_path / "run")
        assert not (tmp_path / "run").exists()

    refused("not a run folder", tmp_path)
    refused("holds a run of stage 'search', not 'supernet'", runs / "search")
    stages["data"] = {**stages["data"], "search_fraction": 0.3}
    refused("was trained on another split of the data", runs / "supernet")
    stages["space"] = {**stages["space"], "activation": "rprelu"}
    refused("was trained on another space: activation is 'rprelu'", runs / "supernet")


def test_by_the_command_line(
    runs: Path,
    stages: dict,
    tmp_path: Path,
    tiny_space: MobileNetGroups,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    design(Path("ladder.json"), tiny_space, 4)
    stages["retrain"] |= SMALL
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))
    line = ["retrain", "tiny.yaml", str(runs / "best.json"), "--supernet", str(runs / "supernet")]
    line += ["--against", "ladder.json", "--json"]
    assert run([*line, "--dry-run"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert run(line) == 0
    rows = json.loads(capsys.readouterr().out)["networks"]
    assert planned["networks"] == sum(len(row["networks"]) for row in rows)
    assert "ladder" in [role["name"] for row in rows for role in row["roles"]]
    assert run([*line, "--set", f"retrain.start_from={runs}"]) == 2
    assert "both say what networks begin with" in capsys.readouterr().err
