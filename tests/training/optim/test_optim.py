"""Bop's published traces, schedules by hand, decay rules, and optimisers combined and resumed."""

import copy
import math
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.files import UserError
from supernet.layers.binary_conv import BinaryConv2d
from supernet.layers.binary_weight import WeightGradient
from supernet.network import build
from supernet.networks import network_spec
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.supernet import Supernet
from training.optim import (
    Bop,
    BopConfig,
    Combined,
    OptimiserConfig,
    build_optimiser,
    figures,
    set_rates,
)
from training.optim.build import binary_weights, decayed_names
from training.run_files.checkpoint import load_checkpoint, save_checkpoint

DOUBLE = torch.float64
NAMES = get_args(OptimiserConfig.model_fields["name"].annotation)
every_optimiser = pytest.mark.parametrize("name", NAMES)


def signs(*values: float, dtype: torch.dtype = DOUBLE) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=dtype))


def step_with(optimiser: Bop, weight: nn.Parameter, *gradient: float) -> None:
    weight.grad = torch.tensor(gradient, dtype=weight.dtype)
    optimiser.step()


def moment(optimiser: Bop, weight: nn.Parameter) -> Tensor:
    return optimiser.state[weight]["moment"]


# Bop


def test_the_published_trace():
    """gamma .1, tau .2, g = 1: w m = .271 > .2 at step 3; w = -1 never flips."""
    weight = signs(1, -1)
    optimiser = Bop([weight], gamma=0.1, tau=0.2)
    moments, weights = [], []
    for _ in range(4):
        step_with(optimiser, weight, 1, 1)
        moments.append(moment(optimiser, weight).tolist())
        weights.append(weight.tolist())
    assert weights == [[1, -1], [1, -1], [-1, -1], [-1, -1]]
    expected = [0.1, 0.19, 0.271, 0.3439]
    assert [m[0] for m in moments] == pytest.approx(expected, rel=1e-12)
    assert [m[1] for m in moments] == [m[0] for m in moments]


def test_the_trace_mirrored():
    weight = signs(-1, 1)
    optimiser = Bop([weight], gamma=0.1, tau=0.2)
    weights = []
    for _ in range(4):
        step_with(optimiser, weight, -1, -1)
        weights.append(weight.tolist())
    assert weights == [[-1, 1], [-1, 1], [1, 1], [1, 1]]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_threshold_itself_does_not_flip(sign: int):
    """gamma .5 and g = w give w m = .5, .75: both exact."""
    weight = signs(sign)
    optimiser = Bop([weight], gamma=0.5, tau=0.5)
    step_with(optimiser, weight, sign)
    assert (moment(optimiser, weight).item(), weight.item()) == (0.5 * sign, sign)
    step_with(optimiser, weight, sign)
    assert (moment(optimiser, weight).item(), weight.item()) == (0.75 * sign, -sign)


def test_no_gradient_sign_at_threshold_zero_does_not_flip():
    weight = signs(1, -1)
    step_with(Bop([weight], gamma=0.5, tau=0), weight, 0, 0)
    assert weight.tolist() == [1, -1]


def test_a_flip_does_not_reset_the_moment():
    """gamma .5, tau .25: m = .5 flips w; g = 0: m = .25 is not over it for -w either."""
    weight = signs(1)
    optimiser = Bop([weight], gamma=0.5, tau=0.25)
    step_with(optimiser, weight, 1)
    assert (weight.item(), moment(optimiser, weight).item()) == (-1, 0.5)
    step_with(optimiser, weight, 0)
    assert (weight.item(), moment(optimiser, weight).item()) == (-1, 0.25)


@given(
    gamma=st.floats(1e-3, 1),
    gradient=st.floats(-4, 4).filter(lambda g: abs(g) > 1e-3),
    tau=st.floats(0, 4),
    steps=st.integers(1, 30),
)
def test_closed_form_of_a_constant_gradient(gamma: float, gradient: float, tau: float, steps: int):
    """m_t = g (1 - (1 - gamma)^t) only grows: what flips flips once, what opposes g never."""
    weight = signs(1, -1)
    optimiser = Bop([weight], gamma=gamma, tau=tau)
    for _ in range(steps):
        step_with(optimiser, weight, gradient, gradient)
    m = gradient * (1 - (1 - gamma) ** steps)
    assert moment(optimiser, weight).tolist() == pytest.approx([m, m], rel=1e-9)
    if abs(abs(m) - tau) > 1e-9:
        along = math.copysign(1, gradient)
        assert weight.tolist() == ([-along] * 2 if abs(m) > tau else [1, -1])


