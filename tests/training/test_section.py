"""What all sections of a config have: paths as people write them, and no field without effect."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evaluate.audit.config import AuditStage
from evaluate.retrain.config import RetrainStage
from evobit.config import _models_in
from search.config import SearchConfig, SearchStage
from supernet.plugins import own_code
from training.augment.config import AttentionConfig
from training.data import DataConfig
from training.frozen.config import DistillationConfig
from training.pretraining.config import PretrainStage
from training.section import MAY_BE_PATH, _is_path
from training.supernet_stage import SupernetStage


def test_a_number_is_a_path_where_one_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/far/someone")
    for given, expected in ((2024, "2024"), ("~/photos", "/far/someone/photos"), ("a", "a")):
        config = DataConfig.model_validate({"name": "imagefolder", "root": given})
        assert config.root == Path(expected)
    taught = DistillationConfig.model_validate({"teacher": "resnet18", "weights": "~/r.pth"})
    assert taught.weights == Path("/far/someone/r.pth")


@pytest.mark.parametrize("wrong", [True, 1.5, ["a"], {"a": 1}])
def test_what_is_no_path_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        DataConfig.model_validate({"name": "imagefolder", "root": wrong})


def test_names_that_may_be_paths_and_lists_of_paths_follow_the_rule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    taught = DistillationConfig.model_validate({"teacher": "~/a/network.safetensors"})
    assert taught.teacher == str(tmp_path / "a/network.safetensors")
    seen = AttentionConfig.model_validate({"extractor": "~/network.safetensors"})
    assert seen.network.file == tmp_path / "network.safetensors"
    search = SearchConfig.model_validate({"start_with": [2024, "~/a.json", "b"]})
    assert search.start_with == (Path("2024"), tmp_path / "a.json", Path("b"))
    assert SearchConfig.model_validate({"arrays_at": "~/x"}).arrays_at == str(tmp_path / "x")
    (tmp_path / "own.py").write_text("found = 7\n")
    assert own_code("~/own.py:found", "own") == 7


def test_every_path_of_a_config_follows_the_rule() -> None:
    """A new field that holds a path is found by its type, or must bear the mark."""
    for stage in (SupernetStage, SearchStage, RetrainStage, PretrainStage, AuditStage):
        for model in sections_of(stage):
            for name, field in model.model_fields.items():
                told = f"{name} {field.description or ''}"
                is_path = _is_path(field.annotation) or MAY_BE_PATH in field.metadata
                assert is_path or "safetensors" not in told, f"{model.__name__}.{name}"


def sections_of(model: Any) -> set[Any]:
    """A model and all that its fields hold."""
    found = {model}
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            found |= sections_of(inner)
    return found
