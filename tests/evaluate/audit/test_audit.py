"""The audit: what it draws, trains and scores, its file, resuming, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from evaluate.audit.config import AuditStage
from evaluate.audit.plan import prepare
from evaluate.audit.report import AuditReport
from evaluate.audit.run import audit
from evaluate.estimate.run import estimate_audit
from evobit.config import load_stage
from evobit.main import run
from supernet.costs import cost
from supernet.files import UserError
from supernet.rank_correlation import kendall_tau
from supernet.spaces import space_from_description
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.data import open_training_data
from training.network_file import load_network
from training.run_files.folder import RunFolder
from training.scoring.adapted import AdaptedScorer
from training.scoring.scorer import Scorer, scoring_arrays

SCORING = {"calibration_images": [32, 96], "calibration_batch": 32, "batch_size": 16}
BOTH = ("top1", "cross_entropy")
CapSys = pytest.CaptureFixture[str]


def sections(stages: dict, **audit: object) -> dict:
    """A config whose audit trains as its `retrain` section says: 2 epochs, batches of 16."""
    small = {"networks": 4, "seeds": 2, "bootstrap": 50, "scoring": SCORING}
    return {**stages, "audit": {**small, **audit}}


def stage_of(stages: dict, **audit: object) -> AuditStage:
    config = sections(stages, **audit)
    return AuditStage(**{name: config[name] for name in AuditStage.model_fields})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@pytest.fixture
def finished(folder: Path, stages: dict) -> Path:
    """A finished audit of two rules, made once."""
    audit(two_rules(stages), folder / "run")
    return folder / "run"


def two_rules(stages: dict, **more: object) -> AuditStage:
    rules = [{"rule": "uniform"}, {"rule": "strict-fairness"}]
    return stage_of(stages, sampling=rules, **more)


def test_all_of_a_small_space(stages: dict, tiny_space: MobileNetGroups) -> None:
    drawn = prepare(stage_of(stages, networks=27)).drawn.architectures
    assert len(drawn) == len(set(drawn)) == 3**3
    least = cost(tiny_space.decode(tiny_space.uniform(4))).ops
    limits = {"max_ops": cost(tiny_space.decode(tiny_space.uniform(2))).ops}
    within = prepare(stage_of(stages, networks=27, limits=limits)).drawn.architectures
    found = [cost(tiny_space.decode(one)).ops for one in within]
    assert 2 < len(found) < 27 and least <= min(found) and max(found) <= limits["max_ops"]


def test_the_config_of_27_networks_is_that() -> None:
    stage = load_stage(Path(__file__).parents[3] / "configs" / "micro_audit.yaml", AuditStage)
    prepared = prepare(stage)
    assert len(prepared.drawn.architectures) == prepared.space.size == 27
    assert [rule.name for rule in prepared.rules][:2] == ["uniform", "strict-fairness"]


def test_draws_are_distinct_and_of_the_seed(stages: dict) -> None:
    drawn = prepare(stage_of(stages, networks=20)).drawn.architectures
    assert len(set(drawn)) == 20
    assert prepare(stage_of(stages, networks=20)).drawn.architectures == drawn
    assert prepare(stage_of({**stages, "seed": 4}, networks=20)).drawn.architectures != drawn


def test_training_settings_come_from_retrain_unless_given(stages: dict) -> None:
    stages["retrain"]["label_smoothing"] = 0.2
    taken = stage_of(stages, epochs=7).audit
    assert (taken.epochs, taken.batch_size, taken.label_smoothing) == (7, 16, 0.2)
    assert stage_of(stages).audit.seeds == 2, "the section's own"
    del stages["retrain"]["epochs"]
    assert stage_of(stages).audit.epochs == 20, "the default"


def test_figures_of_an_audit(finished: Path, stages: dict) -> None:
    figures = AuditReport.read(finished).figures
    rows, networks = figures["rows"], figures["networks"]
    ways = [("recalibrated", 32), ("recalibrated", 96), ("running", None), ("batch", None)]
    said = ("ranked_by", "batch_norm", "calibration_images", "score")
    assert [tuple(row[name] for name in said) for row in rows] == [
        *(("uniform", *way, score) for way in ways for score in BOTH),
        *(("strict-fairness", *way, score) for way in ways for score in BOTH),
        ("OPs alone", None, None, "ops"),
    ]
    truth = np.array([network["top1"] for network in networks])
    assert truth.shape == (4, 2) and (truth > 25).any(), "chance is 25 % of four classes"
    for row in rows:
        sign = -1 if row["score"] == "cross_entropy" else 1
        tau = kendall_tau(truth.mean(1), sign * np.array(row["scores"], dtype=float))
        assert row["kendall_tau"]["value"] == pytest.approx(tau)
    for row in rows[1:]:
        difference = row["kendall_tau"]["value"] - rows[0]["kendall_tau"]["value"]
        assert row["tau_minus_first"]["value"] == pytest.approx(difference)
    assert rows[0]["tau_minus_first"] is None
    pooled = truth.var(axis=1, ddof=1).mean() ** 0.5
    assert figures["noise"]["pooled_std"] == pytest.approx(pooled)
    runs = {row["ranked_by"]: row["supernet"] for row in rows[:16]}
    for name, supernet in runs.items():
        recorded = RunFolder(finished / supernet, "supernet").config
        assert recorded["supernet"]["sampling"]["rule"] == name
    assert (
        f"| uniform | top-1 | recalibrated | 32 | 24 | {rows[0]['kendall_tau']['value']:.2f} ["
        in (finished / "report.md").read_text()
    )


def test_scores_are_the_scorers(finished: Path, stages: dict, tiny_space: MobileNetGroups) -> None:
    """A row of recalibrated scores is what a search with so many images sees."""
    figures = AuditReport.read(finished).figures
    stage = two_rules(stages)
    images = stage.audit.scoring.scorer_config(32).model_copy(update={"calibration_images": 32})
    arrays = scoring_arrays(finished / "supernets" / "uniform", stage.data, images, stage.seed)
    scorer = Scorer(tiny_space.describe(), arrays, images)
    choices = [tiny_space.architecture(one["choices"]) for one in figures["networks"]]
    assert [scorer(one) for one in choices] == figures["rows"][0]["scores"]
    losses = [scorer.answers(one).loss for one in choices]
    assert losses == figures["rows"][1]["scores"] and min(losses) > 0
    assert [scorer.score(one, "running") for one in choices] == figures["rows"][4]["scores"]
    assert len({str(row["scores"]) for row in figures["rows"][:8:2]}) > 1


@pytest.fixture
def banded(folder: Path, stages: dict) -> Path:
    """A finished audit in two bands, of two supernets of each of two rules at equal work."""
    rules = [{"rule": "uniform"}, {"rule": "strict-fairness"}]
    more = {"bands": 2, "band_width": 0.1, "supernet_seeds": 2, "equal_work": True}
    scoring = {**SCORING, "batch_norm": ["recalibrated"], "calibration_images": [32]}
    stage = stage_of(stages, sampling=rules, networks=3, scoring=scoring, epochs=1, **more)
    audit(stage, folder / "banded")
    return folder / "banded"


def test_networks_are_ranked_within_bands(banded: Path) -> None:
    figures = AuditReport.read(banded).figures
    networks, rows = figures["networks"], figures["rows"]
    bands = [network["band"] for network in networks]
    assert bands == [0, 0, 0, 1, 1, 1] and len(figures["bands"]) == 2
    for network in networks:
        band = figures["bands"][network["band"]]
        assert band["min_ops"] <= network["ops"] <= band["max_ops"] <= 1.1 * band["min_ops"]
    truth = np.array([network["top1"] for network in networks]).mean(1)
    for row, sign in zip(rows[:4], (1, -1, 1, -1), strict=True):
        each = [sign * np.array(one["scores"]) for one in row["by_supernet"]]
        taus = [kendall_tau(truth, scores, bands) or 0 for scores in each]
        assert [one["kendall_tau"] for one in row["by_supernet"]] == pytest.approx(taus)
        assert row["kendall_tau"]["value"] == pytest.approx(np.mean(taus)) and len(taus) == 2
        assert row["scores"] == np.mean([one["scores"] for one in row["by_supernet"]], 0).tolist()
        assert len(row["tau_by_band"]) == 2
    by_ops = kendall_tau(truth, [network["ops"] for network in networks], bands)
    assert rows[4]["kendall_tau"]["value"] == pytest.approx(by_ops or 0)
    assert rows[4]["beyond_ops"] is None and rows[4]["by_supernet"] == []
    assert len(figures["noise"]["halves_by_band"]) == 2


def test_supernets_of_a_rule_differ_in_their_seed_and_rules_not_in_work(banded: Path) -> None:
    rows = AuditReport.read(banded).figures["rows"][::2]  # by top-1
    # 128 images in batches of 16: 8 steps an epoch; three paths a step make one epoch of three.
    assert [(row["epochs"], row["work"]) for row in rows[:2]] == [(3, 24), (1, 24)]
    names = [[one["supernet"] for one in row["by_supernet"]] for row in rows[:2]]
    assert names == [
        ["supernets/uniform", "supernets/uniform-seed1"],
        ["supernets/strict-fairness", "supernets/strict-fairness-seed1"],
    ]
    for row, of_rule in zip(rows, names, strict=False):
        configs = [RunFolder(banded / name, "supernet").config for name in of_rule]
        assert {config["supernet"]["epochs"] for config in configs} == {row["epochs"]}
        assert len({config.pop("seed") for config in configs}) == 2 and configs[0] == configs[1]
        first, second = (one["scores"] for one in row["by_supernet"])
        assert first != second


def test_the_report_says_what_can_be_judged(banded: Path) -> None:
    text = (banded / "report.md").read_text()
    halves = AuditReport.read(banded).figures["noise"]["between_halves"]["value"]
    said = "cannot tell these networks apart" if halves < 0.75 else "can tell these networks apart"
    assert f"- tau of two halves of the trainings: {halves:.2f} [" in text and said in text
    assert "Ranked within 2 band(s) of equal OPs: " in text
    assert "| halves of the trainings |" in text and "2 supernets a rule" in text
    assert "unequal work" not in text


@pytest.mark.parametrize(
    ("halves", "said"),
    [
        (0.74, "below 0.75, the truth cannot tell these networks apart"),
        (0.75, "at 0.75 or more, the truth can tell these networks apart"),
    ],
)
def test_the_verdict(finished: Path, halves: float, said: str) -> None:
    figures = AuditReport.read(finished).figures
    estimate = {"value": halves, "low": 0.5, "high": 0.9}
    noise = {**figures["noise"], "between_halves": estimate}
    assert f"{said}" in AuditReport({**figures, "noise": noise}).markdown
    assert "unequal work, 24 to 72" in AuditReport(figures).markdown


NEW_IN_CONFIG = ("bands", "band_width", "supernet_seeds", "equal_work", "adapt")
NEW_IN_FIGURES = ("bands", "supernet_seeds")
NEW_IN_ROWS = ("score", "epochs", "work", "beyond_ops", "tau_by_band", "by_supernet", "adapt")
NEW_IN_NOISE = ("between_halves", "halves_by_band")


def older(document: dict, *names: str) -> dict:
    return {name: value for name, value in document.items() if name not in names}


def test_an_older_folder_goes_on(finished: Path, tmp_path: Path, stages: dict) -> None:
    """One of before there were bands: finished it is read, unfinished it ends as it would have."""
    run = tmp_path / "older"
    shutil.copytree(finished, run)
    folder = RunFolder(run, "audit")
    config = {**folder.config, "audit": older(folder.config["audit"], *NEW_IN_CONFIG)}
    folder.record("config", config)
    for kept_scores in (run / "scores").iterdir():
        ways = json.loads(kept_scores.read_text())
        kept_scores.write_text(json.dumps([older(way, "cross_entropy", "adapt") for way in ways]))
    whole = AuditReport.read(run).figures
    whole["rows"] = [row for row in whole["rows"] if row["score"] != "cross_entropy"]
    old = {
        **older(whole, *NEW_IN_FIGURES),
        "rows": [older(row, *NEW_IN_ROWS) for row in whole["rows"]],
        "noise": older(whole["noise"], *NEW_IN_NOISE),
        "networks": [older(network, "band") for network in whole["networks"]],
    }
    (run / "audit.json").write_text(json.dumps(old))
    read = audit(two_rules(stages), run)
    assert read.figures == old
    tau = whole["rows"][0]["kendall_tau"]["value"]
    assert f"| uniform | top-1 | recalibrated | 32 |  | {tau:.2f} [" in read.markdown
    RunFolder(run, "audit").record("summary", None)
    (run / "audit.json").unlink()
    kept = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    assert audit(two_rules(stages), run).figures == whole
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")} == kept
    with pytest.raises(UserError, match="audit.bands was 0, now 2"):
        audit(two_rules(stages, bands=2, networks=2), run)


ADAPT = [{"steps": steps, "batch_size": 16, "learning_rate": 0.01} for steps in (1, 6)]


def adapting(stages: dict, **more: object) -> AuditStage:
    scoring = {**SCORING, "batch_norm": ["running", "recalibrated"]}
    return stage_of(stages, networks=3, seeds=1, epochs=1, adapt=ADAPT, scoring=scoring, **more)


def test_adapted_scores_are_rows(finished: Path, tmp_path: Path, stages: dict) -> None:
    """Each training of a network's own gives a row by top-1 and one by cross-entropy."""
    given, stage = finished / "supernets" / "uniform", adapting(stages)
    report = audit(stage, tmp_path / "run", given)
    rows, networks = report.figures["rows"], report.figures["networks"]
    assert [row["score"] for row in rows] == [*(BOTH * 5), "ops"]
    assert [row["adapt"] and row["adapt"]["steps"] for row in rows] == [
        *[None] * 6,
        1,
        1,
        6,
        6,
        None,
    ]
    space = space_from_description(stage.space)
    for adapt, row in zip(stage.audit.adapt, rows[7:10:2], strict=True):
        assert row["adapt"] == adapt.model_dump(mode="json")
        assert (row["batch_norm"], row["calibration_images"]) == ("recalibrated", 96)
        config = stage.audit.scoring.scorer_config(32, adapt)
        arrays = scoring_arrays(given, stage.data, config, stage.seed)
        scorer = AdaptedScorer(space.describe(), arrays, config)
        found = [scorer.answers(space.architecture(one["choices"])).loss for one in networks]
        assert row["scores"] == found
    losses = [sum(row["scores"]) for row in rows[1:10:2]]
    assert min(losses) == losses[-1], "six steps of its own make every network surer"
    assert "| images | own training | work |" in report.markdown
    assert "| uniform | cross-entropy | recalibrated | 96 | 6 x 16, 0.01 | 24 | " in report.markdown
    assert "own training" not in AuditReport.read(finished).markdown