@given(
    gamma=st.floats(1e-3, 1),
    tau=st.floats(0, 1),
    gradients=st.lists(st.tuples(*[st.floats(-2, 2)] * 3), min_size=1, max_size=12),
)
def test_every_step_follows_the_rule(gamma: float, tau: float, gradients: list):
    weight = signs(1, -1, 1)
    optimiser = Bop([weight], gamma=gamma, tau=tau)
    m = [0.0, 0.0, 0.0]
    for gradient in gradients:
        before = weight.tolist()
        step_with(optimiser, weight, *gradient)
        m = [(1 - gamma) * old + gamma * g for old, g in zip(m, gradient, strict=True)]
        own = moment(optimiser, weight).tolist()
        assert own == pytest.approx(m, rel=1e-9, abs=1e-12)
        flipped = [-w if w * moved > tau else w for w, moved in zip(before, own, strict=True)]
        assert weight.tolist() == flipped


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_moment_of_half_precision_is_fp32_and_stays_it(dtype: torch.dtype):
    """1e-4 * 2^-14 = 6.1e-9 is no number of fp16 (least 6.0e-8)."""
    weight = signs(1, -1, dtype=dtype)
    optimiser = Bop([weight], gamma=1e-4, tau=1e-9)
    step_with(optimiser, weight, 2**-14, 2**-14)
    assert weight.dtype == dtype and weight.tolist() == [-1, -1]
    loaded = Bop([weight], gamma=1e-4)
    loaded.load_state_dict(optimiser.state_dict())
    for each in (optimiser, loaded):
        assert moment(each, weight).dtype == torch.float32
        assert moment(each, weight).tolist() == pytest.approx([1e-4 * 2**-14] * 2, rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.5, -2.0, float("nan")])
def test_other_values_than_signs_are_refused_before_anything_moves(value: float):
    weight = nn.Parameter(torch.tensor([[1.0, -1.0, value]]))
    optimiser = Bop([weight])
    weight.grad = torch.ones(1, 3)
    with pytest.raises(ValueError, match=r"Bop: 1 of 3 values of a weight of shape \(1, 3\)"):
        optimiser.step()
    assert weight.tolist()[0][:2] == [1, -1] and not optimiser.state


def test_weights_loaded_later_are_checked_again():
    weight = signs(1)
    optimiser = Bop([weight])
    step_with(optimiser, weight, 0)
    state = optimiser.state_dict()
    with torch.no_grad():
        weight.fill_(0.5)
    optimiser.load_state_dict(state)
    with pytest.raises(ValueError, match="neither -1 nor"):
        step_with(optimiser, weight, 0)


def test_sparse_gradients_are_refused():
    weight = signs(1, -1)
    weight.grad = torch.ones(2, dtype=DOUBLE).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        Bop([weight]).step()


@pytest.mark.parametrize("rates", [{"gamma": 0}, {"gamma": 1.5}, {"tau": -1}])
def test_rates_out_of_range_are_refused(rates: dict):
    with pytest.raises(ValueError, match=f"{next(iter(rates))} is"):
        Bop([signs(1)], **rates)


def test_a_closure_is_called_with_gradients():
    weight = signs(1)
    optimiser = Bop([weight], gamma=1, tau=0)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = 3 * weight.sum()
        loss.backward()
        return loss

    assert optimiser.step(closure).item() == 3
    assert (weight.item(), moment(optimiser, weight).item()) == (-1, 3)


def test_channels_last_weights_keep_their_format_through_a_round_trip():
    weight = nn.Parameter(torch.ones(4, 3, 2, 2).to(memory_format=torch.channels_last))
    optimiser = Bop([weight], gamma=1, tau=0)
    weight.grad = torch.arange(48.0).view(4, 3, 2, 2) - 24
    optimiser.step()
    assert torch.equal(weight, torch.where(weight.grad > 0, -1.0, 1.0))
    loaded = Bop([weight])
    loaded.load_state_dict(optimiser.state_dict())
    assert torch.equal(moment(loaded, weight), weight.grad)
    assert moment(loaded, weight).stride() == weight.stride()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (70_001,), (7, 10_000), (1, 70_000)])
