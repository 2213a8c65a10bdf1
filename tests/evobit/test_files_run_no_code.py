"""No command runs code that a file names: every command over every kind of file that it opens."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from evobit.main import app, run
from supernet import plugins
from supernet.files import load_weights, save_weights
from supernet.spaces.mobilenet_groups import MobileNetGroups

READER, SPACE = "trace.py:read", "trace.py:Space"
TRACE = """
from pathlib import Path
Path("trace").write_text("code was run")
"""

# Where the name that a file holds is wanted: exit code 2, and the option that permits it.
ASKED = {
    READER: (
        "evaluate net",
        "evaluate retraining",
        "evaluate model.evobit --against net",
        "pack net -o new.evobit",
        "pack retraining -o new.evobit",
        "export net",
        "export net --format c",
        "export net --format torch",
        "export search --weights -o w.safetensors",
    ),
    SPACE: (
        "evaluate net",
        "evaluate net --data photos",
        "pack net -o new.evobit",
        "export net --format c",
        "cost arch",
        "retrain config.yaml arch",
        "pretrain config.yaml arch",
        "coverage supernet",
        "coverage search",
        "export search",
        "export search --pareto",
        "export search --weights -o w.safetensors",
        "search config.yaml --supernet supernet",
        "finals config.yaml search",
        "audit config.yaml --supernet supernet",
        "train-supernet config.yaml --set supernet.start_from=net",
        "retrain config.yaml good.json --set retrain.distillation.teacher=net.safetensors",
    ),
}

# Where it is not: nothing is run either, whatever comes of it.
NOT_ASKED = (
    "retrain config.yaml good.json --set retrain.start_from=net",
    "report retraining",
    "report retraining --html",
    "report search --html",
    "watch supernet",
    "watch search",
    "watch retraining",
    "train-supernet config.yaml --run supernet",
    "search config.yaml --supernet good-supernet --run search",
    "retrain config.yaml good.json --run retraining",
    "pretrain config.yaml good.json --run pretraining",
    "retrain config.yaml arch --dry-run",
    "bench model.evobit --rounds 1",
)

# Commands that open none of these files, but what their own config or line names.
OPEN_NONE = {"demo", "zoo", "preview", "cache", "doctor", "predict", "latency-table"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_space: MobileNetGroups, bars: Path) -> Path:
    """One of each file, of the tiny space and images."""
    folder = tmp_path_factory.mktemp("made")
    training = {"epochs": 1, "batch_size": 16, "tensorboard": False, "threads": 1}
    alone = {**training, "seeds": 1}
    scoring = {"calibration_images": 64, "calibration_batch": 32, "batch_size": 16}
    pretrain = {
        "method": "moco", "epochs": 1, "batch_size": 16, "queue": 64, "hidden": 8, "projection": 8,
        "neighbours": 5, "threads": 1, "tensorboard": False,
    }  # fmt: skip
    config = {
        "space": tiny_space.describe(),
        "data": {"name": f"{bars}:read", "image_size": 8, "search_fraction": 0.2},
        "supernet": training,
        "search": {
            "population": 4,
            "parents": 2,
            "mutations": 2,
            "crossovers": 1,
            "generations": 1,
            "feasibility_samples": 50,
            "scoring": scoring,
            "max_ops": 1e9,
        },
        "retrain": {**alone, "uniform": 0, "random": 0},
        "audit": {**alone, "networks": 3},
        "pretrain": pretrain,
        "seed": 3,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("config.yaml").write_text(yaml.safe_dump(config))
        for line in (
            "train-supernet config.yaml --run supernet",
            "search config.yaml --supernet supernet --run search",
            "export search -o arch",
            "retrain config.yaml arch --run retraining",
            "pretrain config.yaml arch --run pretraining",
        ):
            assert run(line.split()) == 0, line
        (network,) = Path("retraining").rglob("network.safetensors")
        shutil.copy(network, "net")
        assert run("pack net -o model.evobit --no-card".split()) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, beside good ones and the code that leaves a trace; nothing is allowed yet."""
    work = tmp_path / "work"
    shutil.copytree(made, work)
    monkeypatch.chdir(work)
    shutil.copy("arch", "good.json")
    shutil.copy("net", "net.safetensors")
    shutil.copytree("supernet", "good-supernet")
    Path("trace.py").write_text(TRACE)
    photos = Path("photos")
    photos.mkdir()
    plugins._allowed.clear()
    return work


def rename(document: dict, name: str) -> None:
    """Let a description, or a config, name code of its own."""
    if name == READER:
        document["data"]["name"] = name
    else:
        document["space"]["name"] = name


def poison(folder: Path, name: str) -> None:
    """Let every file and run folder that can hold such a name hold `name`."""
    for path in (folder / "net", *folder.glob("**/*.safetensors")):
        if "good-supernet" in path.parts:
            continue
        tensors, metadata = load_weights(path)
        for key, text in metadata.items():
            try:
                document = json.loads(text)
            except ValueError:
                continue
            if isinstance(document, dict) and "space" in document and "data" in document:
                rename(document, name)
                metadata[key] = json.dumps(document)
        save_weights(path, tensors, metadata)
    for run_folder in ("supernet", "search", "retraining", "pretraining"):
        path = folder / run_folder / "manifest.json"
        document = json.loads(path.read_text())
        rename(document["config"], name)
        path.write_text(json.dumps(document))
    if name == SPACE:
        document = json.loads((folder / "arch").read_text())
        rename(document, name)
        (folder / "arch").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, lines in ASKED.items() for line in lines]
)
def test_a_name_in_a_file_is_refused_with_the_option_that_permits_it(
    folder: Path, name: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(folder, name)
    assert run(line.split()) == 2
    refusal = capsys.readouterr().err
    assert not Path("trace").exists()
    assert f"--allow {name}" in refusal, refusal


@pytest.mark.parametrize("name", [READER, SPACE])
@pytest.mark.parametrize("line", NOT_ASKED)
def test_nothing_is_run_where_the_name_is_not_wanted(folder: Path, name: str, line: str) -> None:
    poison(folder, name)
    assert run(line.split()) in (0, 2)
    assert not Path("trace").exists()


@pytest.mark.parametrize(
    ("name", "line"),
    [(READER, "evaluate net"), (SPACE, "export search -o b.json"), (SPACE, "coverage supernet")],
)
def test_the_option_permits_it_by_name(folder: Path, name: str, line: str) -> None:
    poison(folder, name)
    assert run([*line.split(), "--allow", "other.py:read"]) == 2
    assert not Path("trace").exists()
    run([*line.split(), "--allow", name])
    assert Path("trace").exists()


def test_every_command_is_walked() -> None:
    commands = {command.name for command in app.registered_commands}
    commands |= {group.name for group in app.registered_groups}
    walked = {line.split()[0] for lines in (*ASKED.values(), NOT_ASKED) for line in lines}
    assert walked | OPEN_NONE == commands
