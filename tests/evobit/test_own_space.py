"""The page about a user's own space: its very files and commands, small, and what it says."""

import csv
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
import torch
from PIL import Image
from torch import nn

from deploy.kernels.library import backend_info
from deploy.lowering.network import lower
from evaluate.retrain.config import RetrainStage
from evobit.config import load_stage
from evobit.main import run
from search.config import SearchStage
from supernet import plugins
from supernet.architecture import Architecture
from supernet.blocks.building import build_block
from supernet.costs import Costs, layer_cost
from supernet.files import UserError
from supernet.network import build
from supernet.sharing import Sharing
from supernet.space import Position, SearchSpace
from supernet.spaces import space_from_description
from supernet.spec import NetworkSpec, OwnBlockSpec
from supernet.spec.layers import ConvSpec, LayerSpec
from supernet.supernet import Supernet, check_shareable
from training.supernet_stage import SupernetStage

PAGE = (Path(__file__).parents[2] / "docs" / "own_space.md").read_text()
SMALL = {  # 1,000 images to train on, 100 to score
    "train-supernet": "supernet.epochs=1 supernet.tensorboard=false data.search_fraction=0.9",
    "search": "search.population=3 search.parents=2 search.generations=1 search.mutations=2 "
    "search.crossovers=1 search.scoring.search_images=100 search.scoring.calibration_images=64 "
    "search.scoring.calibration_batch=32 search.feasibility_samples=50 data.search_fraction=0.9 "
    "search.trust_latency_table=true",
    "retrain": "retrain.epochs=1 retrain.seeds=1 retrain.uniform=0 retrain.random=0 "
    "retrain.tensorboard=false retrain.batch_size=500 data.search_fraction=0.9",
}
ROUNDS = {"latency-table": "2", "bench": "3"}
native = pytest.mark.skipif(
    backend_info()["backend"] != "native", reason="the compiled kernels are not installed"
)


def blocks(kind: str) -> list[str]:
    """The page's code blocks of one language, in order."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def commands(number: int) -> list[list[str]]:
    """The words of each command of one list."""
    return [shlex.split(line)[1:] for line in blocks("sh")[number].splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the page's files, and an image."""
    monkeypatch.chdir(tmp_path)
    for name, program, config in zip(
        ("my_space", "my_block"), blocks("python"), blocks("yaml"), strict=True
    ):
        Path(f"{name}.py").write_text(program)
        Path(f"{name}.yaml").write_text(config)
    Image.new("L", (28, 28), 90).save("shirt.png")
    return tmp_path


def ran(words: list[str]) -> int:
    """One command of the page, small, as if in a process of its own."""
    plugins._allowed.clear()
    # A slow machine keeps no limit in milliseconds.
    command, *rest = [word.replace("latency_ms=0.05", "latency_ms=1000") for word in words]
    smaller = [word for field in SMALL.get(command, "").split() for word in ("--set", field)]
    if command in ROUNDS:
        smaller += ["--rounds", ROUNDS[command]]
    return run([command, *rest, *smaller])