def test_any_shape_is_moved_whole(shape: tuple[int, ...]):
    """70,000 values are more than the 2^15 that are moved at a time on the CPU."""
    torch.manual_seed(0)
    before = torch.randn(shape).sign()
    weight = nn.Parameter(before.clone())
    optimiser = Bop([weight], gamma=1, tau=0)
    weight.grad = torch.randn(shape)
    optimiser.step()
    expected = before * weight.grad > 0
    assert torch.equal(weight, torch.where(expected, -before, before))
    assert torch.equal(moment(optimiser, weight), weight.grad)
    assert optimiser.take_flips() == (int(expected.sum()), weight.numel())


def test_a_moment_of_another_shape_is_refused():
    weight, other = signs(1, -1), signs(1)
    optimiser = Bop([weight])
    step_with(optimiser, weight, 1, 1)
    with pytest.raises(ValueError, match=r"moment of shape \(2,\) for a weight of shape \(1,\)"):
        Bop([other]).load_state_dict(optimiser.state_dict())


# What reaches Bop


@pytest.mark.parametrize("weight_gradient", ["clip", "magnitude", "straight"])
@pytest.mark.parametrize("scaled", [True, False])
def test_bop_gets_the_gradient_of_the_weight_that_is_convolved(
    weight_gradient: WeightGradient, scaled: bool
):
    """For W of -1 and +1: mean|W| = 1 and 1{|W| <= 1} = 1, so every rule is the identity."""
    torch.manual_seed(0)
    conv = BinaryConv2d(8, 6, 3, padding=1, weight_gradient=weight_gradient, scaled=scaled)
    build_optimiser(nn.Sequential(conv), OptimiserConfig(bop=BopConfig()), 0.1, 0.0)
    x = torch.randn(2, 8, 5, 5).sign()
    upstream = torch.randn(2, 6, 5, 5)
    y = conv(x)
    y.backward(upstream)
    plain = conv.weight.detach().clone().requires_grad_()
    expected = F.conv2d(x, plain, padding=1)
    expected.backward(upstream)
    assert torch.equal(y, expected)
    assert torch.equal(conv.weight.grad, plain.grad)


@pytest.mark.parametrize("sharing", ["independent", "nested"])
def test_in_a_supernet_unsampled_moments_do_not_move(tiny_space: MobileNetGroups, sharing: str):
    torch.manual_seed(0)
    supernet = Supernet(tiny_space, sharing)
    config = OptimiserConfig(bop=BopConfig(gamma=0.1, tau=0))
    optimiser = build_optimiser(supernet, config, 0.01, 0.0)
    assert isinstance(optimiser, Combined)
    bop = optimiser.optimisers[1]
    x = torch.randn(6, 1, 8, 8)

    def step(groups: int) -> None:
        optimiser.zero_grad(set_to_none=True)
        path = supernet(x, tiny_space.uniform(groups))
        F.cross_entropy(path, torch.arange(6) % 4).backward()
        optimiser.step()

    weights = {n: p for n, p in supernet.named_parameters() if set(binary_weights(supernet)) & {p}}
    coarse = {n for n in weights if (".g1." in n or "rings.1" in n or "rings.2" in n)}
    assert coarse
    step(4)  # the finest choice: of nested weights the innermost ring alone
    first = {name for name, weight in weights.items() if weight in bop.state}
    assert first and not first & coarse
    for name in first:
        assert torch.allclose(moment(bop, weights[name]), 0.1 * weights[name].grad)
    step(1)
    saved = {
        n: (w.detach().clone(), moment(bop, w).clone())
        for n, w in weights.items()
        if w in bop.state
    }
    step(4)
    moved = {
        name
        for name, (before, m) in saved.items()
        if not (torch.equal(m, moment(bop, weights[name])) and torch.equal(before, weights[name]))
    }
    assert moved == first
    assert all(set(w.unique().tolist()) == {-1, 1} for w in weights.values())


# build_optimiser


