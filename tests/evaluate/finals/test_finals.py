"""Finals of a tiny search, really trained: who leaves when, what is written, what is refused."""

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from evaluate.finals.config import FinalsStage
from evaluate.finals.run import finals
from evaluate.html_report.facts.report import collect
from evaluate.html_report.page import page
from evaluate.retrain.compute import work_before
from evaluate.retrain.report import report
from evobit.commands.contest import contest_of
from evobit.main import run
from supernet.architecture_file import load_architecture, save_architecture
from supernet.files import UserError, read_json
from supernet.spaces import space_from_description
from tests.conftest import SharedRay
from tests.processes import begin, command
from training.data import open_training_data
from training.data.config import DataConfig
from training.network_file import load_network
from training.run_files.folder import RunFolder
from training.scoring.scorer import ScoringConfig, search_order
from training.supernet_file import load_supernet

FINALS = {"best": 3, "designs": 3, "rungs": [1, 2], "keep": 0.34, "seeds": 2}
SEARCH_IMAGES = 12  # of 32


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finals")


@pytest.fixture
def config(made: Path, stages: dict, monkeypatch: pytest.MonkeyPatch) -> Path:
    """c.yaml in a folder, which is the working folder, with a supernet and a search, made once."""
    monkeypatch.chdir(made)
    path = Path("c.yaml")
    if not path.exists():
        stages["search"]["scoring"]["search_images"] = SEARCH_IMAGES
        stages["finals"] = FINALS
        path.write_text(yaml.safe_dump(stages))
        assert run("train-supernet c.yaml --run supernet".split()) == 0
        assert run("search c.yaml --supernet supernet --run search".split()) == 0
        # Half of a search: interrupted before its end.
        shutil.copytree("search", "half")
        RunFolder(Path("half"), "search").record("summary", None)
        assert run("finals c.yaml search --run whole".split()) == 0
    return path


def allowed(config: Path) -> list[str]:
    return ["--allow", yaml.safe_load(config.read_text())["data"]["name"]]


def stage_of(config: Path, **changes: Any) -> FinalsStage:
    """The stage of c.yaml, its `finals` section changed."""
    sections = yaml.safe_load(config.read_text())
    own = {name: sections[name] for name in FinalsStage.model_fields if name in sections}
    return FinalsStage.model_validate({**own, "finals": {**own["finals"], **changes}})


def summary_of(folder: str | Path) -> dict[str, Any]:
    summary = RunFolder(Path(folder), "finals").summary
    assert summary is not None
    return summary


def test_who_left_when(config: Path) -> None:
    summary = summary_of("whole")
    first, second = summary["rungs"]
    assert (first["epochs"], second["epochs"]) == (1, 2)
    kinds = [one["kind"] for one in first["entrants"]]
    assert (kinds.count("found"), kinds.count("design")) == (3, 3)
    going = [one["name"] for one in first["entrants"] if one["goes_on"]]
    assert 3 <= len(going) <= 4
    assert sorted(going) == sorted(one["name"] for one in second["entrants"])
    assert {one["kind"] for one in second["entrants"]} == {"found", "design"}
    for rung in summary["rungs"]:
        losses = [one["loss"] for one in rung["entrants"]]
        assert losses == sorted(losses) and min(losses) > 0
    best = second["entrants"][0]
    assert (summary["winner"], summary["kind"]) == (best["name"], best["kind"])
    assert {summary["winner"], summary["rival"]} == {summary["found"], summary["design"]}
    assert summary["difference"]["loss"] >= 0
    # 128 images to train on, 32 to score on, each twice for the two seeds.
    assert summary["image_passes"] == 2 * (6 * (128 + 32) + len(going) * (2 * 128 + 32))
    table = Path("whole/report.md").read_text()
    assert all(f"| {one['name']} |" in table for one in first["entrants"])
    assert "which the search had not looked at" in table