@native
def test_the_space_of_the_page_goes_the_whole_path(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in commands(0):
        assert ran(words) == 0, words
    assert "counted independently" in capsys.readouterr().out
    assert json.loads(Path("best.json").read_text())["costs"]["ops"] <= 40_000
    assert Path("my_space.evobit").stat().st_size > 0
    words = ["train-supernet", "my_space.yaml", "--set", "supernet.sharing=independent"]
    assert ran([*words, "--run", "runs/independent"]) == 0


@native
def test_the_block_of_the_page_goes_all_but_the_last_step(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *before, pack = commands(1)
    for words in before:
        assert ran(words) == 0, words
    printed = capsys.readouterr()
    assert "counted independently" in printed.out
    # 2 blocks x 2 kernels, of 1 stem + 2 blocks x 2 kinds x 2 kernels + 1 head.
    assert "4 of 10 layers have no 1-bit kernel and run in torch: hard_swish channels=16" in (
        " ".join(printed.err.split())
    )
    with open("my_block.csv") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        where = {row["layer"].split()[0]: row["runs_on"] for row in rows}
    assert where == {
        "stem": "packed", "binary_unit": "packed", "hard_swish": "torch", "head": "packed"
    }  # fmt: skip
    best = json.loads(Path("best.json").read_text())
    own = [block for block in ("block1", "block2") if best["choices"][f"{block}.kind"] != "binary"]
    assert ran(pack) == 2
    refused = f"block '{own[0]}' (HardSwishSpec): there is no packed operation for it"
    assert refused in " ".join(capsys.readouterr().err.split())
    assert not Path("model.evobit").exists()
    words = ["train-supernet", "my_block.yaml", "--set", "supernet.sharing=independent"]
    assert ran([*words, "--run", "runs/independent"]) == 0


@pytest.mark.parametrize("name", ["my_space", "my_block"])
def test_the_configs_of_the_page_are_accepted_as_they_stand(folder: Path, name: str) -> None:
    for model in (SupernetStage, SearchStage, RetrainStage):
        load_stage(f"{name}.yaml", model)


@pytest.fixture
def mixed(folder: Path) -> SearchSpace:
    return space_from_description({"name": "my_block.py:MyMixedSpace", "channels": 16})


def test_costs_count_the_layers_of_the_block(mixed: SearchSpace) -> None:
    chosen = {position.name: position.choices[-1] for position in mixed.positions}
    spec = mixed.decode(mixed.architecture(chosen))
    costs = [sum(map(layer_cost, block.layers()), Costs()) for block in spec.blocks[1:3]]
    # 16 channels: 5x5 depthwise and 1x1, at 8x8 and 4x4 pixels; 4 numbers a channel of two norms.
    assert [one.flops for one in costs] == [16 * (25 + 16) * 64, 16 * (25 + 16) * 16]
    assert [one.parameters for one in costs] == [16 * (25 + 16) + 16 * 4] * 2


@pytest.mark.parametrize("sharing", ["independent", "sliced"])
def test_paths_of_the_block_are_their_subnets(mixed: SearchSpace, sharing: Sharing) -> None:
    supernet = Supernet(mixed, sharing).eval()
    images = torch.randn(2, 1, 32, 32)
    for architecture in (mixed.first(), mixed.largest(), mixed.sample(Random(1))):
        expected = supernet(images, architecture)
        assert torch.equal(supernet.extract(architecture)(images), expected)
    small, large = (
        supernet.path(mixed.architecture({**dict(mixed.first().choices), **change}))
        for change in ({"block1.kind": "hard-swish", "block1.kernel": k} for k in (3, 5))
    )
    middle, whole = (path.tensors()["block1.depthwise.weight"] for path in (small, large))
    assert torch.equal(middle, whole[:, :, 1:4, 1:4]) == (sharing == "sliced")


def test_a_network_of_the_space_without_the_block_can_be_packed(mixed: SearchSpace) -> None:
    plan, _ = lower(build(mixed.decode(mixed.first())).eval())
    kinds = [operation.kind for operation in plan.operations]
    assert kinds.count("binary_conv") == 2


@dataclass(frozen=True)
class Unnamed(OwnBlockSpec):
    """A module whose tensors belong to no layer."""

    kernel_size: int

    def layers(self) -> tuple[LayerSpec, ...]:
        return (ConvSpec("conv", 1, 4, self.kernel_size, 1, 1, 8),)

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, self.kernel_size, bias=False))


class UnnamedSpace(SearchSpace):
    """One block, of two kernels."""

    name = "unnamed"
    positions = (Position("block", (3, 5)),)

    def decode(self, architecture: Architecture) -> NetworkSpec:
        block = Unnamed(int(architecture["block"]))
        return NetworkSpec(self.name, 1, 8, 4, ("block",), (block,))

    def describe(self) -> dict:
        return {"name": self.name}


def test_slices_want_tensors_of_layers() -> None:
    Supernet(UnnamedSpace(), "independent")
    with pytest.raises(UserError, match="block 'block' .* '0.weight' belongs to none of its lay"):
        check_shareable(UnnamedSpace(), "sliced")


def test_a_spec_that_is_no_dataclass_is_refused() -> None:
    class Plain(Unnamed):
        pass

    with pytest.raises(UserError, match=r"Plain: expected @dataclass\(frozen=True\)"):
        Plain(3)


def test_a_spec_that_is_no_own_block_is_refused() -> None:
    with pytest.raises(UserError, match="no module for a block of ConvSpec.*OwnBlockSpec"):
        build_block(ConvSpec("conv", 1, 4, 3, 1, 1, 8))  # type: ignore[arg-type]
