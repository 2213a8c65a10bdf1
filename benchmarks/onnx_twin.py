"""The real-valued twin of a packed network as an ONNX model: what a user would deploy as int8.

The same operations, with a real convolution of the same shape and groups in place of each binary
one: no sign, and BatchNorm folded into weight and bias. The weights are random, since only the
speed of this model is of interest.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime import InferenceSession
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.other_engines.onnx_chains import make_model, session
from deploy.plan.plan import MapShape, Operation, Plan

IMAGES, LOGITS = "images", "logits"
NUM_CALIBRATION_IMAGES = 4


def twin(plan: Plan, relu: bool = False, seed: int = 0) -> onnx.ModelProto:
    """Images (1, C, S, S) in fp32 to logits (1, classes).

    `relu` puts a ReLU in the place of every other activation. onnxruntime computes PReLU in fp32
    even in a quantised network, with a conversion before and after: a user who wants int8 may well
    train with ReLU instead.
    """
    writer = _Writer(plan, relu, seed)
    for operation in plan.operations:
        writer.operation(operation)
    writer.node("Flatten", [writer.values[-1]], LOGITS, axis=1)
    source = helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, _image_size(plan))
    result = helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, [1, plan.num_classes])
    return make_model(writer.nodes, writer.arrays, source, result)


def quantized(
    model: onnx.ModelProto, layout: QuantFormat = QuantFormat.QDQ, seed: int = 0
) -> onnx.ModelProto:
    """As int8 by onnxruntime: u8 maps, s8 weights with a scale a channel, random calibration."""
    with tempfile.TemporaryDirectory() as folder:
        prepared, result = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(model, prepared)
        quantize_static(
            prepared,
            result,
            _RandomImages(model, seed),
            quant_format=layout,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(result)


def sessions(plan: Plan, relu: bool = False, threads: int = 1) -> dict[str, InferenceSession]:
    """The twin in fp32 and as int8, ready to run on `IMAGES`."""
    model = twin(plan, relu)
    return {"fp32": session(model, threads), "int8": session(quantized(model), threads)}


class _RandomImages(CalibrationDataReader):
    """A few normalised images."""

    def __init__(self, model: onnx.ModelProto, seed: int) -> None:
        size = [side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim]
        rng = np.random.default_rng(seed)
        images = (rng.standard_normal(size, np.float32) for _ in range(NUM_CALIBRATION_IMAGES))
        self._feeds = iter([{IMAGES: image} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


class _Writer:
    """Nodes and constants so far; `values[i]` is the name of the plan's value i."""

    def __init__(self, plan: Plan, relu: bool, seed: int) -> None:
        self.relu = relu
        self.rng = np.random.default_rng(seed)
        self.shapes = plan.shapes()
        self.values = [IMAGES]
        self.nodes: list[onnx.NodeProto] = []
        self.arrays: dict[str, np.ndarray] = {}

    def node(self, kind: str, operands: list[str], result: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, operands, [result], result, **attributes))
        return result

    def operation(self, operation: Operation) -> None:
        """Append the nodes of the plan's next operation."""
        name, source = operation.name, self.values[operation.source]
        k = operation.kernel_size
        window = {
            "kernel_shape": [k, k],
            "strides": [operation.stride] * 2,
            "pads": [operation.padding] * 4,
        }
        match operation.kind:
            case "avg_pool":
                result = self.node("AveragePool", [source], name, ceil_mode=1, **window)
            case "max_pool":
                result = self.node("MaxPool", [source], name, ceil_mode=1, **window)
            case "max_pool_inside":
                result = self.node("MaxPool", [source], name, **window)
            case "global_avg_pool":
                result = self.node("GlobalAveragePool", [source], name)
            case "linear":
                flat = self.node("Flatten", [source], f"{name}.flat", axis=1)
                operands = [flat, *self._weight_and_bias(operation)]
                result = self.node("Gemm", operands, name, transB=1)
            case _:
                operands = [source, *self._weight_and_bias(operation)]
                groups = operation.groups
                result = self.node("Conv", operands, f"{name}.conv", group=groups, **window)
                result = self._activated(operation, self._added(operation, result))
        self.values.append(result)

    def _added(self, operation: Operation, result: str) -> str:
        """Plus the shortcut, taken twice where it has half of the channels."""
        if operation.add is None:
            return result
        name, added = operation.name, self.values[operation.add]
        if self.shapes[operation.add].channels != operation.channels:
            added = self.node("Concat", [added, added], f"{name}.twice", axis=1)
        return self.node("Add", [result, added], f"{name}.sum")

    def _activated(self, operation: Operation, result: str) -> str:
        name, size = operation.name, (operation.channels, 1, 1)
        if operation.activation == "none":
            return result
        if self.relu:
            return self.node("Relu", [result], f"{name}.relu")
        slope = self._array(f"{name}.slope", np.full(size, 0.25))
        if operation.activation == "prelu":
            return self.node("PRelu", [result, slope], f"{name}.prelu")
        gamma, zeta = (
            self._array(f"{name}.{vector}", 0.1 * self.rng.standard_normal(size))
            for vector in ("gamma", "zeta")
        )
        result = self.node("Sub", [result, gamma], f"{name}.shifted")
        result = self.node("PRelu", [result, slope], f"{name}.prelu")
        return self.node("Add", [result, zeta], f"{name}.rprelu")

    def _weight_and_bias(self, operation: Operation) -> list[str]:
        """A weight that keeps the size of its input, and a small bias."""
        size = _weight_size(operation, self.shapes[operation.source])
        weight = self.rng.standard_normal(size) / math.sqrt(math.prod(size[1:]))
        bias = 0.1 * self.rng.standard_normal(size[0])
        name = operation.name
        return [self._array(f"{name}.weight", weight), self._array(f"{name}.bias", bias)]

    def _array(self, name: str, values: np.ndarray) -> str:
        self.arrays[name] = values.astype(np.float32)
        return name


def _image_size(plan: Plan) -> list[int]:
    return [1, plan.channels, plan.size, plan.size]


def _weight_size(operation: Operation, source: MapShape) -> tuple[int, ...]:
    if operation.kind == "linear":
        return (operation.channels, source.channels)
    k = operation.kernel_size
    return (operation.channels, source.channels // operation.groups, k, k)
