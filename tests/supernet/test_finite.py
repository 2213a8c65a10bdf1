"""NaN is a failure wherever a class would be read off it."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from deploy.parts.recalibration import KeptConvs, Recalibration
from evobit.main import run
from supernet.files import RunFailed, load_weights, save_weights
from supernet.finite import NotFiniteError, demand_finite, demand_finite_weights
from supernet.network import build
from supernet.spaces import space_from_description
from tests.supernet.spaces.every_space import SMALL_SPACES
from training.data.image_set import MemoryImageSet
from training.data.normalisation import Normalisation
from training.network_training import calibrate
from training.scoring.calibration import calibrate_batch_norm, top1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_row_that_is_no_number_is_counted(bad: float) -> None:
    logits = torch.zeros(4, 3)
    demand_finite(logits)
    demand_finite(logits.numpy())
    logits[1, 2] = logits[3, 0] = bad
    for of in (logits, logits.numpy()):
        with pytest.raises(NotFiniteError, match="no finite numbers for 2 of 4 images"):
            demand_finite(of)


def test_an_infinite_variance_is_a_channel_made_constant() -> None:
    demand_finite_weights({"norm.running_var": torch.tensor([np.inf]), "n": torch.ones(2)}, "x")
    for name in ("norm.running_var", "norm.weight"):
        with pytest.raises(NotFiniteError, match=f"x: '{name}' holds NaN"):
            demand_finite_weights({name: torch.tensor([np.nan])}, "x")


class Diverged(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_full((len(x), 4), float("nan"))


def test_logits_of_nan_are_no_class() -> None:
    """Labels 0, 0, 0, 1 gave 75 %."""
    batch = torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 0, 1])
    with pytest.raises(NotFiniteError):
        top1(Diverged(), [batch])


@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_a_calibration_that_finds_no_numbers_fails_by_name(value: float) -> None:
    """1e30 squared is none: the channel would be a constant, and every image of one class."""
    network = torch.nn.Sequential(
        OrderedDict(conv=torch.nn.Conv2d(1, 2, 1), norm=torch.nn.BatchNorm2d(2))
    )
    batches = [torch.rand(4, 1, 3, 3) for _ in range(2)]
    calibrate_batch_norm(network, batches)
    network.conv.weight.data[1] = value
    with pytest.raises(
        NotFiniteError, match="calibration: 'norm.running_(mean|var)' is NaN or inf"
    ):
        calibrate_batch_norm(network, batches)


@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_a_calibration_from_counts_fails_by_name_as_well(value: float) -> None:
    space = space_from_description(SMALL_SPACES["mobilenet-groups"])
    spec = space.decode(space.first())
    network = build(spec).eval()
    images = [torch.rand(2, spec.in_channels, spec.image_size, spec.image_size)]
    Recalibration(KeptConvs())(network, images)
    network.stem.conv.weight.data[0] = value
    with pytest.raises(NotFiniteError, match="calibration: 'stem.norm.running_"):
        Recalibration(KeptConvs())(network, images)


@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_a_training_s_calibration_ends_the_run(value: float, tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    network[0].weight.data[1] = value
    images = MemoryImageSet(
        torch.randint(0, 255, (8, 1, 8, 8)).byte(), torch.zeros(8).long(), ("a",)
    )
    seen = Normalisation((0.5,), (0.5,), 8)
    with pytest.raises(RunFailed, match="calibration: '1.running_.*; lower learning_rate"):
        calibrate(network, images, torch.arange(8), 4, seen, torch.device("cpu"))


@pytest.fixture
def folder(tmp_path: Path, stages: dict, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    small = {"epochs": 1, "seeds": 1, "uniform": 0, "random": 0}
    sections = {
        **stages,
        "supernet": {**stages["supernet"], "epochs": 1},
        "retrain": {**stages["retrain"], **small},
    }
    Path("c.yaml").write_text(yaml.safe_dump(sections))
    return tmp_path


def spoil(path: Path, name: str) -> None:
    """NaN in one weight of the last tensor of that name."""
    tensors, metadata = load_weights(path)
    key = [key for key in tensors if name in key][-1]
    tensors[key].view(-1)[0] = float("nan")
    save_weights(path, tensors, metadata)


def test_candidates_of_a_spoiled_supernet_fail_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One step at a rate of 1e30 gave 8 of 8 candidates "50 %"."""
    assert run(["train-supernet", "c.yaml"]) == 0
    spoil(Path("runs/c-supernet/supernet.safetensors"), "linear.bias")
    for engine in ("torch", "packed"):
        words = ["--run", engine, "--set", f"search.scoring.engine={engine}"]
        capsys.readouterr()
        assert run(["search", "c.yaml", *words]) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert "could be scored" in last and ("no finite" in last or "NaN" in last)
        assert "traceback" not in last
        assert '"top1": ' not in (Path(engine) / "history.jsonl").read_text().replace(
            '"top1": null', ""
        )


def test_a_spoiled_network_is_scored_packed_and_exported_by_nobody(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train-supernet", "c.yaml"]) == 0
    assert run(["search", "c.yaml"]) == 0
    assert run(["export", "runs/c-search"]) == 0
    assert run(["retrain", "c.yaml", "best.json"]) == 0
    (network,) = map(str, Path("runs/c-retrain").rglob("network.safetensors"))
    spoil(Path(network), "linear.bias")
    for words in (
        ["evaluate", network],
        ["pack", network, "-o", "new.evobit"],
        *(["export", network, "--format", name, "-o", "new"] for name in ("signs", "c", "torch")),
    ):
        capsys.readouterr()
        assert run(words) == 2, words
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not Path("new.evobit").exists() and not Path("new").exists()


@pytest.mark.parametrize("stage", ["train-supernet", "retrain"])
def test_a_training_that_diverges_ends_in_one_line_without_a_traceback(
    folder: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    section = {"train-supernet": "supernet", "retrain": "retrain"}[stage]
    from supernet.architecture_file import save_architecture
    from supernet.spaces import space_from_description

    space = space_from_description(yaml.safe_load(Path("c.yaml").read_text())["space"])
    save_architecture("a.json", space, space.first())
    words = [stage, "c.yaml", *(["a.json"] if stage == "retrain" else [])]
    rate = f"{section}.learning_rate=1e30"
    assert run([*words, "--set", rate, "--set", f"{section}.optimiser={{name: sgd}}"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "lower learning_rate" in last and "traceback" not in last
    assert not list(folder.rglob("*.safetensors"))