class Small(nn.Module):
    """A real convolution, a binary one, a norm, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.conv = BinaryConv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x).tanh()
        return self.linear(self.norm(self.conv(y)).mean((2, 3)))


def small(seed: int = 0) -> Small:
    torch.manual_seed(seed)
    return Small()


def run(module: nn.Module, optimiser: object, config: OptimiserConfig, steps: range) -> None:
    for step in steps:
        x = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(step))
        set_rates(optimiser, config, 0.01, step, 3, 12)
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(module(x), torch.arange(5) % 3).backward()
        optimiser.step()


def assert_same(a: nn.Module, b: nn.Module) -> None:
    expected, found = a.state_dict(), b.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_the_default_is_adam_falling_linearly_to_the_bit(weight_decay: float):
    ours, theirs = small(), small()
    run(
        ours,
        build_optimiser(ours, OptimiserConfig(), 0.01, weight_decay),
        OptimiserConfig(),
        range(12),
    )
    adam = torch.optim.Adam(theirs.parameters(), lr=0.01, weight_decay=weight_decay, fused=True)
    for step in range(12):
        for group in adam.param_groups:
            group["lr"] = 0.01 * (1 - step / 12)
        x = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(step))
        adam.zero_grad(set_to_none=True)
        F.cross_entropy(theirs(x), torch.arange(5) % 3).backward()
        adam.step()
    assert_same(ours, theirs)


def test_options_reach_the_named_optimiser():
    adamw = OptimiserConfig(name="adamw", betas=(0.8, 0.9), eps=1e-6)
    sgd = OptimiserConfig(name="sgd", momentum=0.5, nesterov=True)
    first = build_optimiser(small(), adamw, 0.1, 0.2)
    assert isinstance(first, torch.optim.AdamW)
    group = first.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.1, 0.2, (0.8, 0.9))
    assert group["eps"] == 1e-6
    second = build_optimiser(small(), sgd, 0.1, 0.2)
    assert isinstance(second, torch.optim.SGD)
    group = second.param_groups[0]
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.5, True, 0.2)


@every_optimiser
def test_bop_holds_the_binary_weights_and_the_named_optimiser_the_rest(name: str):
    module = small()
    with torch.no_grad():
        module.conv.weight[0, 0] = 0
    expected = torch.where(module.conv.weight >= 0, 1.0, -1.0)
    optimiser = build_optimiser(module, OptimiserConfig(name=name, bop=BopConfig()), 0.1, 0.2)
    assert torch.equal(module.conv.weight, expected)  # sign(0) = +1
    real, bop = optimiser.param_groups
    assert real["lr"] == 0.1 and real["weight_decay"] == 0.2
    assert bop["gamma"] == 1e-4 and bop["tau"] == 1e-8 and "weight_decay" not in bop
    assert [p is module.conv.weight for p in bop["params"]] == [True]
    assert len(real["params"]) == len(list(module.parameters())) - 1
    config = OptimiserConfig(name=name, bop=BopConfig(gamma=0.5, tau=1e-4))
    run(module, optimiser, config, range(4))
    assert set(module.conv.weight.unique().tolist()) <= {-1, 1}
    assert not torch.equal(module.conv.weight, expected)


def test_bop_without_a_binary_convolution_is_a_user_error():
    with pytest.raises(UserError, match="optimiser.bop: the network has no binary convolution"):
        build_optimiser(nn.Linear(2, 2), OptimiserConfig(bop=BopConfig()), 0.1, 0.0)


def test_bop_may_hold_everything():
    module = nn.Sequential(BinaryConv2d(2, 2, 1))
    config = OptimiserConfig(bop=BopConfig(gamma=1, tau=0))
    optimiser = build_optimiser(module, config, 0.1, 0.0)
    set_rates(optimiser, config, 0.1, 0, 1, 2)
    before = module[0].weight.detach().clone()
    module[0].weight.grad = before.clone()
    optimiser.step()
    assert torch.equal(module[0].weight, -before)
    assert optimiser.param_groups[0]["lr"] == 0.1


# Weight decay


def test_which_of_a_small_network_decay():
    module = small()
    weights = {"stem.weight", "conv.weight", "linear.weight"}
    others = {"stem.bias", "norm.weight", "norm.bias", "linear.bias"}
    assert decayed_names(module, "all") == weights | others
    assert decayed_names(module, "weights") == weights
    assert decayed_names(module, "official") == {"stem.weight", "conv.weight"}
    first, second = build_optimiser(
        module, OptimiserConfig(decayed="weights"), 0.1, 0.2
    ).param_groups
    assert [p.ndim for p in first["params"]] == [4, 4, 2] and first["weight_decay"] == 0.2
    assert [p.ndim for p in second["params"]] == [1, 1, 1, 1] and second["weight_decay"] == 0


def test_what_reactnets_code_decays():
    """The paper's code: 31 binary convolutions + stem + 78 shifts = 110 tensors [source].

    Two parallel 1x1 convolutions of the five doubling blocks are one here: 31 - 5 = 26.
    """
    with torch.device("meta"):
        network = build(network_spec("reactnet-a"))
    names = decayed_names(network, "official")
    shapes = {name: p.ndim for name, p in network.named_parameters()}
    binary = {name for name, p in network.named_parameters() if p in set(binary_weights(network))}
    shifts = {name for name in names if shapes[name] == 1}
    assert len(binary) == 26 and binary <= names
    assert len(shifts) == 78
    assert names - binary - shifts == {"stem.conv.weight"}
    # 13 blocks of two RSign and two RPReLU: 26 beta, 26 gamma, 26 zeta; no slope, no norm.
    ends = [name.rsplit(".", 2)[1:] for name in shifts]
    assert sorted(map(tuple, ends)) == (
        [("activation", "gamma")] * 26 + [("activation", "zeta")] * 26 + [("sign", "beta")] * 26
    )
    assert {n for n in shapes if shapes[n] >= 2} == decayed_names(network, "weights")


# Combined


def test_a_parameter_of_two_optimisers_or_of_none_is_named():
    module = small()
    rest = [p for name, p in module.named_parameters() if name != "conv.weight"]
    adam, bop = torch.optim.Adam(rest), Bop([module.conv.weight])
    Combined(module, [adam, bop])
    with pytest.raises(ValueError, match="conv.weight is held by Adam and Bop"):
        Combined(module, [torch.optim.Adam(module.parameters()), bop])
    with pytest.raises(ValueError, match="conv.weight is held by no optimiser"):
        Combined(module, [adam])
    with pytest.raises(ValueError, match=r"Bop holds a parameter of shape \(1,\) that is not"):
        Combined(module, [adam, bop, Bop([signs(1)])])
    module.conv.weight.requires_grad_(False)
    Combined(module, [adam])


def test_combined_steps_a_closure_once_and_clears_all_gradients():
    module = small()
    optimiser = build_optimiser(module, OptimiserConfig(bop=BopConfig(gamma=1, tau=0)), 0.1, 0.0)
    before = copy.deepcopy(module.state_dict())
    calls = []

    def closure() -> Tensor:
        calls.append(1)
        loss = sum(p.sum() for p in module.parameters())
        loss.backward()
        return loss

    assert isinstance(optimiser.step(closure), Tensor) and calls == [1]
    assert set(module.conv.weight.flatten().tolist()) == {-1}  # g = 1 > 0: every +1 flips
    assert not torch.equal(module.stem.weight, before["stem.weight"])
    optimiser.zero_grad(set_to_none=True)
    assert all(p.grad is None for p in module.parameters())


@every_optimiser
def test_resumed_from_a_file_the_steps_are_the_same(tmp_path: Path, name: str):
    config = OptimiserConfig(
        name=name, decayed="weights", bop=BopConfig(gamma=0.3, gamma_end=0.1, tau=1e-4)
    )
    whole = small()
    whole_optimiser = build_optimiser(whole, config, 0.01, 1e-3)
    run(whole, whole_optimiser, config, range(6))
    state = {"module": whole.state_dict(), "optimiser": whole_optimiser.state_dict()}
    save_checkpoint(tmp_path / "state.pt", state)
    run(whole, whole_optimiser, config, range(6, 12))

    resumed = small(seed=1)
    optimiser = build_optimiser(resumed, config, 0.01, 1e-3)
    loaded = load_checkpoint(tmp_path / "state.pt")
    resumed.load_state_dict(loaded["module"])
    optimiser.load_state_dict(loaded["optimiser"])
    run(resumed, optimiser, config, range(6, 12))
    assert_same(whole, resumed)


def test_the_state_of_another_number_of_optimisers_is_refused():
    module = small()
    plain = build_optimiser(module, OptimiserConfig(), 0.1, 0.0)
    combined = build_optimiser(module, OptimiserConfig(bop=BopConfig()), 0.1, 0.0)
    with pytest.raises(ValueError, match="state of 1 optimisers, expected 2: Adam, Bop"):
        combined.load_state_dict(plain.state_dict())
    with pytest.raises((KeyError, ValueError)):
        plain.load_state_dict(combined.state_dict())


# Schedules


def rates(config: OptimiserConfig, steps: list[int], per_epoch: int, total: int, **base) -> list:
    """What each step runs with: (lr) without Bop, (lr, gamma, tau) with it."""
    optimiser = build_optimiser(small(), config, 1.0, 0.0)
    found = []
    for step in steps:
        set_rates(optimiser, config, base.get("rate", 1.0), step, per_epoch, total)
        groups = optimiser.param_groups
        lr = groups[0]["lr"]
        found.append((lr, groups[-1]["gamma"], groups[-1]["tau"]) if config.bop else lr)
    return found


def test_the_papers_schedule_is_by_epoch_and_one_epoch_early():
    """E = 128, 1.25e-3 [source]: e0 1.240234375e-3, e1 1.23046875e-3, e126 9.765625e-6, e127 0."""
    config = OptimiserConfig(schedule="linear-epochs")
    epochs = (0, 1, 126, 127)
    steps = [10 * epoch + within for epoch in epochs for within in (0, 9)]
    expected = [1.240234375e-3, 1.23046875e-3, 9.765625e-6, 0]
    found = rates(config, steps, 10, 1280, rate=1.25e-3)
    assert found == [rate for rate in expected for _ in range(2)]


def test_linear_falls_to_its_end():
    """Bop's paper: 2.5e-3 -> 5e-6, a share of 5e-6 / 2.5e-3 = 0.002."""
    config = OptimiserConfig(schedule="linear", end=0.002)
    found = rates(config, [0, 50, 100], 10, 100, rate=2.5e-3)
    assert found == pytest.approx([2.5e-3, (2.5e-3 + 5e-6) / 2, 5e-6])


