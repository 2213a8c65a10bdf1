"""The published JSON Schemas fit real files of small runs, and nothing damaged."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from safetensors import safe_open

from docs.generate import schemas
from evaluate.audit.config import AuditStage
from evaluate.audit.run import audit
from evaluate.retrain.config import RetrainStage
from evaluate.retrain.report import report
from evaluate.retrain.run import retrain
from evobit.config import load_stage
from search.config import SearchStage
from search.results.export import export_best
from search.results.export_front import export_front
from search.run import run_search
from search.scoring.known_table import save_table
from tests.score_table import made_up
from training.run_files.folder import RunFolder
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

ROOT = Path(__file__).parents[2]
TABLES = sorted((ROOT / "latency_tables" / "tables").glob("*.csv"))
MODELS = sorted((ROOT / "deploy" / "zoo").glob("*.evobit"))
STAGES = ("supernet", "search", "retrain", "audit")


def problems(name: str, document: Any) -> list[str]:
    """What does not fit the schema of that name."""
    schema = json.loads((schemas.FOLDER / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def runs(folder: Path, stages: dict) -> Path:
    """A supernet, a search, its front, a retraining with its report, and an audit, made once."""

    def of(model: Any, **changes: Any) -> Any:
        sections = {**deepcopy(stages), **changes}
        return model(**{name: sections[name] for name in model.model_fields})

    if not (folder / "audit").exists():
        train_supernet(of(SupernetStage), folder / "supernet")
        run_search(of(SearchStage), folder / "search", folder / "supernet")
        files = export_best(folder / "search", folder / "best.json")
        export_front(folder / "search", folder / "front")
        retrain(of(RetrainStage), files, folder / "retrain")
        report(folder / "retrain")
        small = {"networks": 3, "seeds": 2, "bootstrap": 20, "scoring": stages["search"]["scoring"]}
        small["scoring"] = {**small["scoring"], "calibration_images": [64]}
        audit(of(AuditStage, audit=small), folder / "audit")
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_score_table(tmp_path: Path) -> None:
    save_table(tmp_path / "table.json", made_up())
    document = read(tmp_path / "table.json")
    assert problems("score-table", document) == []
    document["networks"][4]["top1"] = [101.0]
    document["positions"]["block0"] = [0, 0]
    assert len(problems("score-table", document)) == 2


def test_lines_of_a_history(runs: Path) -> None:
    lines = (runs / "search" / "history.jsonl").read_text().splitlines()
    assert len(lines) == 4 * (1 + 2)
    assert [problems("history-line", json.loads(line)) for line in lines] == [[]] * len(lines)


@pytest.mark.parametrize("change", [{"images": 40}, {"correct": "/w=="}])
def test_a_line_of_races(runs: Path, change: dict) -> None:
    line = json.loads((runs / "search" / "history.jsonl").read_text().splitlines()[0])
    assert problems("history-line", {**line, **change}) == []


@pytest.mark.parametrize(
    "name, file",
    [
        ("front", "front/front.json"),
        ("audit", "audit/audit.json"),
        ("report", "retrain/report.json"),
        ("architecture", "best.json"),
        *(("manifest", f"{stage}/manifest.json") for stage in STAGES),
    ],
)
def test_files_of_runs(runs: Path, name: str, file: str) -> None:
    assert problems(name, read(runs / file)) == []


@pytest.mark.parametrize("stage", STAGES)
def test_resolved_configs(runs: Path, stage: str) -> None:
    assert problems(f"config-{stage}", RunFolder(runs / stage, stage).config) == []
    written = yaml.safe_load((runs / stage / "config.yaml").read_text())
    assert problems(f"config-{stage}", written) == []


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_headers_of_latency_tables(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    assert problems("latency-table-header", json.loads(first.removeprefix("# "))) == []


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_packed_models(path: Path) -> None:
    with safe_open(str(path), framework="np") as file:
        assert problems("packed", json.loads(file.metadata()["evobit"])) == []


def failed_without_reason(line: dict) -> None:
    line["top1"] = None


def reason_without_failure(line: dict) -> None:
    line["failure"] = "no memory"


def no_costs(document: dict) -> None:
    del document["costs"]


def another_version(document: dict) -> None:
    document["version"] = 2


def unknown_field(document: dict) -> None:
    document["extra"] = 1


def no_interval(document: dict) -> None:
    document["rows"][0]["kendall_tau"] = 0.5


def no_goal(document: dict) -> None:
    del document["objectives"]["top1"]["goal"]


def no_hash(document: dict) -> None:
    document["inputs"] = {"supernet": {"path": "runs/supernet"}}


@pytest.mark.parametrize(
    "name, file, damage",
    [
        ("history-line", "search/history.jsonl", failed_without_reason),
        ("history-line", "search/history.jsonl", reason_without_failure),
        ("history-line", "search/history.jsonl", no_costs),
        ("history-line", "search/history.jsonl", unknown_field),
        ("front", "front/front.json", another_version),
        ("front", "front/front.json", no_goal),
        ("audit", "audit/audit.json", no_interval),
        ("audit", "audit/audit.json", unknown_field),
        ("report", "retrain/report.json", unknown_field),
        ("manifest", "search/manifest.json", another_version),
        ("manifest", "search/manifest.json", no_hash),
    ],
)
def test_what_is_wrong_does_not_fit(
    runs: Path, name: str, file: str, damage: Callable[[dict], None]
) -> None:
    document = json.loads(
        (runs / file).read_text().splitlines()[0]
        if "history" in file
        else (runs / file).read_text()
    )
    damage(document)
    assert problems(name, document) != []


def test_config_schemas_are_up_to_date() -> None:
    for name, schema in schemas.schemas().items():
        file = schemas.FOLDER / f"{name}.schema.json"
        assert file.read_text() == schemas.text(schema), "python -m docs.generate.schemas"


def yaml_of(path: Path) -> dict[str, Any]:
    """A config as evobit reads it: 1e-3 is a number, `off` a word."""
    from pydantic import BaseModel, ConfigDict

    class Anything(BaseModel):
        model_config = ConfigDict(extra="allow")
        space: Any = None
        data: Any = None
        supernet: Any = None
        search: Any = None
        pretrain: Any = None
        retrain: Any = None
        audit: Any = None
        seed: Any = None

    return load_stage(path, Anything).model_dump(exclude_unset=True)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_configs_fit(path: Path) -> None:
    assert problems("config", yaml_of(path)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"serach": {}},
        {"search": {"populaton": 3}},
        {"search": {"population": 0}},
        {"supernet": {"sharing": "halved"}},
        {"retrain": {"optimiser": {"name": "bop"}}},
        {"seed": "0"},
        {"space": {}},
    ],
)
def test_wrong_configs_do_not_fit(change: dict) -> None:
    right = yaml_of(ROOT / "configs" / "demo.yaml")
    assert problems("config", {**right, **change}) != []
