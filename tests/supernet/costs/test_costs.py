"""Costs against published and hand-computed values, and against the built module."""

import random

import pytest

from supernet.costs import cost, layer_cost
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spec import BinaryUnitSpec, ConvSpec, HeadSpec, StemSpec
from supernet.verify import CostMismatch, measure, verify

STEM_FLOPS = 3 * 32 * 9 * 112 * 112  # 10,838,016
LINEAR_FLOPS = 1024 * 1000


@pytest.mark.parametrize(
    ("shortcut", "groups", "ops"),
    [
        ("duplicate", 1, 87_126_016),
        ("duplicate", 4, 37_000_192),
        ("duplicate", 16, 24_468_736),
        ("conv", 1, 215_576_576),
        ("conv", 4, 165_450_752),
        ("conv", 16, 152_919_296),
    ],
)
def test_uniform_groups_at_224(shortcut: str, groups: int, ops: int) -> None:
    space = MobileNetGroups(shortcut=shortcut)
    assert cost(space.decode(space.uniform(groups))).ops == ops


def test_ungrouped_network_has_reactnets_counts() -> None:
    space = MobileNetGroups()
    costs = cost(space.decode(space.uniform(1)))
    assert costs.flops == STEM_FLOPS + LINEAR_FLOPS == 11_862_016
    assert costs.bops == 4_816_896_000
    assert costs.ops == 4_816_896_000 // 64 + 11_862_016
    assert costs.binary_parameters == 28_253_184


@pytest.mark.parametrize(("groups", "binary"), [(1, 28_253_184), (4, 9_417_984), (16, 4_709_184)])
def test_binary_weights(groups: int, binary: int) -> None:
    space = MobileNetGroups()
    assert cost(space.decode(space.uniform(groups))).binary_parameters == binary


def test_rprelu_has_reactnets_parameters_less_its_rsigns() -> None:
    # ReActNet-A trains 29,343,592 numbers, 9,920 of them the thresholds of RSign.
    space = MobileNetGroups(activation="rprelu")
    assert cost(space.decode(space.uniform(1))).parameters == 29_343_592 - 9_920


def test_block_3_at_224() -> None:
    unit = BinaryUnitSpec(128, 128, 3, 1, 1, 56, "identity", "prelu")
    assert layer_cost(unit.conv).bops == 128 * 128 * 9 * 56 * 56 == 462_422_016


def test_ops_are_whole_numbers_where_they_can_be() -> None:
    conv = ConvSpec("conv", 1, 1, 3, 1, 1, 1, weight_bits=1, activation_bits=1)
    assert layer_cost(conv).ops == 9 / 64
    assert isinstance(layer_cost(ConvSpec("conv", 8, 8, 1, 1, 1, 1)).ops, int)


def test_a_convolution_is_binary_only_if_both_operands_are() -> None:
    costs = layer_cost(ConvSpec("conv", 2, 4, 3, 1, 2, 5, weight_bits=1))
    assert costs.flops == 4 * 1 * 9 * 25 and costs.bops == 0
    assert costs.binary_parameters == 4 * 1 * 9


def test_bits() -> None:
    space = MobileNetGroups()
    costs = cost(space.decode(space.uniform(4)))
    real = costs.parameters - costs.binary_parameters
    assert costs.bits == costs.binary_parameters + 32 * real


def test_quantiles_of_random_architectures() -> None:
    # 5/50/95 % of 20,000 draws: 0.315/0.418/0.546 x 1e8 OPs.
    space, rng = MobileNetGroups(), random.Random(0)
    ops = sorted(cost(space.decode(space.sample(rng))).ops for _ in range(2000))
    assert [ops[100] / 1e8, ops[1000] / 1e8, ops[1900] / 1e8] == pytest.approx(
        [0.315, 0.418, 0.546], abs=0.008
    )


@pytest.mark.parametrize("shortcut", ["duplicate", "conv"])
@pytest.mark.parametrize("activation", ["prelu", "rprelu", "none"])
@pytest.mark.parametrize("search_pointwise", [False, True])
def test_analytic_equals_module(shortcut: str, activation: str, search_pointwise: bool) -> None:
    space = MobileNetGroups(
        image_size=32,
        classes=10,
        width=0.25,
        stem_stride=1,
        groups=(1, 2, 4, 8),
        shortcut=shortcut,
        activation=activation,
        search_pointwise=search_pointwise,
    )
    rng = random.Random(1)
    for _ in range(2):
        spec = space.decode(space.sample(rng))
        assert verify(spec) == cost(spec).as_dict()


def test_verify_reports_a_difference(tiny_space: MobileNetGroups) -> None:
    from dataclasses import replace

    from supernet.network import build

    spec = tiny_space.decode(tiny_space.first())
    head = spec.blocks[-1]
    assert isinstance(head, HeadSpec)
    wrong = replace(spec, blocks=(*spec.blocks[:-1], replace(head, num_classes=5)))
    assert measure(build(spec)) != cost(wrong)
    stem = spec.blocks[0]
    assert isinstance(stem, StemSpec)
    # A stem that is said to see a smaller image than the network gives it.
    lying = replace(spec, blocks=(replace(stem, in_size=4), *spec.blocks[1:]))
    with pytest.raises(CostMismatch):
        verify(lying)
