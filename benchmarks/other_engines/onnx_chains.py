"""Chains of ONNX convolutions, fp32 and int8, and how onnxruntime runs them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from deploy.kernels.shapes import ConvShape

OPSET, IR_VERSION = 17, 9  # old enough for every runtime of today


def make_model(
    nodes: list[onnx.NodeProto],
    arrays: dict[str, np.ndarray],
    source: onnx.ValueInfoProto,
    result: onnx.ValueInfoProto,
) -> onnx.ModelProto:
    """A checked model with `arrays` as its constants."""
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "network", [source], [result], constants)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def session(model: onnx.ModelProto, threads: int = 1) -> onnxruntime.InferenceSession:
    """onnxruntime on the CPU with `threads` threads and all its optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    # Its idle threads would spin into the turns of the others.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)


def onnxruntime_chain(
    make: Callable[[ConvShape, int], onnx.ModelProto], shape: ConvShape, length: int, threads: int
) -> Callable[[], object]:
    """`length` layers made by `fp32_model` or `int8_model`, in one session."""
    runner = session(make(shape, length), threads)
    source = runner.get_inputs()[0]
    dtype = np.uint8 if source.type == "tensor(uint8)" else np.float32
    image = np.random.default_rng(0).integers(0, 256, source.shape).astype(dtype)
    return partial(runner.run, None, {source.name: image})


def fp32_model(shape: ConvShape, length: int) -> onnx.ModelProto:
    """Convolutions with bias."""
    rng = np.random.default_rng(0)
    nodes, arrays = [], {}
    for i in range(length):
        arrays[f"weight{i}"] = 0.05 * rng.standard_normal(_weight_size(shape), np.float32)
        arrays[f"bias{i}"] = rng.standard_normal(shape.out_channels, np.float32)
        operands = [f"map{i}", f"weight{i}", f"bias{i}"]
        nodes.append(helper.make_node("Conv", operands, [f"map{i + 1}"], **_attributes(shape)))
    return make_model(nodes, arrays, *_ends(shape, length, TensorProto.FLOAT))


def int8_model(shape: ConvShape, length: int) -> onnx.ModelProto:
    """QLinearConv on u8 maps with s8 weights, a scale an output channel: the form that
    onnxruntime has the fastest code for."""
    rng = np.random.default_rng(0)
    channels = shape.out_channels
    arrays = {
        "scale": np.array(1 / 32, np.float32),
        "zero": np.array(128, np.uint8),
        "weight_scale": np.full(channels, 1e-3, np.float32),
        "weight_zero": np.zeros(channels, np.int8),
    }
    nodes = []
    for i in range(length):
        arrays[f"weight{i}"] = rng.integers(-127, 128, _weight_size(shape), np.int8)
        arrays[f"bias{i}"] = rng.integers(-999, 1000, channels, np.int32)
        weight = [f"weight{i}", "weight_scale", "weight_zero"]
        operands = [f"map{i}", "scale", "zero", *weight, "scale", "zero", f"bias{i}"]
        attributes = _attributes(shape)
        nodes.append(helper.make_node("QLinearConv", operands, [f"map{i + 1}"], **attributes))
    return make_model(nodes, arrays, *_ends(shape, length, TensorProto.UINT8))


def _weight_size(shape: ConvShape) -> tuple[int, ...]:
    return (shape.out_channels, shape.group_channels, shape.kernel_size, shape.kernel_size)


def _attributes(shape: ConvShape) -> dict[str, object]:
    k = shape.kernel_size
    return {
        "kernel_shape": [k, k],
        "strides": [shape.stride] * 2,
        "pads": [shape.padding] * 4,
        "group": shape.groups,
    }


def _ends(shape: ConvShape, length: int, dtype: int) -> tuple[onnx.ValueInfoProto, ...]:
    size = [1, shape.in_channels, shape.height, shape.width]
    return tuple(helper.make_tensor_value_info(f"map{i}", dtype, size) for i in (0, length))