def test_its_files_are_networks_that_know_where_they_come_from(config: Path) -> None:
    summary = summary_of("whole")
    rows = {one["name"]: one for one in summary["rungs"][-1]["entrants"]}
    recorded = RunFolder(Path("search"), "search").manifest["splits"]
    for file in ("found", "design", "winner"):
        space, architecture, document = load_architecture(Path("whole") / f"{file}.json")
        assert dict(architecture.choices) == rows[summary[file]]["choices"]
        assert document["provenance"]["finals"] == "whole"
        assert document["provenance"]["splits"] == recorded
        assert space.describe() == yaml.safe_load(config.read_text())["space"]
    assert load_architecture("whole/found.json")[2]["provenance"]["run"] == "search"
    assert load_architecture("whole/design.json")[2]["provenance"]["design"] == summary["design"]


def test_judged_on_images_that_the_search_did_not_look_at(config: Path) -> None:
    """Losses of a rung are recomputed here from the networks that it left."""
    summary = summary_of("whole")
    assert (summary["judging_images"], summary["is_fresh"]) == (32 - SEARCH_IMAGES, True)
    scoring = ScoringConfig(search_images=SEARCH_IMAGES)
    stage = yaml.safe_load(config.read_text())
    data = open_training_data(DataConfig(**stage["data"]))
    judging = search_order(data, scoring, stage["seed"])[SEARCH_IMAGES:]
    pixels, labels = data.search.read(judging)
    row = summary["rungs"][-1]["entrants"][0]
    each = []
    for k in range(2):
        (path,) = [
            file
            for file in Path("whole/networks").glob(f"*-rung2-seed{k}/network.safetensors")
            if dict(load_network(file).architecture.choices) == row["choices"]
        ]
        trained = load_network(path)
        with torch.inference_mode():
            logits = trained.network.eval()(trained.normalisation.apply(pixels))
        each.append(torch.nn.functional.cross_entropy(logits, labels, reduction="none"))
    losses = torch.stack(each).mean(0)
    assert losses.mean().item() == pytest.approx(row["loss"], abs=1e-5)
    assert (losses.std() / len(losses) ** 0.5).item() == pytest.approx(row["error"], abs=1e-5)
    assert not list(Path("whole").rglob("test_score.json")), "the test split stays closed"


def test_every_rung_begins_with_the_supernets_weights(config: Path) -> None:
    """At a rate of almost 0 a network stays what it begins with."""
    still = ["--set", "finals.learning_rate=1e-30", "--set", "finals.weight_decay=0"]
    still += ["--set", "finals.seeds=1", "--set", "finals.best=1", "--set", "finals.designs=1"]
    assert run(["finals", "c.yaml", "search", "--run", "still", *still, *allowed(config)]) == 0
    shared = load_supernet(Path("supernet"))
    files = sorted(Path("still/networks").glob("*/network.safetensors"))
    assert len(files) == 4, "two networks on two rungs"
    for file in files:
        trained = load_network(file)
        begun = shared.extract(trained.architecture).state_dict()
        latent = {name: value for name, value in begun.items() if name.endswith("weight")}
        assert len(latent) > 3
        for name, value in trained.network.state_dict().items():
            if name in latent:
                torch.testing.assert_close(value, latent[name], msg=f"{file}: {name}")


