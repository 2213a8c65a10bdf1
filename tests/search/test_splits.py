"""The search split is the one that the supernet never saw, and is written down."""

import json
from pathlib import Path

import pytest

from search.config import SearchStage
from search.run import run_search
from supernet.files import UserError
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet


def stage_of(stages: dict, **data: object) -> SearchStage:
    sections = {name: stages[name] for name in ("space", "search", "seed")}
    return SearchStage(**sections, data={**stages["data"], **data})


def test_another_split_or_changed_images_are_refused(
    stages: dict, tmp_path: Path, bars: Path
) -> None:
    sections = {name: stages[name] for name in ("space", "data", "supernet", "seed")}
    train_supernet(SupernetStage(**sections), tmp_path / "supernet")
    with pytest.raises(UserError, match="was trained on another split of the data"):
        run_search(stage_of(stages, split_seed=1), tmp_path / "run", tmp_path / "supernet")
    # The same settings, but a reader that now gives other images.
    changed = tmp_path / "bars.py"
    changed.write_text(bars.read_text().replace("default_rng(0 if", "default_rng(5 if"))
    other = stage_of(stages, name=f"{changed}:read")
    with pytest.raises(UserError, match="was trained on another split of the data"):
        run_search(other, tmp_path / "run", tmp_path / "supernet")
    assert not (tmp_path / "run").exists()
    run_search(stage_of(stages), tmp_path / "run", tmp_path / "supernet")
    splits = json.loads((tmp_path / "run" / "best.json").read_text())["provenance"]["splits"]
    manifest = json.loads((tmp_path / "supernet" / "manifest.json").read_text())
    assert splits == {
        name: manifest["data"]["splits"][name]["sha256"] for name in ("train", "search")
    }


def test_scoring_settings_are_checked_before_the_run_folder(stages: dict, tmp_path: Path) -> None:
    sections = {name: stages[name] for name in ("space", "data", "supernet", "seed")}
    train_supernet(SupernetStage(**sections), tmp_path / "supernet")
    stages["search"]["scoring"] = {"calibration_images": 5000, "calibration_batch": 50}
    with pytest.raises(UserError, match="at most the 128 training images"):
        run_search(stage_of(stages), tmp_path / "run", tmp_path / "supernet")
    assert not (tmp_path / "run").exists()