def test_adapted_scoring_goes_on_where_it_was_stopped(
    finished: Path, tmp_path: Path, stages: dict
) -> None:
    given, run = finished / "supernets" / "uniform", tmp_path / "run"
    whole = audit(adapting(stages), run, given).figures
    RunFolder(run, "audit").record("summary", None)
    kept = run / "scores" / "uniform.json"
    ways = json.loads(kept.read_text())
    ways[3]["top1"][0] = 99.0  # what is there is not scored again
    kept.write_text(json.dumps(ways[:4]))
    again = audit(adapting(stages), run, given).figures
    assert again["rows"][8:] == whole["rows"][8:]
    assert again["rows"][6]["scores"] == [99.0, *whole["rows"][6]["scores"][1:]]
    with pytest.raises(UserError, match="audit.adapt.1.steps was 6, now None"):
        audit(stage_of(stages, adapt=ADAPT[:1]), run, given)


def test_the_truth_may_be_of_networks_trained_on(
    finished: Path, tmp_path: Path, stages: dict
) -> None:
    given = finished / "supernets" / "uniform"
    found = [
        audit(adapting(stages, **more), tmp_path / name, given).figures["networks"]
        for name, more in (("scratch", {}), ("on", {"start_from": given}))
    ]
    scratch, on = (np.array([one["top1"] for one in networks]).mean() for networks in found)
    assert on > scratch + 10, "one epoch from scratch is little"


