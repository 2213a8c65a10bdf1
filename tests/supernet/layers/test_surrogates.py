"""Every surrogate gradient against float64 autograd of its surrogate function, and its options."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from supernet.layers.binary_conv import BinaryConv2d, binary_conv2d
from supernet.layers.rprelu import RPReLU
from supernet.layers.rsign import RSign
from supernet.layers.sign import approx_sign, hard_sign, ste_sign, swish_sign


def approx_surrogate(x: Tensor) -> Tensor:
    inside = torch.where(x < 0, 2 * x + x * x, 2 * x - x * x)
    return torch.where(x < -1, -1.0, torch.where(x >= 1, 1.0, inside))


def swish_surrogate(x: Tensor) -> Tensor:
    s = torch.sigmoid(5 * x)
    return 2 * s * (1 + 5 * x * (1 - s)) - 1


SIGNS: dict[str, tuple[Callable, Callable]] = {
    "ste": (ste_sign, lambda x: x.clamp(-1, 1)),
    "approx": (approx_sign, approx_surrogate),
    "swish": (swish_sign, swish_surrogate),
}


def slope(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    function(x).sum().backward()
    assert x.grad is not None
    return x.grad


@pytest.mark.parametrize("name", SIGNS)
def test_gradient_is_that_of_the_surrogate(name: str) -> None:
    sign, surrogate = SIGNS[name]
    x = torch.linspace(-3, 3, 1201, dtype=torch.float64) + 1e-4  # no kink on the grid
    assert torch.allclose(slope(sign, x), slope(surrogate, x), atol=1e-12)
    assert torch.allclose(slope(sign, x.float()), slope(surrogate, x).float(), atol=1e-5)
    upstream = torch.randn(len(x), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weighted = slope(lambda x: sign(x) * upstream, x)
    assert torch.allclose(weighted, upstream * slope(surrogate, x), atol=1e-12)


@pytest.mark.parametrize("name", SIGNS)
@pytest.mark.parametrize("zero", [-1, 0, 1])
def test_output_set_and_sign_of_zero(name: str, zero: int) -> None:
    sign = SIGNS[name][0]
    x = torch.tensor([-2.0, -0.0, 0.0, 1e-30, -1e-30, 3.0])
    expected = [-1, zero, zero, 1, -1, 1]
    assert sign(x, zero=zero).tolist() == hard_sign(x, zero=zero).tolist() == expected
    low = sign(x, torch.bfloat16, zero=zero)
    assert low.dtype == torch.bfloat16 and low.tolist() == expected


@pytest.mark.parametrize("name", SIGNS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_inputs_give_no_nan(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([300.0, -300.0, 6e4, -6e4, math.inf, -math.inf], dtype=dtype)
    found = slope(SIGNS[name][0], x)
    assert found.dtype == dtype and found.abs().max() <= 1e-18


def test_published_slopes() -> None:
    assert slope(ste_sign, torch.tensor([1.0, 1.01, -1.0])).tolist() == [1, 0, 1]
    found = slope(swish_sign, torch.tensor([0, 0.25, 0.5, 1], dtype=torch.float64))
    expected = torch.tensor([5.0, 2.262047, -0.084622, -0.194992], dtype=torch.float64)
    assert torch.allclose(found, expected, atol=1e-6)
    x = torch.tensor([-2, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 0.9, 1, 1.5])
    values = [-1, -1, -0.9375, -0.75, -0.4375, 0, 0.4375, 0.75, 0.9375, 0.99, 1, 1]
    assert torch.allclose(approx_surrogate(x), torch.tensor(values))


def test_ste_saves_a_byte_an_element() -> None:
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        ste_sign(torch.zeros(8, requires_grad=True))
    assert [tensor.dtype for tensor in saved] == [torch.bool]


def test_rsign() -> None:
    sign = RSign(2)
    assert sign.beta.shape == (2,) and sign.beta.tolist() == [0, 0]
    with torch.no_grad():
        sign.beta.copy_(torch.tensor([0.5, -0.25]))
    x = torch.linspace(-2, 2, 34).view(1, 2, 17, 1).requires_grad_()
    y = sign(x)
    threshold = -sign.beta.view(1, 2, 1, 1)
    assert torch.equal(y, torch.where(x >= threshold, 1.0, -1.0))
    y.sum().backward()
    expected = slope(approx_surrogate, (x - threshold).detach().double()).float()
    assert torch.allclose(x.grad, expected, atol=1e-6)
    assert torch.allclose(sign.beta.grad, expected.sum((0, 2, 3)), atol=1e-5)
    assert sign(x, torch.bfloat16).dtype == torch.bfloat16


def test_rprelu_gradients() -> None:
    layer = RPReLU(3).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data.add_(torch.randn(3, generator=generator, dtype=torch.float64))
    x = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    layer(x).sum().backward()
    gamma, beta = (p.detach().view(1, 3, 1, 1) for p in (layer.gamma, layer.beta))
    above = x.detach() > gamma
    dx = torch.where(above, 1.0, beta)
    assert torch.allclose(x.grad, dx)
    assert torch.allclose(layer.gamma.grad, -dx.sum((0, 2, 3)))
    below = torch.where(above, 0.0, x.detach() - gamma)
    assert torch.allclose(layer.beta.grad, below.sum((0, 2, 3)))
    assert torch.allclose(layer.zeta.grad, torch.full((3,), 2 * 5 * 4.0, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize(
    ("rule", "gradient"),
    [
        ("clip", [1, 1, 0, 1]),
        ("magnitude", [0.75, 0.75, 0, 0.75]),
        ("straight", [1, 1, 1, 1]),
    ],
)
def test_weight_gradients(
    rule: str, gradient: list[float], scaled: bool, dtype: torch.dtype
) -> None:
    # W = [.5, -.25, 1.5, -.75] has the scale .75; one input of +1 for each weight.
    latent = torch.tensor([0.5, -0.25, 1.5, -0.75]).view(1, 4, 1, 1).requires_grad_()
    options = {"weight_gradient": rule, "scaled": scaled}
    # Four pixels, each with one channel of +1, show the four weights that are convolved.
    pixels = torch.eye(4, dtype=dtype).view(1, 4, 4, 1)
    y = binary_conv2d(pixels, latent, 1, 0, 1, **options)
    scale = 0.75 if scaled else 1
    assert y.dtype == torch.float32
    assert y.flatten().tolist() == [scale, -scale, scale, -scale]
    y.sum().backward()
    assert torch.allclose(latent.grad.flatten(), torch.tensor(gradient, dtype=torch.float32))


@pytest.mark.parametrize(("pad_value", "corner"), [(0, 4), (-1, -1), (1, 9)])
@pytest.mark.parametrize("precision", ["fp32", "exact"])
def test_padding_values(pad_value: int, corner: int, precision: str) -> None:
    conv = BinaryConv2d(1, 1, 3, padding=1, pad_value=pad_value, scaled=False)
    conv.precision = precision
    torch.nn.init.constant_(conv.weight, 1e-4)
    y = conv(torch.ones(1, 1, 4, 4, dtype=conv.input_dtype or torch.float32))
    assert y.shape == (1, 1, 4, 4)
    assert y[0, 0, 0, 0] == corner and y[0, 0, 1, 1] == 9


@pytest.mark.parametrize("zero", [-1, 0, 1])
def test_weight_sign_of_zero(zero: int) -> None:
    conv = BinaryConv2d(1, 3, 1, scaled=False, zero=zero)
    conv.weight.data.copy_(torch.tensor([-1.0, 0, 1]).view(3, 1, 1, 1))
    assert conv(torch.ones(1, 1, 1, 1)).flatten().tolist() == [-1, zero, 1]


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="weight_gradient is 'soft', expected one of clip, mag"):
        BinaryConv2d(1, 1, 1, weight_gradient="soft")
    with pytest.raises(ValueError, match="pad_value is 2, expected -1, 0 or 1"):
        BinaryConv2d(1, 1, 1, pad_value=2)


def test_a_scale_in_front_of_batchnorm_folds_into_its_statistics() -> None:
    # BN(a x) with mean, var equals BN(x) with mean / a and (var + eps) / a^2 - eps.
    torch.manual_seed(0)
    x, scale = torch.randn(4, 3, 5, 5), torch.tensor([0.2, 0.5, 0.05])
    norm, folded = torch.nn.BatchNorm2d(3).eval(), torch.nn.BatchNorm2d(3).eval()
    norm.running_mean.copy_(torch.tensor([0.1, -0.3, 0.2]))
    norm.running_var.copy_(torch.tensor([0.5, 2.0, 0.1]))
    folded.running_mean.copy_(norm.running_mean / scale)
    folded.running_var.copy_((norm.running_var + norm.eps) / scale**2 - norm.eps)
    assert torch.allclose(norm(x * scale.view(1, 3, 1, 1)), folded(x), atol=1e-5)
