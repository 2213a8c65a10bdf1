"""ONNX: signs as comparisons, binary weights as int8 -1 and +1, BatchNorm folded.

A sign is x >= threshold, never ONNX's `Sign`, whose sign(0) is 0. The operator set is 17, so that
runtimes of several years read it. The batch is free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from deploy.engine.packed_network import PackedNetwork
from deploy.exporters.exported import INPUT, OUTPUT, Exported, describe_packed
from deploy.exporters.walk import Graph, Window, walk
from deploy.kernels.shapes import Floats
from deploy.plan.plan import Plan
from supernet.files import UserError

OPSET = 17
IR_VERSION = 8
"""Of the file format that came with operator set 17."""
BATCH = "batch"
MAX_BYTES = 1 << 31
"""A protobuf file is smaller; weights in further files are not written."""


def export(packed: PackedNetwork) -> Exported:
    """A packed network as one ONNX file, run by onnxruntime."""
    import onnxruntime

    model, values = build(packed, OnnxGraph())
    onnx.checker.check_model(model, full_check=True)
    run, run_all = _session(model), _session(with_outputs(model, packed.plan, values))
    return Exported(
        packed.plan,
        packed.parameters,
        serialised(model),
        f"onnxruntime {onnxruntime.__version__}",
        lambda images: run(images)[0],
        lambda images: [images, *run_all(images)[1:]],
        figures={"opset": OPSET},
    )


def build(packed: PackedNetwork, graph: OnnxGraph) -> tuple[onnx.ModelProto, list[str]]:
    """The model, and the name of every value of the plan."""
    plan = packed.plan
    values = walk(plan, packed.parameters, graph, INPUT)
    graph.node("Flatten", "logits", [values[-1]], result=OUTPUT, axis=1)
    size = (BATCH, plan.channels, plan.size, plan.size)
    made = helper.make_graph(
        graph.nodes,
        "evobit",
        [helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, (BATCH, plan.num_classes))],
        graph.initializers,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    model = helper.make_model(
        made, producer_name="evobit", opset_imports=opsets, ir_version=IR_VERSION
    )
    helper.set_model_props(model, describe_packed(packed))
    return model, values


def serialised(model: onnx.ModelProto) -> bytes:
    """The same model is the same bytes.

    Raises:
        UserError: it is too large for one file.
    """
    if (size := model.ByteSize()) >= MAX_BYTES:
        raise UserError(
            f"the network is {size:,} bytes, an ONNX file holds less than {MAX_BYTES:,}"
        )
    return model.SerializeToString(deterministic=True)


def with_outputs(model: onnx.ModelProto, plan: Plan, values: Sequence[str]) -> onnx.ModelProto:
    """A model that also gives every value of the plan but the images."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name, shape in list(zip(values, plan.shapes(), strict=True))[1:]:
        size = (BATCH, shape.channels, *shape.sides)
        copy.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size))
    return copy


def _session(model: onnx.ModelProto) -> Callable[[Floats], list[Floats]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {INPUT: images})


class OnnxGraph(Graph[str]):
    """Nodes so far, and their constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.opsets = {"": OPSET}
        self._names: set[str] = set()

    def node(
        self, kind: str, name: str, inputs: Sequence[str], result: str = "", **fields: Any
    ) -> str:
        """Append a node; gives the name of its result, the node's own unless told."""
        name = self._new_name(f"{name}.{kind}")
        result = result or name
        self.nodes.append(helper.make_node(kind, list(inputs), [result], name, **fields))
        return result

    def constant(self, name: str, values: np.ndarray) -> str:
        """An array of the file."""
        name = self._new_name(name)
        self.initializers.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def _new_name(self, name: str) -> str:
        found, count = name, 1
        while found in self._names:
            count += 1
            found = f"{name}_{count}"
        self._names.add(found)
        return found

    def channels(self, name: str, numbers: Floats) -> str:
        """Numbers of each channel, (C, 1, 1)."""
        return self.constant(name, numbers.reshape(-1, 1, 1))

    def signs(self, name: str, x: str, thresholds: Floats | None) -> str:
        """+1 where x >= threshold, else -1."""
        limits = np.zeros((), np.float32) if thresholds is None else thresholds.reshape(-1, 1, 1)
        positive = self.node(
            "GreaterOrEqual", name, [x, self.constant(f"{name}.thresholds", limits)]
        )
        plus, minus = (
            self.constant(f"{name}.{word}", np.array(value, np.float32))
            for word, value in (("plus", 1), ("minus", -1))
        )
        return self.node("Where", name, [positive, plus, minus])

    def binary_weight(self, name: str, negative: NDArray[np.bool_]) -> str:
        """-1 and +1: a byte each in the file, floats once it is loaded."""
        weight = self.constant(f"{name}.weight", 1 - 2 * negative.astype(np.int8))
        return self.node("Cast", name, [weight], to=onnx.TensorProto.FLOAT)

    def counts(
        self,
        name: str,
        x: str,
        thresholds: Floats | None,
        negative: NDArray[np.bool_],
        window: Window,
        groups: int,
        pad_value: int,
    ) -> str:
        x = self.signs(name, x, thresholds)
        if pad_value:
            top, left, bottom, right = window.padding
            pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
            value = self.constant(f"{name}.pad_value", np.array(pad_value, np.float32))
            x = self.node("Pad", name, [x, self.constant(f"{name}.pads", pads), value])
            window = Window(window.kernel_size, window.stride, (0, 0, 0, 0))
        weight = self.binary_weight(name, negative)
        return self.node("Conv", name, [x, weight], group=groups, **_fields(window))

    def conv(
        self, name: str, x: str, weight: Floats, bias: Floats, window: Window, groups: int
    ) -> str:
        inputs = [x, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        return self.node("Conv", name, inputs, group=groups, **_fields(window))

    def multiply(self, name: str, x: str, factor: Floats) -> str:
        return self.node("Mul", name, [x, self.channels(f"{name}.scale", factor)])

    def shift(self, name: str, x: str, numbers: Floats) -> str:
        return self.node("Add", name, [x, self.channels(f"{name}.shift", numbers)])

    def add(self, name: str, x: str, y: str) -> str:
        return self.node("Add", name, [x, y])

    def cycled(self, name: str, x: str, channels: int, result: int) -> str:
        copies = -(-result // channels)
        if copies > 1:
            x = self.node("Concat", name, [x] * copies, axis=1)
        if copies * channels == result:
            return x
        bounds = [
            self.constant(f"{name}.{word}", np.array([value], np.int64))
            for word, value in (("start", 0), ("end", result), ("axis", 1))
        ]
        return self.node("Slice", name, [x, *bounds])

    def prelu(self, name: str, x: str, slope: Floats) -> str:
        if not slope.any():
            return self.node("Relu", name, [x])
        return self.node("PRelu", name, [x, self.channels(f"{name}.slope", slope)])

    def average(self, name: str, x: str, window: Window) -> str:
        return self.node("AveragePool", name, [x], count_include_pad=0, **_fields(window))

    def maximum(self, name: str, x: str, window: Window) -> str:
        return self.node("MaxPool", name, [x], **_fields(window))

    def mean(self, name: str, x: str) -> str:
        return self.node("GlobalAveragePool", name, [x])


def _fields(window: Window) -> dict[str, Any]:
    return {
        "kernel_shape": [window.kernel_size] * 2,
        "strides": [window.stride] * 2,
        "pads": list(window.padding),
    }