def test_published_figures_of_before_are_read(tmp_path: Path) -> None:
    file = Path(__file__).parents[3] / "benchmarks" / "results" / "micro_audit_2026-11-23"
    shutil.copy(file.with_suffix(".json"), tmp_path / "audit.json")
    table = AuditReport.read(tmp_path).markdown
    assert "| sandwich | top-1 | recalibrated | 4,096 |  | 0.78 [0.60, 0.88] | 0.93 [" in table
    assert "| OPs alone |  |  |  |  | 0.77 [0.52, 0.89] |" in table


def test_networks_never_saw_the_search_split(finished: Path, stages: dict) -> None:
    figures = AuditReport.read(finished).figures
    network = finished / figures["networks"][0]["networks"][0]
    score = json.loads((network / "search_score.json").read_text())
    assert score["top1"] == figures["networks"][0]["top1"][0]
    assert not list(finished.glob("networks/*/test_score.json")), "the test split stays closed"
    trained = load_network(network / "network.safetensors")
    data = open_training_data(trained.data)
    # 160 x 0.8 images in batches of 16 make 8 steps an epoch; all 160 would make 10.
    steps = [json.loads(line) for line in (network / "log.jsonl").read_text().splitlines()]
    assert [one["step"] for one in steps if "step" in one][-1] == 2 * len(data.train) // 16 == 16


