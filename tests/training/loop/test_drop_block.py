"""DropBlock: how much is dropped and kept, its gradient, parts of a batch, resuming."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from supernet.files import load_weights
from training.loop import supervised
from training.loop.drop_block import DropBlock, DropBlockConfig
from training.processes.distributed import WHOLE, Part
from training.run_files.checkpoint import load_checkpoint
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet


def dropper(
    keep: float = 0.8, size: int = 3, progress: float = 1.0, part: Part = WHOLE, seed: int = 0
) -> DropBlock:
    generator = torch.Generator().manual_seed(seed)
    return DropBlock(DropBlockConfig(keep=keep, size=size), progress, generator, part)


@given(
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    size=st.integers(1, 9),
    seed=st.integers(0, 10**6),
)
def test_windows_are_dropped_of_all_channels_and_the_sum_stays(
    height: int, width: int, size: int, seed: int
) -> None:
    x = torch.ones(6, 3, height, width)
    y = dropper(0.7, size, seed=seed).drop(x)
    assert torch.equal((y == 0).any(1), (y == 0).all(1))
    if (y != 0).any():
        assert y.sum().item() == pytest.approx(x.sum().item(), rel=1e-5)
    side = min(size, height, width)
    for image in y[:, 0] == 0:
        # Every pixel lost lies in a window that is lost as a whole.
        windows = image.unfold(0, side, 1).unfold(1, side, 1).flatten(2).all(2)
        covered = torch.zeros_like(image)
        for top, left in windows.nonzero().tolist():
            covered[top : top + side, left : left + side] = True
        assert torch.equal(covered, image)


@pytest.mark.parametrize(("keep", "progress"), [(0.9, 1.0), (0.8, 0.5), (0.9, 0.0)])
def test_about_the_share_asked_for_is_dropped(keep: float, progress: float) -> None:
    dropped = (dropper(keep, progress=progress).drop(torch.ones(400, 1, 14, 14)) == 0).float()
    # Windows that overlap lose a little less than (1 - keep) progress.
    assert dropped.mean().item() == pytest.approx((1 - keep) * progress, abs=0.015)


def test_single_pixels_are_dropped_with_the_probability_itself() -> None:
    dropped = (dropper(0.7, size=1).drop(torch.ones(400, 1, 14, 14)) == 0).float()
    assert dropped.mean().item() == pytest.approx(0.3, abs=0.01)  # 6 sqrt(.21 / 78,400)


def test_gradient_is_the_mask() -> None:
    x = torch.rand(4, 2, 8, 8, requires_grad=True)
    y = dropper().drop(x)
    upstream = torch.rand(4, 2, 8, 8)
    y.backward(upstream)
    torch.testing.assert_close(x.grad, upstream * (y / x).detach())


def test_parts_of_a_batch_lose_what_the_whole_batch_does() -> None:
    x = torch.rand(8, 2, 6, 6)
    whole = dropper().drop(x)
    parts = [dropper(part=Part(rank, 4)).drop(Part(rank, 4).of(x)) for rank in range(4)]
    assert torch.equal(torch.cat(parts), whole)


def test_maps_are_dropped_after_every_block_but_the_first() -> None:
    class Seen(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            lost.append(bool((x == 0).any()))
            return torch.ones_like(x)

    lost: list[bool] = []
    network = nn.Sequential(nn.Identity(), Seen(), Seen(), nn.Flatten())
    y = dropper(0.5)(network, torch.ones(16, 2, 6, 6))
    assert lost == [False, True]
    assert (y == 0).any()  # after the last map, and not after the logits
    assert (dropper(0.5)(nn.Sequential(nn.Identity(), nn.Identity()), torch.ones(9, 5)) == 1).all()


@pytest.mark.parametrize("fields", [{"keep": 0}, {"keep": 1}, {"size": 0}, {"keep_prob": 0.9}])
def test_config_refuses(fields: dict) -> None:
    with pytest.raises(ValidationError):
        DropBlockConfig.model_validate(fields)


def test_a_run_that_drops_resumes_bit_for_bit(
    stages: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    settings = {**stages["supernet"], "epochs": 1, "sampling": {"rule": "sandwich"}}

    def stage_of(**further: object) -> SupernetStage:
        return SupernetStage.model_validate({**sections, "supernet": {**settings, **further}})

    dropping = {"drop_block": {"keep": 0.7, "size": 2}}
    train_supernet(stage_of(**dropping), tmp_path / "whole")
    original, counts = supervised.training_step, {"steps": 0}

    def killed(*arguments: object) -> Tensor:
        counts["steps"] += 1
        if counts["steps"] == 4:
            raise SystemExit
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(supervised, "training_step", killed)
    with pytest.raises(SystemExit):
        train_supernet(stage_of(**dropping), tmp_path / "cut")
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.pt")["step"] == 3
    monkeypatch.setattr(supervised, "training_step", original)
    train_supernet(stage_of(**dropping), tmp_path / "cut")
    train_supernet(stage_of(), tmp_path / "plain")
    whole, cut, plain = (
        load_weights(tmp_path / n / "supernet.safetensors")[0] for n in ("whole", "cut", "plain")
    )
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert any(not torch.equal(whole[name], plain[name]) for name in whole)
