"""Chains of OpenVINO layers: fp32 convolutions, and its BinaryConvolution, checked before use."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import openvino
import torch
from openvino import opset8 as ops
from torch.nn import functional as F

from benchmarks.other_engines.onnx_chains import fp32_model
from deploy.kernels.shapes import ConvShape, Floats


def openvino_fp32_chain(shape: ConvShape, length: int, threads: int) -> Callable[[], object]:
    """Convolutions with bias."""
    model = openvino.Core().read_model(fp32_model(shape, length).SerializeToString())
    return _prepared(model, _random_map(shape), threads)


def openvino_binary_chain(shape: ConvShape, length: int, threads: int) -> Callable[[], object]:
    """FakeQuantize to 0 and 1, then BinaryConvolution, scale and bias; fp32 at both ends.

    Raises:
        RuntimeError: it has no such layer, or its result is not that of torch on +1 and -1.
    """
    if shape.groups != 1:
        raise RuntimeError("BinaryConvolution has no groups")
    rng = np.random.default_rng(0)
    size = (shape.out_channels, shape.in_channels, shape.kernel_size, shape.kernel_size)
    weights = [rng.random(size) < 0.5 for _ in range(length)]  # True: +1
    scales = [rng.uniform(0.01, 1, shape.out_channels).astype(np.float32) for _ in weights]
    image = _random_map(shape)
    call = _prepared(_binary_model(shape, weights, scales), image, threads)
    found, expected = call()[0], _expected(shape, weights, scales, image)
    if not np.allclose(found, expected, rtol=1e-5, atol=1e-4):
        wrong = np.mean(~np.isclose(found, expected, rtol=1e-5, atol=1e-4))
        raise RuntimeError(f"wrong result in {wrong:.0%} of the values of {shape}")
    return call


def _binary_model(
    shape: ConvShape, weights: list[np.ndarray], scales: list[Floats]
) -> openvino.Model:
    size = [1, shape.in_channels, shape.height, shape.width]
    source = x = ops.parameter(size, np.float32)
    zero, one = _constant(np.zeros(1)), _constant(np.ones(1))
    strides, pads = [shape.stride] * 2, [shape.padding] * 2
    for weight, scale in zip(weights, scales, strict=True):
        bits = ops.fake_quantize(x, zero, zero, zero, one, 2)  # 0 up to zero, 1 above
        x = ops.binary_convolution(
            bits, _bit_constant(weight), strides, pads, pads, [1, 1], "xnor-popcount", 0.0
        )
        x = ops.add(ops.multiply(x, _constant(scale)), _constant(_bias(scale)))
    return openvino.Model([x], [source])


def _bias(scale: Floats) -> Floats:
    """Half a count, so that no value is zero: each sign is certain, whatever the rounding."""
    return scale / 2


def _constant(values: np.ndarray) -> openvino.Node:
    return ops.constant(values.astype(np.float32).reshape(1, -1, 1, 1))


def _bit_constant(weight: np.ndarray) -> openvino.Node:
    """1 = +1; the first weight is the lowest bit of the first byte."""
    tensor = openvino.Tensor(openvino.Type.u1, openvino.Shape(list(weight.shape)))
    # A tensor made from an array would not keep the array alive.
    tensor.data.reshape(-1)[:] = np.packbits(weight, axis=None, bitorder="little")
    return openvino.op.Constant(tensor)


def _expected(
    shape: ConvShape, weights: list[np.ndarray], scales: list[Floats], image: Floats
) -> Floats:
    x = torch.from_numpy(image)
    for weight, scale in zip(weights, scales, strict=True):
        signs = torch.where(x > 0, 1.0, -1.0)
        filters = torch.from_numpy(2 * weight.astype(np.float32) - 1)
        counts = F.conv2d(signs, filters, stride=shape.stride, padding=shape.padding)
        scale_, bias = (torch.from_numpy(v).view(-1, 1, 1) for v in (scale, _bias(scale)))
        x = counts * scale_ + bias
    return x.numpy()


def _random_map(shape: ConvShape) -> Floats:
    size = (1, shape.in_channels, shape.height, shape.width)
    return np.random.default_rng(1).standard_normal(size, np.float32)


def _prepared(model: openvino.Model, image: Floats, threads: int) -> Callable[[], object]:
    """One request, again and again."""
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # Its threads share the cores with other sides, which nothing is pinned to.
        "ENABLE_CPU_PINNING": False,
        # Else it would turn fp32 into bf16 where the processor has tiles for it.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    request.set_input_tensor(openvino.Tensor(image))
    return partial(request.infer, share_outputs=True)