def test_cosine():
    """(1 + cos(pi t)) / 2 at t = 0, 1/3, 1/2, 1: 1, 3/4, 1/2, 0; with end 0.1: 0.1 + 0.9 of it."""
    steps = [0, 20, 30, 60]
    plain = rates(OptimiserConfig(schedule="cosine"), steps, 10, 60)
    assert plain == pytest.approx([1, 0.75, 0.5, 0], abs=1e-12)
    ended = rates(OptimiserConfig(schedule="cosine", end=0.1), steps, 10, 60)
    assert ended == pytest.approx([1, 0.775, 0.55, 0.1])


def test_milestones():
    """Bi-Real Net in Caffe [source]: 0.01, x0.1 at epochs 10 and 15 of 20."""
    config = OptimiserConfig(schedule="milestones", milestones=(10, 15))
    found = rates(config, [0, 99, 100, 149, 150, 199], 10, 200, rate=0.01)
    assert found == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])
    half = OptimiserConfig(schedule="milestones", milestones=(0.5,), decay=0.5)
    assert rates(half, [4, 5], 10, 200) == [1, 0.5]


def test_warm_up_is_a_ramp_times_the_schedule():
    constant = OptimiserConfig(schedule="constant", warmup_epochs=0.4)
    assert rates(constant, [0, 1, 2, 3, 4, 5, 99], 10, 100) == [0, 0.25, 0.5, 0.75, 1, 1, 1]
    linear = OptimiserConfig(warmup_epochs=2)
    # step 10 of 20 of warm-up, 10 of 100 of the run: 0.5 * 0.9
    assert rates(linear, [0, 10, 20, 50], 10, 100) == pytest.approx([0, 0.45, 0.8, 0.5])