def test_no_image_is_fresh_where_the_search_looked_at_all(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = ["--set", "search.scoring.search_images=null", "--set", "search.generations=0"]
    words = ["search", "c.yaml", "--supernet", "supernet", "--run", "looked", *everything]
    assert run([*words, *allowed(config)]) == 0
    capsys.readouterr()
    short = ["--set", "finals.rungs=[1]", "--set", "finals.seeds=1"]
    assert run(["finals", "c.yaml", "looked", "--run", "seen", *short, *allowed(config)]) == 0
    assert "no image is fresh to judge on" in capsys.readouterr().err
    summary = summary_of("seen")
    assert (summary["judging_images"], summary["is_fresh"]) == (32, False)
    (rung,) = summary["rungs"]
    assert not any(one["goes_on"] for one in rung["entrants"])
    assert "of the search itself" in Path("seen/report.md").read_text()


def test_two_workers_give_the_same(config: Path, ray: object) -> None:
    stage = stage_of(config, workers=2)
    assert finals(stage, contest_of(stage, Path("search")), Path("side")) == summary_of("whole")
    for file in ("found.json", "design.json", "winner.json"):
        ours, theirs = (read_json(Path(run) / file) for run in ("side", "whole"))
        theirs["provenance"]["finals"] = "side"
        assert ours == theirs


def test_resumed_after_a_kill(config: Path) -> None:
    words = ["finals", "c.yaml", "search", "--run", "killed", *allowed(config)]
    process = begin(command, words)
    log = Path("killed/log.jsonl")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.is_alive():
        lines = log.read_text().splitlines() if log.exists() else []
        if sum('"network"' in line for line in lines) >= 7:
            break
        time.sleep(0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it had ended before: the test says nothing"
    assert RunFolder(Path("killed"), "finals").summary is None
    kept = {path: path.stat().st_mtime_ns for path in Path("killed").rglob("search_score.json")}
    assert 7 <= len(kept) < len(list(Path("whole").rglob("search_score.json")))
    assert run(words) == 0
    assert all(path.stat().st_mtime_ns == made for path, made in kept.items())
    assert summary_of("killed") == summary_of("whole")
    assert run(words) == 0, "a finished run does nothing"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("half", "its search run is not finished"),
        ("nowhere", "nowhere"),
        ("supernet", "search"),
        ("search --supernet nowhere", "its supernet nowhere is not there"),
        ("search --set data.search_fraction=0.3", "was trained on another split"),
        ("search --set space.width=0.5", "its space is another"),
        ("search --set finals.include=[c.yaml]", "c.yaml"),
        ("search --set finals.rungs=[2,2]", "rising numbers of epochs"),
        ("search --set finals.epochs=3", "epochs is not for finals"),
        ("search --set finals.start_from=supernet", "start_from is not for finals"),
        ("search --set finals.keep=1", "keep"),
        ("search --set finals.best=0", "best"),
        ("search --set finals.batch_size=1000", "batch"),
    ],
)
def test_what_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    capsys.readouterr()
    assert run(["finals", "c.yaml", *words.split(), "--run", "refused", *allowed(config)]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not Path("refused").exists()


def test_another_config_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("whole/manifest.json").read_bytes()
    words = ["finals", "c.yaml", "search", "--run", "whole", *allowed(config)]
    assert run([*words, "--set", "finals.keep=0.5"]) == 2
    assert "finals.keep was 0.34, now 0.5" in capsys.readouterr().err
    assert run([*words, "--set", "retrain.epochs=9"]) == 0, "the finals have nothing of it"
    assert Path("whole/manifest.json").read_bytes() == before


def test_dry_run(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    words = ["finals", "c.yaml", "search", "--run", "planned", "--dry-run", "--json"]
    assert run([*words, *allowed(config)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["networks_of_rungs"] == [6, 4]
    assert (
        run([*words, "--set", "finals.best=99", "--set", "finals.designs=0", *allowed(config)]) == 0
    )
    scored = len(Path("search/history.jsonl").read_text().splitlines())
    assert json.loads(capsys.readouterr().out)["networks_of_rungs"][0] < scored
    assert run(["finals", "c.yaml", "half", "--dry-run"]) == 2
    assert "its search run is not finished" in capsys.readouterr().err
    # Without a search there is nobody yet: as many as may enter.
    assert run(["finals", "c.yaml", "--dry-run", "--json", *allowed(config)]) == 0
    assert json.loads(capsys.readouterr().out)["networks_of_rungs"] == [6, 4]
    assert found["time_s"] > 0 and found["disk_bytes"] > 0
    assert not Path("planned").exists()


def test_what_is_found_by_finals_costs_them(config: Path) -> None:
    retrain = ["retrain", "c.yaml", "whole/found.json", "--against", "whole/design.json"]
    sets = ["supernet=supernet", "uniform=0", "random=0", "seeds=1", "epochs=1"]
    words = [*retrain, *(f"--set=retrain.{one}" for one in sets), *allowed(config)]
    assert run([*words, "--run", "retrained"]) == 0
    rows = {row["name"]: row for row in report(Path("retrained")).rows}
    design = summary_of("whole")["design"]
    assert list(rows) == ["finalist", design, "finalist (from scratch)"]
    before = RunFolder(Path("retrained"), "retrain").manifest["work_before"]
    (found,) = (works for works in before["found"].values() if works)
    stages = {one["stage"]: one for one in found.values()}
    assert set(stages) == {"supernet", "search", "finals"}
    passes = {stage: one["image_passes"] for stage, one in stages.items()}
    assert passes["finals"] == summary_of("whole")["image_passes"]
    assert rows["finalist"]["image_passes"] == 160 + sum(passes.values())
    assert rows[design]["image_passes"] == 160 + passes["supernet"]
    assert stages["finals"]["core_minutes"] > 0
    facts = collect(Path("retrained"))
    assert facts["missing"] == []
    text = page(facts)
    assert "Who left the finals when" in text and "In the finals " in text
    assert all(one["name"] in text for one in summary_of("whole")["rungs"][0]["entrants"])
    order = [one["stage"] for one in facts["provenance"]]
    assert sorted(order) == ["finals", "retrain", "search", "supernet"]
    assert not any("export" in line for line in facts["commands"])
    # Where the finals are not beside it, nobody knows what they took.
    shutil.copytree("retrained", "far/away/retrained")
    shutil.copy("whole/found.json", "far/away/found.json")
    documents = [{**read_json(Path("far/away/found.json")), "path": "far/away/found.json"}]
    there = work_before(Path("far/away/retrained"), Path("supernet"), {"x": documents}, 32)
    assert there["found"] == {"x": None}


def test_its_table_and_page_again(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["report", "whole"]) == 0
    assert capsys.readouterr().out == Path("whole/report.md").read_text()
    assert run(["report", "whole", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary_of("whole")
    assert run(["report", "whole", "--html", "-o", "finals.html", "--svg", "plots"]) == 0
    text = Path("finals.html").read_text()
    assert "Networks of the finals" in text and "No network was retrained yet" in text
    svg = Path("plots/finals.svg").read_text()
    kinds = [one["kind"] for one in summary_of("whole")["rungs"][-1]["entrants"]]
    assert (svg.count('"curve k0"'), svg.count('"curve k1"')) == tuple(
        kinds.count(kind) for kind in ("found", "design")
    )
    assert run(["watch", ".", "--once"]) == 0
    assert "whole" in capsys.readouterr().out


def test_more_workers_than_cores(config: Path, shared_ray: SharedRay) -> None:
    shared_ray.stop()  # a Ray that is there says by itself how many it has
    words = ["--set", "finals.workers=999", "--run", "refused", *allowed(config)]
    assert run(["finals", "c.yaml", "search", *words]) == 2
    assert not Path("refused").exists()


def test_what_retrain_says_holds_for_finals(stages: dict) -> None:
    common = {"space": stages["space"], "data": stages["data"]}
    retrain = {"learning_rate": 0.5, "workers": 2, "epochs": 9, "seeds": 7, "uniform": 3}
    given = FinalsStage.model_validate({**common, "retrain": retrain, "finals": {"workers": 0}})
    usual = FinalsStage.model_validate(common).finals
    assert given.finals == usual.model_copy(update={"learning_rate": 0.5, "workers": 0})


def test_a_named_network_enters_and_can_win(config: Path) -> None:
    """Alone with one found and no design, it is on the last rung, or in the table of the first."""
    stage = stage_of(config, include=["mine.json"], best=1, designs=0, rungs=[1], seeds=1)
    space = space_from_description(stage.space)
    names = [position.name for position in space.positions]
    mine = space.architecture(dict(zip(names, [4, 1, 2], strict=True)))
    save_architecture("mine.json", space, mine)
    summary = finals(stage, contest_of(stage, Path("search")), Path("named"))
    (rung,) = summary["rungs"]
    kinds = {one["name"]: one["kind"] for one in rung["entrants"]}
    assert kinds == {"found 1": "found", "mine": "given"}
    assert "design" not in summary and not Path("named/design.json").exists()
    assert load_architecture("named/winner.json")[1].choices == (
        mine.choices
        if summary["winner"] == "mine"
        else load_architecture("named/found.json")[1].choices
    )
    inputs = RunFolder(Path("named"), "finals").manifest["inputs"]
    assert inputs["architecture 1"]["path"] == "mine.json"


def test_images_of_another_draw_are_refused(config: Path) -> None:
    stage = stage_of(config)
    moved = stage.model_copy(update={"data": stage.data.model_copy(update={"split_seed": 9})})
    with pytest.raises(UserError, match="split"):
        finals(moved, contest_of(moved, Path("search")), Path("refused"))
