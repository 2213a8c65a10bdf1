"""Binary layers: output sets, gradients against closed forms, ranges, precisions, nesting."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from supernet.layers.binary_conv import (
    MAX_EXACT_BF16_COUNT,
    BinaryConv2d,
    binary_conv2d,
    weight_scale,
)
from supernet.layers.nested_conv import NestedBinaryConv2d, NestedPath
from supernet.layers.rprelu import RPReLU
from supernet.layers.sign import approx_sign


def test_sign_of_zero_is_plus_one() -> None:
    x = torch.tensor([-2.0, -0.0, 0.0, 1e-30, -1e-30, 3.0])
    assert approx_sign(x).tolist() == [-1, 1, 1, 1, -1, 1]


def test_approx_sign_gradient() -> None:
    # The table of Bi-Real Net's F': 2 + 2x on [-1, 0), 2 - 2x on [0, 1), else 0.
    points = [-2, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 0.9, 1, 1.5]
    slopes = [0, 0, 0.5, 1.0, 1.5, 2.0, 1.5, 1.0, 0.5, 0.2, 0, 0]
    x = torch.tensor(points, requires_grad=True)
    approx_sign(x).sum().backward()
    assert torch.allclose(x.grad, torch.tensor(slopes))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_no_nan_at_large_inputs(dtype: torch.dtype) -> None:
    x = torch.tensor([6e4, -6e4, float("inf"), -float("inf")], dtype=dtype, requires_grad=True)
    approx_sign(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 0]


def test_output_dtype_is_asked_for_and_the_gradient_comes_back() -> None:
    x = torch.linspace(-1, 1, 5, requires_grad=True)
    y = approx_sign(x, torch.bfloat16)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16 and x.grad.dtype == torch.float32


def test_weight_gradient_is_clipped_and_not_scaled() -> None:
    # W = [.5, -.25, 1.5, -.75]: scale .75, forward +-.75; the gradient passes where |W| <= 1.
    latent = torch.tensor([0.5, -0.25, 1.5, -0.75]).view(1, 4, 1, 1).requires_grad_()
    signs = torch.ones(1, 4, 1, 1)
    assert weight_scale(latent).item() == 0.75
    for dtype in (torch.float32, torch.bfloat16):
        latent.grad = None
        y = binary_conv2d(signs.to(dtype), latent, 1, 0, 1)
        y.sum().backward()
        assert y.item() == 0.75 - 0.75 + 0.75 - 0.75
        assert latent.grad.flatten().tolist() == [1, 1, 0, 1]


def test_input_gradient_is_scaled() -> None:
    latent = torch.tensor([0.5, -0.25]).view(1, 2, 1, 1)
    for dtype in (torch.float32, torch.bfloat16):
        signs = torch.ones(1, 2, 1, 1, dtype=dtype, requires_grad=True)
        binary_conv2d(signs, latent, 1, 0, 1).sum().backward()
        assert signs.grad.flatten().tolist() == [0.375, -0.375]


@settings(max_examples=40, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 3, 6]),
    stride=st.sampled_from([1, 2]),
    kernel=st.sampled_from([1, 3, 5]),
    size=st.integers(5, 9),
    seed=st.integers(0, 100),
)
def test_bf16_counts_are_exact(groups: int, stride: int, kernel: int, size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 6, size, size, generator=generator)
    conv = BinaryConv2d(6, 12, kernel, stride=stride, padding=kernel // 2, groups=groups)
    assert conv.num_products <= MAX_EXACT_BF16_COUNT
    plain = conv(approx_sign(x)).detach()
    conv.precision = "exact"
    low = conv(approx_sign(x, conv.input_dtype)).detach()
    assert conv.input_dtype == torch.bfloat16
    scale = weight_scale(conv.weight).view(1, -1, 1, 1)
    counts = (plain / scale).round()
    assert torch.equal(low, counts * scale)
    assert torch.allclose(plain, low, rtol=1e-5, atol=1e-6)


def test_exact_keeps_fp32_where_counts_are_too_large() -> None:
    conv = BinaryConv2d(32, 32, 3)
    conv.precision = "exact"
    assert conv.num_products == 32 * 9 > 256 and conv.input_dtype is None
    conv.precision = "bf16"
    assert conv.input_dtype == torch.bfloat16


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_output_range(groups: int) -> None:
    # n = 9 Cin/g products of +-1 give integers of n's parity in [-n, n].
    x = torch.sign(torch.randn(4, 8, 9, 9) + 1e-9)
    conv = BinaryConv2d(8, 8, 3, groups=groups)
    counts = (conv(x) / weight_scale(conv.weight).view(1, -1, 1, 1)).detach().round().long()
    n = 9 * 8 // groups
    assert counts.abs().max() <= n
    assert ((counts - n) % 2 == 0).all()


def test_half_of_the_initial_signs_are_plus_one() -> None:
    torch.manual_seed(0)
    positive = (BinaryConv2d(64, 64, 3).weight >= 0).float().mean().item()
    assert positive == pytest.approx(0.5, abs=0.02)


def test_groups_must_divide() -> None:
    with pytest.raises(ValueError, match="3 groups do not divide 8 and 8"):
        BinaryConv2d(8, 8, 3, groups=3)


def test_nested_weights_are_block_diagonals_of_one_dense_weight() -> None:
    torch.manual_seed(0)
    nested = NestedBinaryConv2d(8, 16, 3, stride=1, padding=1, groups=(1, 2, 4, 8))
    dense = nested.weight(1).detach()
    assert dense.shape == (16, 8, 3, 3)
    for groups in (2, 4, 8):
        weight = nested.weight(groups).detach()
        assert weight.shape == (16, 8 // groups, 3, 3)
        for g in range(groups):
            rows = slice(g * 16 // groups, (g + 1) * 16 // groups)
            columns = slice(g * 8 // groups, (g + 1) * 8 // groups)
            assert torch.equal(weight[rows], dense[rows, columns])


def test_nested_gradients_stay_within_the_path() -> None:
    nested = NestedBinaryConv2d(8, 8, 1, stride=1, padding=0, groups=(1, 2, 8))
    NestedPath(nested, 2)(torch.ones(1, 8, 2, 2)).sum().backward()
    assert [ring.grad is not None for ring in nested.rings] == [True, True, False]


def test_nested_groups_must_divide_one_another() -> None:
    with pytest.raises(ValueError, match="2 groups do not divide 3 groups"):
        NestedBinaryConv2d(6, 6, 1, stride=1, padding=0, groups=(2, 3))


def test_rprelu_against_its_formula() -> None:
    layer = RPReLU(2)
    with torch.no_grad():
        layer.gamma.copy_(torch.tensor([0.5, -1.0]))
        layer.zeta.copy_(torch.tensor([0.1, 0.2]))
        layer.beta.copy_(torch.tensor([0.25, 0.5]))
    x = torch.linspace(-3, 3, 14).view(1, 2, 7, 1)
    gamma, beta, zeta = (
        parameter.view(1, 2, 1, 1) for parameter in (layer.gamma, layer.beta, layer.zeta)
    )
    expected = torch.where(x > gamma, x - gamma + zeta, beta * (x - gamma) + zeta)
    assert torch.allclose(layer(x), expected)


def test_matches_the_float_convolution_of_scaled_signs() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 7, 7)
    conv = BinaryConv2d(6, 4, 3, stride=2, padding=1, groups=2)
    signs = torch.where(x >= 0, 1.0, -1.0)
    weight = torch.where(conv.weight >= 0, 1.0, -1.0) * conv.weight.abs().mean(
        (1, 2, 3), keepdim=True
    )
    expected = F.conv2d(signs, weight, stride=2, padding=1, groups=2)
    assert torch.allclose(conv(approx_sign(x)), expected, atol=1e-6)
