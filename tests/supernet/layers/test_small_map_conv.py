"""The bf16 convolution to a small map, against float64 autograd of the formula."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from supernet.layers.binary_conv import binary_conv2d
from supernet.layers.small_map_conv import small_map_conv2d, suits_small_map


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 1, 0)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_the_formula(
    kernel: int, stride: int, padding: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 7, 7, dtype=torch.float64).contiguous(memory_format=layout)
    weight = torch.randn(4, 5, kernel, kernel, dtype=torch.float64)
    x, weight = x.requires_grad_(), weight.requires_grad_()
    y = small_map_conv2d(x, weight, stride, padding)
    expected = F.conv2d(x, weight, None, stride, padding)
    grad = torch.randn_like(y)
    assert torch.equal(y, expected)
    for found, wanted in zip(
        torch.autograd.grad(y, (x, weight), grad),
        torch.autograd.grad(expected, (x, weight), grad),
        strict=True,
    ):
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_only_bf16_on_small_maps_without_groups() -> None:
    weight = torch.ones(4, 4, 3, 3)
    small, larger = torch.ones(1, 4, 13, 14), torch.ones(1, 4, 15, 15)
    bf16 = torch.bfloat16
    assert suits_small_map(small.to(bf16), weight, 2, 1, 1)  # 7 x 7: (14 + 2 - 3) // 2 + 1 = 7
    assert not suits_small_map(small, weight, 2, 1, 1)
    assert not suits_small_map(larger.to(bf16), weight, 2, 1, 1)  # 8 x 8
    assert not suits_small_map(small.to(bf16), weight, 1, 1, 1)
    assert not suits_small_map(small.to(bf16), weight[:, :2], 2, 1, 2)


def test_a_binary_convolution_in_bf16_keeps_the_gradients_of_fp32() -> None:
    """Rounding dL/dy to bf16, 8 bits, is an error of at most 2^-8 a term."""
    torch.manual_seed(0)
    signs = torch.randn(4, 16, 7, 7).sign()
    latent = (torch.randn(8, 16, 3, 3) * 0.1).requires_grad_()
    grad = torch.randn(4, 8, 7, 7)
    exact = torch.autograd.grad(binary_conv2d(signs, latent, 1, 1, 1), latent, grad)[0]
    low = binary_conv2d(signs.to(torch.bfloat16), latent, 1, 1, 1)
    assert "SmallMap" in str(low.grad_fn.next_functions[0][0].next_functions[0][0])
    found = torch.autograd.grad(low, latent, grad)[0]
    assert (found - exact).norm() < 2**-7 * exact.norm()
