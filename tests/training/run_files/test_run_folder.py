"""Run folders: created, resumed, refused, locked."""

import subprocess
import sys
from pathlib import Path

import pytest

from search.config import SearchStage
from supernet.files import UserError, write_text
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.run_files.folder import RunFolder, open_finished

CONFIG = {"search": {"evaluations": 10, "max_ops": 5}, "seed": 0}


def test_same_config_resumes(tmp_path: Path) -> None:
    first = RunFolder.open(tmp_path / "run", "search", CONFIG)
    created = first.manifest["created"]
    again = RunFolder.open(tmp_path / "run", "search", CONFIG)
    assert again.manifest["created"] == created and not again.finished
    again.finish({"best": 1})
    assert first.finished and first.summary == {"best": 1}


def test_another_config_is_refused_with_the_difference(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "run", "search", CONFIG)
    other = {"search": {"evaluations": 10, "max_ops": 6}, "seed": 0}
    with pytest.raises(UserError, match="search.max_ops was 5, now 6"):
        RunFolder.open(tmp_path / "run", "search", other)
    with pytest.raises(UserError, match="stage 'search', not 'supernet'"):
        RunFolder.open(tmp_path / "run", "supernet", CONFIG)


def test_a_space_that_got_an_option_since_is_the_same(tmp_path: Path) -> None:
    space = MobileNetGroups(image_size=8, width=0.25)
    older = {key: value for key, value in space.describe().items() if key != "rsign"}
    RunFolder.open(tmp_path / "run", "search", {**CONFIG, "space": older})
    RunFolder.open(tmp_path / "run", "search", {**CONFIG, "space": space.describe()})
    other = MobileNetGroups(image_size=8, width=0.25, rsign=True).describe()
    with pytest.raises(UserError, match=r"space\.rsign was False, now True"):
        RunFolder.open(tmp_path / "run", "search", {**CONFIG, "space": other})


def test_a_grown_budget_reopens(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "run", "search", CONFIG, model=SearchStage)
    folder.finish({"best": 1})
    more = {"search": {"evaluations": 20, "max_ops": 5}, "seed": 0}
    assert not RunFolder.open(tmp_path / "run", "search", more, model=SearchStage).finished
    with pytest.raises(UserError, match="search.evaluations was 20, now 10"):
        RunFolder.open(tmp_path / "run", "search", CONFIG, model=SearchStage)


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match="is not empty and is not a run folder"):
        RunFolder.open(tmp_path, "search", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_a_kill_while_it_was_created_does_no_harm(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "run", "search", CONFIG)
    (tmp_path / "run" / "manifest.json").unlink()
    (tmp_path / "run" / "config.yaml").unlink()
    (tmp_path / "run" / ".manifest.json.abc.partial").write_text("half")
    assert not RunFolder.open(tmp_path / "run", "search", CONFIG).finished


def test_changed_input_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "best.json"
    source.write_text("{}")
    RunFolder.open(tmp_path / "run", "retrain", CONFIG, {"architecture 1": source})
    source.write_text('{"changed": 1}')
    with pytest.raises(UserError, match="made from another architecture 1"):
        RunFolder.open(tmp_path / "run", "retrain", CONFIG, {"architecture 1": source})


def test_of_a_run_s_files_the_final_weights_are_the_input(tmp_path: Path) -> None:
    trained = RunFolder.open(tmp_path / "trained", "supernet", {})
    for name in ("phase1", "supernet"):
        (trained.path / f"{name}.safetensors").write_text(f"{name} as trained")
    trained.finish({"weights": "supernet.safetensors"})
    inputs = {"supernet": trained.path}
    RunFolder.open(tmp_path / "run", "search", {}, inputs)
    (trained.path / "phase1.safetensors").write_text("something else")
    RunFolder.open(tmp_path / "run", "search", {}, inputs)
    (trained.path / "supernet.safetensors").write_text("trained anew")
    with pytest.raises(UserError, match="supernet"):
        RunFolder.open(tmp_path / "run", "search", {}, inputs)


def test_a_second_driver_is_refused(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "run", "search", CONFIG)
    other = f"""
from pathlib import Path
from supernet.files import UserError
from training.run_files.folder import RunFolder
try:
    with RunFolder(Path({str(folder.path)!r}), "search").lock():
        print("got it")
except UserError as error:
    print("refused:", error)
"""
    with folder.lock():
        during = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True)
    after = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True)
    assert "another process is working in it" in during.stdout
    assert after.stdout == "got it\n"


def test_a_second_driver_that_was_quicker_is_noticed(tmp_path: Path) -> None:
    slow = RunFolder.open(tmp_path / "run", "search", CONFIG, model=SearchStage)
    more = {"search": {"evaluations": 20, "max_ops": 5}, "seed": 0}
    quick = RunFolder.open(tmp_path / "run", "search", more, model=SearchStage)
    # It would finish with 10 candidates a run that is said to have 20.
    with pytest.raises(UserError, match="search.evaluations was 20, now 10"), slow.lock():
        raise AssertionError("it was given the folder")
    with quick.lock():
        quick.finish({"best": 1})


def test_open_finished(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        open_finished(tmp_path, "search")
    folder = RunFolder.open(tmp_path / "run", "search", CONFIG)
    with pytest.raises(UserError, match=r"not finished; 'evobit search CONFIG --run .*/run' resum"):
        open_finished(folder.path, "search")
    supernet = RunFolder.open(tmp_path / "supernet", "supernet", CONFIG)
    with pytest.raises(UserError, match=r"'evobit train-supernet CONFIG --run .*/supernet' resum"):
        open_finished(supernet.path, "supernet")
    folder.finish({})
    assert open_finished(folder.path, "search").finished


def test_damaged_manifest(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "run", "search", CONFIG)
    write_text(folder.path / "manifest.json", '{"format": "evobit/run", "version": 99}')
    with pytest.raises(UserError, match="version 99; this program reads version 1"):
        RunFolder.open(tmp_path / "run", "search", CONFIG)
