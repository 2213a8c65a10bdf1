"""QONNX: ONNX whose signs and binary weights are `BipolarQuant` nodes, as FINN and hls4ml read it.

BipolarQuant(x, scale 1) is +1 where x >= 0, else -1: sign(0) is +1. A threshold is subtracted
before; in IEEE arithmetic x - threshold is 0 only where they are equal.
"""

from __future__ import annotations

import importlib.metadata

import numpy as np
import onnx
from numpy.typing import NDArray

from deploy.engine.packed_network import PackedNetwork
from deploy.exporters.exported import INPUT, OUTPUT, Exported
from deploy.exporters.onnx_model import OnnxGraph, build, serialised
from deploy.kernels.shapes import Floats

DOMAIN = "qonnx.custom_op.general"


def export(packed: PackedNetwork) -> Exported:
    """A packed network as one QONNX file, run node by node by the package `qonnx`."""
    model, values = build(packed, QonnxGraph())

    def run_all(images: Floats) -> list[Floats]:
        context = execute(model, images)
        return [context[value] for value in values]

    return Exported(
        packed.plan,
        packed.parameters,
        serialised(model),
        f"qonnx {importlib.metadata.version('qonnx')}",
        lambda images: execute(model, images)[OUTPUT],
        run_all,
        figures={"opset": model.opset_import[0].version},
    )


def execute(model: onnx.ModelProto, images: Floats) -> dict[str, np.ndarray]:
    """Every tensor by name; qonnx wants a batch of a fixed size and all shapes told."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for tensor in (*fixed.graph.input, *fixed.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = len(images)
    wrapper = ModelWrapper(fixed).transform(InferShapes())
    return execute_onnx(wrapper, {INPUT: images}, return_full_exec_context=True)


class QonnxGraph(OnnxGraph):
    """The graph of `OnnxGraph` but for what is a sign."""

    def __init__(self) -> None:
        super().__init__()
        self.opsets[DOMAIN] = 1

    def signs(self, name: str, x: str, thresholds: Floats | None) -> str:
        if thresholds is not None:
            x = self.node("Sub", name, [x, self.channels(f"{name}.thresholds", thresholds)])
        return self._bipolar(name, x)

    def binary_weight(self, name: str, negative: NDArray[np.bool_]) -> str:
        signs = 1 - 2 * negative.astype(np.float32)
        return self._bipolar(f"{name}.weight", self.constant(f"{name}.weight", signs))

    def _bipolar(self, name: str, x: str) -> str:
        one = self.constant(f"{name}.one", np.ones((), np.float32))
        return self.node("BipolarQuant", name, [x, one], domain=DOMAIN)
