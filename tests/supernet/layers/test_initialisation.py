"""Rules by which latent weights are drawn: ranges, fans, which weights."""

import math

import pytest
import torch

from supernet import Supernet, build
from supernet.layers.binary_conv import BinaryConv2d
from supernet.layers.initialisation import initialise_weights
from supernet.layers.nested_conv import NestedBinaryConv2d
from supernet.networks import network_spec
from supernet.spaces.mobilenet_groups import MobileNetGroups


def drawn(module: torch.nn.Module, rule: str, seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    initialise_weights(module, rule)
    return [parameter.detach().clone() for parameter in module.parameters()]


@pytest.mark.parametrize(
    ("rule", "low", "high"),
    # 16 input channels in 4 groups, 3x3: fan in 4 * 9 = 36.
    [("uniform", -0.01, 0.01), ("kaiming", -1 / 6, 1 / 6), ("positive", 0, 0.001)],
)
def test_ranges(rule: str, low: float, high: float) -> None:
    (weight,) = drawn(BinaryConv2d(16, 64, 3, groups=4), rule)
    spread = high - low
    assert low <= weight.min() < low + 0.01 * spread
    assert high - 0.01 * spread < weight.max() <= high
    assert weight.mean().item() == pytest.approx((low + high) / 2, abs=0.05 * spread)


def test_uniform_is_that_of_a_fresh_convolution_and_kaiming_torchs() -> None:
    torch.manual_seed(0)
    fresh = BinaryConv2d(4, 8, 3).weight
    assert torch.equal(drawn(BinaryConv2d(4, 8, 3), "uniform")[0], fresh)
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(16, 8, 3, groups=4, bias=False).weight
    assert torch.allclose(drawn(BinaryConv2d(16, 8, 3, groups=4), "kaiming")[0], plain)


def test_glorot_signs_are_signs_half_of_them_plus_one() -> None:
    (weight,) = drawn(BinaryConv2d(64, 64, 3), "glorot-sign")
    assert sorted(set(weight.flatten().tolist())) == [-1, 1]
    assert weight.mean().item() == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("rule", ["uniform", "kaiming", "positive", "glorot-sign"])
def test_a_seed_decides_and_only_latent_weights_change(rule: str) -> None:
    network = build(network_spec("bireal-18", image_size=32, classes=3, stem="small"))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    first, again, other = (drawn(network, rule, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    binary = {
        f"{name}.weight" for name, part in network.named_modules() if isinstance(part, BinaryConv2d)
    }
    assert len(binary) == 16
    for name, a, b in zip(before, first, other, strict=True):
        assert torch.equal(before[name], a) == (name not in binary), name
        assert torch.equal(a, b) == (name not in binary), name


def test_a_ring_has_the_fan_of_the_convolution_that_it_completes() -> None:
    nested = NestedBinaryConv2d(64, 64, 3, stride=1, padding=1, groups=(1, 2, 8))
    rings = drawn(nested, "kaiming")
    # 8, 2, 1 groups: fan in 64 / groups * 9.
    bounds = [1 / math.sqrt(64 / groups * 9) for groups in (8, 2, 1)]
    for ring, bound in zip(rings, bounds, strict=True):
        assert 0.98 * bound < ring.abs().max() <= bound


@pytest.mark.parametrize("sharing", ["independent", "nested", "sliced"])
def test_a_supernet_is_initialised_whole(tiny_space: MobileNetGroups, sharing: str) -> None:
    supernet = Supernet(tiny_space, sharing)
    initialise_weights(supernet, "positive")
    for groups in (1, 2, 4):
        for name, tensor in supernet.path(tiny_space.uniform(groups)).tensors().items():
            if name.endswith(("spatial.conv.weight", "pointwise.conv.weight")):
                assert 0 <= tensor.min() and 0 < tensor.max() <= 0.001


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="rule is 'zeros', expected one of uniform, kaiming"):
        initialise_weights(BinaryConv2d(1, 1, 1), "zeros")
