"""What all sections of a config have: paths as people write them, and no field without effect."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from training.data import DataConfig
from training.frozen.config import DistillationConfig


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