def test_gamma_and_tau_linear_by_step():
    bop = BopConfig(gamma=1e-4, gamma_end=1e-6, tau=1e-8, tau_end=3e-8)
    found = rates(OptimiserConfig(bop=bop), [0, 50, 100], 10, 100)
    assert found[0] == (1, 1e-4, 1e-8)
    assert found[1] == pytest.approx((0.5, 5.05e-5, 2e-8))
    assert found[2] == pytest.approx((0, 1e-6, 3e-8))


def test_gamma_by_staircase():
    """BinaryNet on CIFAR-10 [source]: 1e-4, x0.1 every 100 of 500 epochs, to 1e-8; tau stays."""
    config = OptimiserConfig(schedule="constant", bop=BopConfig(gamma_decay_epochs=100))
    steps = [0, 99_999, 100_000, 200_000, 300_000, 400_000, 499_999]
    found = rates(config, steps, 1000, 500_000)
    gammas = [1e-4, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-8]
    assert [gamma for _, gamma, _ in found] == pytest.approx(gammas)
    assert {(lr, tau) for lr, _, tau in found} == {(1, 1e-8)}


# Figures


def test_the_flip_rate_by_hand():
    """Two steps of 4 + 2 weights, then one of 4: (2 + 1) / 12 flips, then 1 / 4, then nothing."""
    four, two = signs(1, 1, 1, -1), signs(1, -1)
    optimiser = Bop([four, two], gamma=1, tau=0.5)
    two.grad = torch.zeros(2, dtype=DOUBLE)
    step_with(optimiser, four, 1, 1, 0.5, 1)  # flips the first two: w m = 1, 1, .5, -1
    assert four.tolist() == [-1, -1, 1, -1]
    step_with(optimiser, four, 0, -1, 0, 0)  # flips the second: w m = 0, 1, 0, 0
    assert figures(optimiser) == {"flip_rate": 3 / 12}
    two.grad = None
    step_with(optimiser, four, 0, 0, 0, -2)  # w m = 2
    assert figures(optimiser) == {"flip_rate": 1 / 4}
    assert figures(optimiser) == {}


