"""`evobit export RUN --weights`: what a search scored, as networks that can be used at once."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from evaluate.score import score_network
from evobit.main import run
from search.results.export_weights import export_inherited
from supernet.files import UserError
from supernet.history_file import read_history
from training.data import open_training_data
from training.network_file import load_network

SEARCH = {
    "population": 4, "parents": 2, "mutations": 2, "crossovers": 1, "generations": 1,
    "feasibility_samples": 50, "max_ops": 1e9,
    "scoring": {"calibration_images": 64, "calibration_batch": 32, "batch_size": 16},
}  # fmt: skip


@pytest.fixture(scope="module", params=["independent", "sliced"])
def searched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, bars: Path):
    """The folder of a tiny supernet and its search, really trained and scored."""
    folder = tmp_path_factory.mktemp("searched")
    space = {
        "name": "mobilenet-groups", "image_size": 8, "classes": 4, "in_channels": 1,
        "width": 0.125, "stem_stride": 1, "groups": [1, 2, 4], "blocks": [[64, 1], [128, 2]],
    }  # fmt: skip
    config = {
        "space": space,
        "data": {"name": f"{bars}:read", "image_size": 8, "search_fraction": 0.2},
        "supernet": {
            "epochs": 2, "batch_size": 16, "tensorboard": False, "threads": 1,
            "sharing": request.param,
        },
        "search": SEARCH,
        "seed": 3,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("c.yaml").write_text(yaml.safe_dump(config))
        assert run("train-supernet c.yaml --run supernet".split()) == 0
        assert run("search c.yaml --supernet supernet --run search".split()) == 0
    return folder


def test_the_file_is_the_network_that_was_scored(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(searched)
    made = export_inherited(Path("search"), tmp_path / "n.safetensors", 3)
    assert [one.path.name for one in made] == [f"n-{k}.safetensors" for k in (1, 2, 3)]
    trained = load_network(made[0].path)
    history = read_history(Path("search/history.jsonl"), trained.space)
    assert [one.search_top1 for one in made] == sorted((c.top1 for c in history), reverse=True)[:3]
    for one in made:
        trained = load_network(one.path)
        assert trained.architecture == history[one.candidate].architecture
        assert trained.inherited is not None and trained.inherited.search_top1 == one.search_top1
        images = open_training_data(trained.data).search
        assert score_network(trained, images, "cpu")["top1"] == pytest.approx(one.search_top1)


def test_it_packs_evaluates_and_is_carded_as_inherited(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(searched)
    network, allow = tmp_path / "n.safetensors", yaml.safe_load(Path("c.yaml").read_text())
    allowed = ["--allow", allow["data"]["name"]]
    capsys.readouterr()
    command = ["export", "search", "--weights", "-o", str(network), "--json", *allowed]
    assert run(command) == 0
    (one,) = json.loads(capsys.readouterr().out)["networks"]
    assert one["file"] == str(network)
    assert run(["evaluate", str(network), *allowed]) == 0
    assert run(["pack", str(network), "-o", str(tmp_path / "n.evobit"), *allowed]) == 0
    card = (tmp_path / "n.evobit.md").read_text()
    assert "not trained on" in card and "inherited from the supernet" in card


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--weights --top 1000", "1000 networks are asked for"),
        ("--weights --pareto", "--pareto is for architectures"),
        ("--top 2", "--top is for --weights only"),
        ("--weights --supernet nowhere", "its supernet nowhere is not there"),
        ("--weights --limit max_ops=1", "no scored candidate keeps"),
        ("--weights --limit max_ops=1e9 --limit max_ops=1e8", "give --weights one limit"),
    ],
)
def test_what_is_refused(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, words, message
) -> None:
    monkeypatch.chdir(searched)
    assert run(["export", "search", "-o", str(tmp_path / "n.safetensors"), *words.split()]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_lies_about_its_origin_is_damaged(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from supernet.files import load_weights, save_weights

    monkeypatch.chdir(searched)
    (one,) = export_inherited(Path("search"), tmp_path / "n.safetensors")
    tensors, metadata = load_weights(one.path)
    for wrong in ({"search_top1": "x"}, {"search_top1": float("nan")}, {"candidate": None}, [1]):
        description = json.loads(metadata["evobit"])
        described = {**description["inherited"], **wrong} if isinstance(wrong, dict) else wrong
        text = json.dumps({**description, "inherited": described})
        save_weights(tmp_path / "wrong.safetensors", tensors, {"evobit": text})
        with pytest.raises(UserError, match="incomplete description"):
            load_network(tmp_path / "wrong.safetensors")
    assert torch.isfinite(next(iter(tensors.values()))).all()