def test_resumed_after_a_kill(finished: Path, stages: dict) -> None:
    whole = AuditReport.read(finished).figures
    RunFolder(finished, "audit").record("summary", None)
    (finished / "audit.json").unlink()
    (finished / "scores" / "strict-fairness.json").unlink()
    lost = finished / whole["networks"][2]["networks"][1]
    for path in lost.iterdir():
        path.unlink()
    kept = {path: path.stat().st_mtime_ns for path in finished.rglob("*.safetensors")}
    assert audit(two_rules(stages, workers=0), finished).figures == whole
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert len(list(finished.rglob("*.safetensors"))) == len(kept) + 1


def test_another_config_is_refused(finished: Path, stages: dict) -> None:
    with pytest.raises(UserError, match="audit.epochs was 2, now 3"):
        audit(two_rules(stages, epochs=3), finished)
    with pytest.raises(UserError, match="was started without --supernet"):
        audit(two_rules(stages), finished, finished / "supernets" / "uniform")


def test_a_given_supernet_is_scored_and_not_trained(finished: Path, stages: dict) -> None:
    given = finished / "supernets" / "uniform"
    stage = stage_of(stages, networks=2, seeds=1, epochs=1, scoring={**SCORING, "threads": 1})
    run = finished.parent / "given"
    figures = audit(stage, run, given).figures
    assert figures["rows"][0]["supernet"] == str(given) and not (run / "supernets").exists()
    assert figures["noise"] is None
    assert RunFolder(run, "audit").manifest["inputs"]["supernet"]["path"] == str(given)
    with pytest.raises(UserError, match="was started with --supernet"):
        audit(stage, run)