def test_figures_look_into_combined_optimisers_and_plain_ones_have_none():
    module = small()
    assert figures(build_optimiser(module, OptimiserConfig(), 0.1, 0.0)) == {}
    config = OptimiserConfig(bop=BopConfig(gamma=1, tau=0))
    optimiser = build_optimiser(module, config, 0.1, 0.0)
    assert figures(optimiser) == {}
    with torch.no_grad():
        module.conv.weight.fill_(1)
        module.conv.weight[0] = -1
    module.conv.weight.grad = torch.ones_like(module.conv.weight)
    optimiser.step()
    assert figures(optimiser) == {"flip_rate": 12 / 16}  # 4 x 4 weights, a row of 4 opposes


# Settings


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"momentum": 0.5}, "momentum is for sgd, not for adam"),
        ({"name": "adamw", "nesterov": True}, "nesterov is for sgd, not for adamw"),
        ({"name": "sgd", "betas": (0.5, 0.9)}, "betas is for adam or .*, not for sgd"),
        ({"name": "sgd", "eps": 1e-6}, "eps is for adam or .*, not for sgd"),
        ({"name": "sgd", "nesterov": True, "momentum": 0}, "nesterov needs a momentum"),
        ({"betas": (0.9, 1.0)}, "betas are"),
        ({"schedule": "constant", "end": 0.1}, "end is for schedule linear or"),
        ({"milestones": (3,)}, "milestones is for schedule milestones, not for linear"),
        ({"decay": 0.5}, "decay is for schedule milestones, not for linear"),
        ({"schedule": "milestones"}, "needs milestones"),
        ({"schedule": "milestones", "milestones": (5, 3)}, "rising epochs"),
        ({"schedule": "milestones", "milestones": (0, 3)}, "rising epochs"),
        ({"bop": {"gamma_end": 0, "gamma_decay_epochs": 3}}, "not both"),
        ({"bop": {"gamma_decay": 0.5}}, "without gamma_decay_epochs"),
        ({"bop": {"gamma": 0}}, "greater than 0"),
        ({"bop": {"tau": -1}}, "greater than or equal to 0"),
        ({"lr": 0.1}, "Extra inputs"),
    ],
)
def test_settings_that_say_nothing_or_contradict_are_refused(fields: dict, complaint: str):
    with pytest.raises(ValidationError, match=complaint):
        OptimiserConfig(**fields)


def test_settings_survive_json():
    config = OptimiserConfig(
        name="sgd", schedule="milestones", milestones=(1, 2.5), bop=BopConfig(tau_end=0)
    )
    assert OptimiserConfig(**config.model_dump(mode="json")) == config
