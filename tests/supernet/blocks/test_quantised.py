"""Weights and activations of a few bits: formulas, gradients, and the binary unit at 1 bit."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from supernet.binarization import Binarization
from supernet.blocks.binary_unit import BinaryUnit
from supernet.blocks.building import build_block, set_binarization
from supernet.blocks.quantised_unit import QuantisedUnit
from supernet.costs import Costs, layer_cost
from supernet.exact_signs import fold_scale
from supernet.files import UserError
from supernet.layers.binary_conv import weight_scale
from supernet.layers.dorefa import DorefaConv2d, dorefa_weight
from supernet.layers.initialisation import initialise_weights
from supernet.layers.pact import MIN_CLIP, PactClip, pact
from supernet.layers.sign import approx_sign, hard_sign
from supernet.network import build, stand_alone_copy
from supernet.spec import (
    BinaryUnitSpec,
    ClipSpec,
    ConvSpec,
    HeadSpec,
    NetworkSpec,
    QuantisedUnitSpec,
    StemSpec,
)

UNIT = BinaryUnitSpec(4, 4, 3, 1, 1, 5, "identity", "prelu")
HALVING = BinaryUnitSpec(4, 8, 3, 2, 2, 5, "conv", "none")
BITS = st.sampled_from([2, 3, 4, 8])
NUMBERS = st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=20)


def of(weight_bits: int, activation_bits: int, unit: BinaryUnitSpec = UNIT) -> QuantisedUnitSpec:
    return QuantisedUnitSpec.of(unit, weight_bits, activation_bits)


def twins(spec: BinaryUnitSpec, weight_bits: int, activation_bits: int) -> tuple[BinaryUnit, ...]:
    """A binary unit and a quantised one with the same parameters, and random statistics."""
    torch.manual_seed(0)
    binary = build_block(spec)
    quantised = build_block(of(weight_bits, activation_bits, spec))
    nn.init.uniform_(binary.norm.weight, 0.5, 2)
    missing = quantised.load_state_dict(binary.state_dict(), strict=False)
    assert not missing.unexpected_keys and set(missing.missing_keys) <= {"clip.weight"}
    return binary, quantised


def maps() -> torch.Tensor:
    return torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(1))


def test_dorefa_weights() -> None:
    # m = .5, u = t / 1 + 1/2 = [1, .25, .6, .45]; 3 u = [3, .75, 1.8, 1.35], rounded 3, 1, 2, 1.
    t = torch.tensor([0.5, -0.25, 0.1, -0.05], dtype=torch.float64)
    expected = torch.tensor([1, -1 / 3, 1 / 3, -1 / 3], dtype=torch.float64)
    torch.testing.assert_close(dorefa_weight(torch.atanh(t), 2), expected)
    # 15 u = [15, 3.75, 9, 6.75], rounded 15, 4, 9, 7; w = 2 r / 15 - 1.
    expected = torch.tensor([15, -7, 3, -1], dtype=torch.float64) / 15
    torch.testing.assert_close(dorefa_weight(torch.atanh(t), 4), expected)


@given(numbers=NUMBERS, bits=BITS)
def test_dorefa_weights_lie_on_levels_in_order(numbers: list[float], bits: int) -> None:
    latent = torch.tensor(numbers, dtype=torch.float64)
    weight = dorefa_weight(latent, bits)
    levels = (weight + 1) / 2 * (2**bits - 1)
    torch.testing.assert_close(levels, levels.round())
    assert 0 <= levels.round().min() and levels.round().max() <= 2**bits - 1
    assert (weight[latent.argsort()].diff() >= -1e-12).all()
    if latent.abs().max() > 0:  # the greatest weight is on the end of its side
        greatest = latent.abs().argmax()
        assert weight[greatest].item() == pytest.approx(math.copysign(1, latent[greatest]))


def test_weights_of_zero_stay_finite() -> None:
    assert dorefa_weight(torch.zeros(2, 3), 2).isfinite().all()


@pytest.mark.parametrize("bits", [2, 8])
def test_the_weight_gradient_is_that_of_the_docstring(bits: int) -> None:
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(3, 2, generator=generator, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    dorefa_weight(latent, bits).backward(upstream)
    t = latent.detach().tanh()
    m = t.abs().max()
    expected = upstream * (1 - t**2) / m
    greatest = t.abs() == m
    expected -= greatest * t.sign() * (1 - t**2) / m * (upstream * t / m).sum()
    torch.testing.assert_close(latent.grad, expected)


def test_the_weight_gradient_is_that_without_rounding() -> None:
    """Finite differences of tanh(W) / max |tanh(W)|, which is smooth where one weight leads."""
    latent = torch.tensor([0.3, -0.9, 0.2], dtype=torch.float64, requires_grad=True)
    upstream = torch.tensor([1.0, 0.5, -2.0], dtype=torch.float64)
    dorefa_weight(latent, 3).backward(upstream)

    def smooth(weights: torch.Tensor) -> float:
        t = weights.tanh()
        return float((upstream * t / t.abs().max()).sum())

    for place in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[place] = 1e-6
        slope = (smooth(latent.detach() + step) - smooth(latent.detach() - step)) / 2e-6
        assert latent.grad[place].item() == pytest.approx(slope, abs=1e-8)


def test_dorefa_refuses_other_bits() -> None:
    for bits in (1, 9, 16):
        with pytest.raises(ValueError, match=f"bits is {bits}, expected 2 to 8, or 32"):
            DorefaConv2d(1, 1, 1, bits)


POINTS = [-1.0, -0.0, 0.3, 0.4, 1.2, 1.9, 2.0, 5.0]


def test_pact() -> None:
    # a = 2, k = 2: 1.5 x = [., 0, .45, .6, 1.8, 2.85, 3, .] rounds to 0, 0, 0, 1, 2, 3, 3, 3 steps
    # of 2/3.
    x = torch.tensor(POINTS, requires_grad=True)
    clip = torch.tensor([2.0], requires_grad=True)
    y = pact(x, clip, 2)
    torch.testing.assert_close(y, torch.tensor([0, 0, 0, 2 / 3, 4 / 3, 2, 2, 2]))
    y.backward(torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8]))
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 0, 0]  # 0 <= x < a
    assert clip.grad.tolist() == [7 + 8]  # x >= a


@given(numbers=NUMBERS, bits=BITS, top=st.floats(0.125, 4, width=32))
def test_pact_is_the_clip_to_half_a_step(numbers: list[float], bits: int, top: float) -> None:
    """And its gradients are the finite differences of the clip, where that is smooth."""
    x = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
    clip = torch.tensor([top], dtype=torch.float64, requires_grad=True)
    y = pact(x, clip, bits)
    clipped = x.detach().clamp(0, top)
    assert ((y - clipped).abs() <= top / (2**bits - 1) / 2 + 1e-12).all()
    torch.testing.assert_close(y / top * (2**bits - 1), (y / top * (2**bits - 1)).round())
    y.sum().backward()
    e = 1e-5
    smooth = ((x.abs() > e) & ((x - top).abs() > e)).detach()
    slopes = ((x.detach() + e).clamp(0, top) - (x.detach() - e).clamp(0, top)) / (2 * e)
    torch.testing.assert_close(x.grad[smooth], slopes[smooth])
    if smooth.all():
        by_top = (x.detach().clamp(0, top + e) - x.detach().clamp(0, top - e)).sum() / (2 * e)
        torch.testing.assert_close(clip.grad[0], by_top)


def test_a_clip_below_the_least_can_recover() -> None:
    clip = torch.tensor([-1.0], requires_grad=True)
    y = pact(torch.tensor([-1.0, 0.0, 1.0]), clip, 4)
    assert y.tolist() == [0, 0, MIN_CLIP]
    y.sum().backward()
    assert clip.grad.item() == 1


@pytest.mark.parametrize("spec", [UNIT, HALVING])
def test_real_activations_over_binary_weights_are_a_binary_units(spec: BinaryUnitSpec) -> None:
    """1w32a is a binary unit under ReLU, 32w1a one with real weights: outputs and gradients."""
    for bits, setting in (
        ((1, 32), Binarization(activations="relu")),
        ((32, 1), Binarization(weights="real")),
        ((32, 32), Binarization(weights="real", activations="relu")),
    ):
        binary, quantised = twins(spec, *bits)
        binary.set_binarization(setting)
        expected, found = binary(maps()), quantised(maps())
        assert torch.equal(found, expected), bits
        expected.square().sum().backward()
        found.square().sum().backward()
        assert torch.equal(quantised.conv.weight.grad, binary.conv.weight.grad)
        assert binary.conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(1, 3), (3, 1), (2, 4), (8, 32)])
def test_a_unit_is_its_formula(weight_bits: int, activation_bits: int) -> None:
    _, unit = twins(UNIT, weight_bits, activation_bits)
    x, latent = maps(), unit.conv.weight
    weight = {
        1: weight_scale(latent) * hard_sign(latent),
    }.get(weight_bits, dorefa_weight(latent, max(weight_bits, 2)))
    if activation_bits == 1:
        read = approx_sign(x)
    elif activation_bits == 32:
        read = x.clamp(min=0)
    else:
        read = pact(x, torch.tensor([2.0]), activation_bits)
    expected = unit.activation(unit.norm(F.conv2d(read, weight, padding=1)) + x)
    torch.testing.assert_close(unit(x), expected)


def test_real_phases_replace_the_quantisers() -> None:
    _, unit = twins(UNIT, 2, 4)
    unit.eval()
    x, latent = maps(), unit.conv.weight
    own = unit(x)

    def by_hand(read: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return unit.activation(unit.norm(F.conv2d(read, weight, padding=1)) + x)

    read, weight = pact(x, torch.tensor([2.0]), 4), dorefa_weight(latent, 2)
    unit.set_binarization(Binarization(weights="real"))
    torch.testing.assert_close(unit(x), by_hand(read, latent))
    unit.set_binarization(Binarization(activations="clip"))
    torch.testing.assert_close(unit(x), by_hand(x.clamp(-1, 1), weight))
    # What concerns signs alone changes nothing here, and is kept for a unit that has them.
    signs = Binarization(scaled=False, pad_value=1, sign="ste", sign_of_zero=-1)
    unit.set_binarization(signs)
    assert torch.equal(unit(x), own) and unit.binarization == signs
    unit.set_binarization(Binarization())
    assert torch.equal(unit(x), own)
    _, of_signs = twins(UNIT, 2, 1)
    of_signs.eval()
    before = of_signs(x)
    of_signs.set_binarization(signs)
    changed = of_signs(x)
    assert not torch.equal(changed, before)
    assert torch.allclose(changed[:, :, 1:-1, 1:-1], before[:, :, 1:-1, 1:-1])  # the border alone


@pytest.mark.parametrize("spec", [UNIT, HALVING])
@pytest.mark.parametrize("bits", [(1, 2), (2, 1), (4, 4), (32, 32), (8, 32)])
def test_names_are_a_binary_units_and_all_are_trained(
    spec: BinaryUnitSpec, bits: tuple[int, int]
) -> None:
    unit_spec = of(*bits, spec)
    unit = build_block(unit_spec)
    assert isinstance(unit, QuantisedUnit)
    own = {name: p.shape for name, p in unit.named_parameters()}
    binary = {name: p.shape for name, p in build_block(spec).named_parameters()}
    clip = {"clip.weight": (1,)} if 2 <= bits[1] <= 8 else {}
    assert own == {**binary, **clip}
    assert {name.rpartition(".")[0] for name in own} == {layer.name for layer in unit_spec.layers()}
    unit(3 * maps()).square().sum().backward()  # 3: some are above the clip
    for name, parameter in unit.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert name == "norm.bias" or parameter.grad.abs().sum() > 0, name


def test_layers_and_their_costs() -> None:
    layers = of(2, 4, HALVING).layers()
    assert layers[0] == ClipSpec("clip")
    assert layers[1] == replace(HALVING.conv, weight_bits=2, activation_bits=4)
    shortcut = next(layer for layer in layers if layer.name == "shortcut.conv")
    assert isinstance(shortcut, ConvSpec) and shortcut.weight_bits == 32
    assert [layer.name for layer in layers[1:]] == [layer.name for layer in HALVING.layers()]
    # 8 x 4/2 x 3 x 3 weights, at each of 3 x 3 pixels.
    weights = 8 * 2 * 9
    assert layer_cost(layers[1]) == Costs(
        flops=weights * 9, bitops=weights * 9 * 2 * 4, parameters=weights, bits=weights * 2
    )
    assert layer_cost(layers[0]) == Costs(parameters=1, bits=32)
    assert layer_cost(HALVING.conv).bitops == weights * 9
    assert layer_cost(shortcut).bitops == 4 * 8 * 9 * 32 * 32
    linear = HeadSpec(8, 10, 3).layers()[0]
    assert layer_cost(linear) == Costs(80, bitops=80 * 1024, parameters=90, bits=90 * 32)
    assert layer_cost(of(1, 4).layers()[1]).binary_parameters == 4 * 4 * 9
    assert layer_cost(of(4, 1).layers()[1]).binary_parameters == 0


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ((1, 1), "a unit of 1-bit weights and activations is a BinaryUnitSpec"),
        ((5, 2), "weight_bits is 5, expected one of 1, 2, 3, 4, 8, 32"),
        ((2, 16), "activation_bits is 16"),
    ],
)
def test_other_bits_are_refused(bits: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        of(*bits)


def test_what_is_no_binary_unit_is_no_quantised_one() -> None:
    with pytest.raises(ValueError, match="has no rsign"):
        of(2, 2, replace(UNIT, rsign=True))
    with pytest.raises(ValueError, match="shortcut 'identity' cannot have stride 2"):
        replace(of(2, 2), stride=2)
    assert of(2, 2).binary == UNIT and of(2, 2, HALVING).out_size == 3


def test_what_binary_units_learn_later_is_left_out_or_refused() -> None:
    @dataclass(frozen=True)
    class LaterSpec(BinaryUnitSpec):
        extra: str = "none"

    later = LaterSpec(**vars(UNIT))
    assert of(2, 2, later) == of(2, 2)
    with pytest.raises(ValueError, match="has no extra"):
        of(2, 2, replace(later, extra="some"))


def network_spec() -> NetworkSpec:
    blocks = (StemSpec(1, 4, 3, 1, 5), of(1, 2), UNIT, of(3, 3), HeadSpec(4, 2, 5))
    return NetworkSpec("some", 1, 5, 2, ("stem", "a", "b", "c", "head"), blocks)


def test_a_copy_keeps_the_setting() -> None:
    network = build(network_spec()).eval()
    setting = Binarization(weights="real", activations="relu")
    images = torch.randn(2, 1, 5, 5)
    before = network(images)
    set_binarization(network, setting)
    copy = stand_alone_copy(network)
    assert copy.c.binarization == setting
    assert torch.equal(copy(images), network(images)) and not torch.equal(copy(images), before)


def test_all_latent_weights_are_initialised() -> None:
    network = build(network_spec())
    initialise_weights(network, "positive")
    for name in "abc":
        weight = network.get_submodule(name).conv.weight
        assert 0 <= weight.min() and weight.max() <= 0.001


def test_scales_of_a_quantised_network_are_not_folded() -> None:
    with pytest.raises(UserError, match="layer 'a' has weights of 1 and activations of 2 bits"):
        fold_scale(build(network_spec()))


def test_the_clip_starts_at_two() -> None:
    assert PactClip(4).weight.tolist() == [2.0]