@pytest.mark.parametrize(
    ("section", "changed", "expected"),
    [
        ("supernet", {"learning_rate": 0.5}, "supernet.learning_rate was 0.003, is 0.5"),
        ("space", {"activation": "rprelu"}, "trained on another space: activation"),
        ("data", {"split_seed": 9}, "another split"),
        ("audit", {"sampling": [{"rule": "strict-fairness"}]}, "audit.sampling leaves out"),
        ("audit", {"networks": 1000, "limits": {"max_ops": 1}}, "found 0 architectures"),
        ("audit", {"limits": {"max_latency_ms": 1}}, "latency is not predicted"),
        ("audit", {"networks": 2, "top_k": [2]}, "the best of 2 of 2 networks"),
        ("audit", {"networks": 2, "top_k": [2], "bands": 2}, "2 of 2 networks of a band is the"),
        ("audit", {"bands": 27}, "audit.bands: found"),
        ("audit", {"batch_size": 500}, "batch_size 500 is larger"),
        ("audit", {"scoring": {**SCORING, "calibration_images": [256]}}, "256 are more than"),
    ],
)
def test_what_does_not_fit_is_refused(
    finished: Path, tmp_path: Path, stages: dict, section: str, changed: dict, expected: str
) -> None:
    config = sections(stages)
    config[section] = {**config[section], **changed}
    stage = AuditStage(**{name: config[name] for name in AuditStage.model_fields})
    with pytest.raises(UserError, match=expected):
        audit(stage, tmp_path / "run", finished / "supernets" / "uniform")
    assert not (tmp_path / "run").exists()


