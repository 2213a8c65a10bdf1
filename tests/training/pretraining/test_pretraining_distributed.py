"""Pre-training in two processes: steps and weights are those of one."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from supernet.files import UserError
from supernet.network import build
from supernet.spaces.mobilenet_groups import MobileNetGroups
from tests.training.processes.two_processes import largest_difference, pair, pair_of
from training.data.normalisation import Normalisation
from training.pretraining.build import build_method, draw_inputs
from training.pretraining.config import PretrainConfig, PretrainStage
from training.pretraining.encoder import Encoder
from training.pretraining.moco import MoCo
from training.pretraining.run import prepare, pretrain
from training.pretraining.unmix import Mixture
from training.processes.distributed import Part, average_gradients, begin_alike, processes
from training.processes.shared_norm import share_statistics
from training.run_files.checkpoint import load_checkpoint

OF_METHOD: dict[str, dict] = {
    "moco": {"queue": 48},
    "moco, symmetric": {"method": "moco", "queue": 96, "symmetric": True},
    "simclr": {},
    "byol": {},
    "swav": {"prototypes": 6, "queue": 10, "queue_from": 1},
}
CASES = [*product(OF_METHOD, ("none", "v5")), ("simclr", "v1")]
SEEN = Normalisation((0.5,), (0.25,), 8)


def steps(own: Part, space: MobileNetGroups, kind: str, unmix: str) -> dict[str, Tensor]:
    """Four steps of a binary network in double precision, with losses, queue and statistics."""
    settings: dict = {"method": kind, **OF_METHOD[kind]}
    config = PretrainConfig(batch_size=16, projection=8, unmix=unmix, **settings)
    torch.manual_seed(0)
    method = build_method(Encoder(build(space.decode(space.first()))), config).double()
    begin_alike(method, shared_norms=True)
    optimiser = torch.optim.SGD(method.online.parameters(), 0.05, 0.9)
    pixels = torch.randint(0, 256, (4, 16, 1, 8, 8), dtype=torch.uint8)
    losses = []
    for step in range(4):
        optimiser.zero_grad(set_to_none=True)
        method.before_step(step, 1)
        first, second, mixture = draw_inputs(own.of(pixels[step]), config, SEEN, 7, step, own)
        if mixture is not None:
            mixture = Mixture(mixture.images.double(), mixture.share)
        loss = method.loss(first.double(), second.double(), mixture)
        loss.backward()
        average_gradients(method.online.parameters())
        optimiser.step()
        method.after_step(step / 4)
        losses.append(loss.detach())
    return {**method.state_dict(), "losses": torch.stack(losses)}


def features(own: Part) -> tuple[Tensor, Tensor, Tensor]:
    """BatchNorm of this part of six features: values, gradients, running variance."""
    torch.manual_seed(0)
    norm, (x, upstream) = nn.BatchNorm1d(5).double(), torch.randn(2, 6, 5, dtype=torch.float64)
    if own.size > 1:
        share_statistics(norm)
    mine = own.of(x).clone().requires_grad_()
    y = norm(mine)
    (y * own.of(upstream)).sum().backward()
    return y.detach(), mine.grad, norm.running_var


def steps_in_process(folder: Path, space: MobileNetGroups) -> None:
    with processes("cpu") as own:
        torch.save(features(own), folder / f"{own.rank} features")
        for number, case in enumerate(CASES):
            torch.save(steps(own, space, *case), folder / f"{own.rank} {number}")


def test_steps_in_two_processes_are_those_of_one(
    tmp_path: Path, tiny_space: MobileNetGroups
) -> None:
    ended = pair(steps_in_process, tmp_path, tiny_space, folder=tmp_path)
    assert [process.code for process in ended] == [0, 0], ended
    halves = [torch.load(tmp_path / f"{rank} features", weights_only=True) for rank in range(2)]
    close = {"rtol": 1e-9, "atol": 1e-9}
    y, gradient, variance = features(Part())
    torch.testing.assert_close(torch.cat([half[0] for half in halves]), y, **close)
    torch.testing.assert_close(torch.cat([half[1] for half in halves]), gradient, **close)
    for half in halves:
        torch.testing.assert_close(half[2], variance, **close)
    for number, case in enumerate(CASES):
        one = steps(Part(), tiny_space, *case)
        for rank in range(2):
            found = torch.load(tmp_path / f"{rank} {number}", weights_only=True)
            assert found.keys() == one.keys()
            for name, expected in one.items():
                torch.testing.assert_close(found[name], expected, **close, msg=f"{case} {name}")


def cut_after(steps: int, stage: PretrainStage, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = MoCo.loss, []

    def cut(self: MoCo, *inputs: Any) -> Tensor:
        calls.append(1)
        if len(calls) > steps:
            raise KeyboardInterrupt
        return real(self, *inputs)

    with monkeypatch.context() as patched:
        patched.setattr(MoCo, "loss", cut)
        with pytest.raises(KeyboardInterrupt):
            pretrain(stage, None, run)
    assert load_checkpoint(run / "checkpoint.pt")["step"] == steps


@pytest.mark.slow
def test_the_command_in_two_processes(
    stages: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun by two processes, and begun by one and ended by two, whose queue it then is.

    Operands are real: what is compared moves in proportion to its gradient.
    """
    network = {"name": "network", "network": "bireal-18", "stem": "small", "width": 0.125}
    image = {"image_size": 8, "in_channels": 1, "classes": 4}
    settings = {
        "method": "moco", "queue": 64, "unmix": "v5", "epochs": 2, "batch_size": 32,
        "projection": 8, "learning_rate": 0.01, "threads": 1, "tensorboard": False,
        "checkpoint_seconds": 0, "neighbours": 5, "calibration_images": 64,
        "binarization": {"weights": "real", "activations": "identity"},
    }  # fmt: skip
    config = tmp_path / "network.yaml"
    sections = {"space": {**network, **image}, "data": stages["data"], "seed": 3}
    config.write_text(yaml.safe_dump({**sections, "pretrain": settings}))
    stage = PretrainStage(**yaml.safe_load(config.read_text()))
    one = pretrain(stage, None, tmp_path / "one")
    cut_after(3, stage, tmp_path / "cut", monkeypatch)
    for name in ("two", "cut"):
        first, second = pair_of("pretrain", config, tmp_path / name)
        assert first.code == second.code == 0, first.stderr
        two = json.loads(first.stdout)
        assert second.stdout == ""
        assert two["steps"] == one["steps"] == 2 * (128 // 32)
        weights = [tmp_path / n / "encoder.safetensors" for n in ("one", name)]
        assert largest_difference(*weights) < 1e-3
        log = (tmp_path / name / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["event"] for line in log].count("train") == 1
    monkeypatch.setattr("training.processes.distributed.part", lambda: Part(0, 2))
    settings |= {"batch_size": 15, "queue": 60}
    with pytest.raises(UserError, match="batch_size 15 is shared by 2 processes"):
        prepare(PretrainStage(**sections, pretrain=settings), None)