def test_an_audit_is_of_one_process(
    tmp_path: Path, stages: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="one process"):
        audit(stage_of(stages), tmp_path / "run")


def test_estimate_counts_networks_and_supernets(tmp_path: Path, stages: dict) -> None:
    stage = two_rules(stages, networks=5, seeds=3, supernet_seeds=2)
    made = estimate_audit(stage, tmp_path / "run")
    assert (made["supernets"], made["networks"]) == (2 * 2, 5 * 3)
    assert made["time_s"] >= made["network_s"] * 15
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("audit", "expected"),
    [
        ({"netwroks": 3}, "unknown field 'audit.netwroks'; did you mean 'audit.networks'?"),
        ({"top_k": [0]}, "top_k: expected distinct numbers above 0"),
        ({"sampling": [{"rule": "uniform"}] * 2}, "sampling holds one rule twice"),
        ({"adapt": [{"steps": 3}, {"steps": 3}]}, "adapt holds one training twice"),
        ({"adapt": [{"steps": 0}]}, "audit.adapt.0.steps"),
        ({"scoring": {"calibration_images": [0]}}, "no multiple of calibration_batch"),
        ({"scoring": {"batch_norm": ["batch", "batch"]}}, "names one twice"),
        ({"scoring": {"batch_norm": ["frozen"]}}, "audit.scoring.batch_norm.0"),
        ({"networks": 1}, "audit.networks"),
        ({"band_width": 0.1}, "band_width is for bands, of which there are none"),
        ({"bands": 1, "band_width": 1}, "audit.band_width"),
    ],
)
def test_a_wrong_config_ends_with_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stages: dict,
    capsys: CapSys,
    audit: dict,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(sections(stages, **audit)))
    assert run(["audit", "tiny.yaml"]) == 2
    printed = capsys.readouterr()
    assert expected in printed.err and len(printed.err.splitlines()) == 1
    assert not Path("runs").exists()


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict, capsys: CapSys
) -> None:
    monkeypatch.chdir(tmp_path)
    config = sections(stages, networks=2, seeds=1, epochs=1)
    Path("tiny.yaml").write_text(yaml.safe_dump(config))
    assert run(["audit", "tiny.yaml", "--supernet", "nowhere"]) == 2
    assert "--supernet nowhere: no such run folder" in capsys.readouterr().err
    assert run(["audit", "tiny.yaml", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"] == 2
    assert run(["audit", "tiny.yaml", "--set", "supernet.epochs=1", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == json.loads(Path("runs/tiny-audit/audit.json").read_text())
    assert run(["audit", "tiny.yaml", "--set", "supernet.epochs=1"]) == 0
    printed = capsys.readouterr()
    assert "already finished; nothing to do" in printed.err and "OPs alone" in printed.out
    assert run(["report", "runs/tiny-audit"]) == 0
    assert capsys.readouterr().out == printed.out
    assert run(["audit", "tiny.yaml"]) == 2
    assert "supernet.epochs was 1, now 3" in capsys.readouterr().err
