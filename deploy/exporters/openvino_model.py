"""OpenVINO IR: dense binary convolutions as BinaryConvolution, which its CPU plugin runs on bits.

BinaryConvolution has no groups, and its CPU kernel is wrong where the channels it reads are no
multiple of 8: those are convolutions of -1 and +1 in fp32, with no gain from bits. The kernel takes
maps of a fixed size only: the batch is 1 (`openvino.set_batch` makes another). Where a processor
has bf16, the plugin computes real parts in it unless told: compile the model with
INFERENCE_PRECISION_HINT "f32", as the check does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import Node, opset8

from deploy.engine.packed_network import PackedNetwork
from deploy.exporters.exported import INPUT, OUTPUT, Exported, describe_packed
from deploy.exporters.walk import Graph, Window, walk
from deploy.kernels.shapes import Floats
from supernet.files import UserError

BROKEN = ("2026.3.0",)
"""Its BinaryConvolution is right in the first row of a map alone; 2024.6.0 and 2026.4.1 are."""
CHANNELS_OF_BITS = 8
PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}


def export(packed: PackedNetwork) -> Exported:
    """A packed network as an IR file (.xml) and its weights (.bin), run by the CPU plugin.

    Raises:
        UserError: this version of OpenVINO computes binary convolutions wrong.
    """
    version = openvino.__version__.split("-")[0]
    if version in BROKEN:
        raise UserError(
            f"openvino {version} computes binary convolutions wrong: install another version, "
            "2026.4.1 for one"
        )
    plan, graph = packed.plan, OpenvinoGraph()
    images = opset8.parameter([1, plan.channels, plan.size, plan.size], np.float32, name=INPUT)
    images.set_layout(openvino.Layout("NCHW"))
    values = walk(plan, packed.parameters, graph, images)
    logits = opset8.reshape(values[-1], opset8.constant(np.array([0, -1])), True, name=OUTPUT)
    model = openvino.Model([opset8.result(logits)], [images], "evobit")
    for tensor, name in ((model.input(), INPUT), (model.output(), OUTPUT)):
        tensor.tensor.set_names({name})
    _name_nodes(model)
    for name, text in describe_packed(packed).items():
        model.set_rt_info(text, ["evobit", name])
    xml, weights = _serialised(model)
    run = _compiled(model)
    every = openvino.Model([opset8.result(v) for v in (logits, *values[1:])], [images], "evobit")
    run_all = _compiled(every)
    return Exported(
        plan,
        packed.parameters,
        xml,
        f"openvino {version}",
        lambda images: run(images)[0],
        lambda images: [images, *run_all(images)[1:]],
        {".bin": weights},
        {"layers_on_bits": graph.on_bits, "binary_layers_in_fp32": graph.in_floats},
    )


def _name_nodes(model: openvino.Model) -> None:
    """Where a node has a name of its own, its number in the program so far: the file's instead."""
    for number, node in enumerate(model.get_ordered_ops()):
        if node.get_friendly_name() == node.get_name():
            node.set_friendly_name(f"{node.get_type_name()}_{number}")


def _serialised(model: openvino.Model) -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "network.xml"
        openvino.serialize(model, xml)
        return xml.read_bytes(), xml.with_suffix(".bin").read_bytes()


def _compiled(model: openvino.Model) -> Callable[[Floats], list[Floats]]:
    """Images one after another, as the batch is 1; compiled and gone again within a call.

    In a thread of its own: on processors with AMX the plugin gives the thread that compiles another
    stack for signals, and takes it away with the compiled model. On the main thread the next signal
    that Python handles (SIGCHLD, once torch has loaded data in processes) would be a crash.
    """

    def compute(images: Floats) -> list[Floats]:
        compiled = openvino.Core().compile_model(model, "CPU", PRECISION)
        request = compiled.create_infer_request()
        rows = []
        for image in images:
            found = request.infer([np.ascontiguousarray(image[None])])
            rows.append([found[output].copy() for output in compiled.outputs])
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    def run(images: Floats) -> list[Floats]:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(compute, images).result()

    return run


class OpenvinoGraph(Graph[Node]):
    """Nodes; `on_bits` and `in_floats` count the binary convolutions."""

    def __init__(self) -> None:
        self.on_bits = self.in_floats = 0

    def counts(
        self,
        name: str,
        x: Node,
        thresholds: Floats | None,
        negative: NDArray[np.bool_],
        window: Window,
        groups: int,
        pad_value: int,
    ) -> Node:
        limits = np.zeros(1, np.float32) if thresholds is None else thresholds
        if groups == 1 and negative.shape[1] % CHANNELS_OF_BITS == 0:
            self.on_bits += 1
            return opset8.binary_convolution(
                _bits(x, limits),
                _bit_weight(~negative),
                *_fields(window),
                [1, 1],
                "xnor-popcount",
                float(pad_value),
                name=name,
            )
        self.in_floats += 1
        positive = opset8.greater_equal(x, _channels(limits))
        signs = opset8.select(positive, _channels(np.ones(1)), _channels(-np.ones(1)))
        if pad_value:
            top, left, bottom, right = window.padding
            begin, end = (np.array([0, 0, *side]) for side in ((top, left), (bottom, right)))
            value = opset8.constant(np.float32(pad_value))
            pads = opset8.constant(begin), opset8.constant(end)
            signs = opset8.pad(signs, *pads, "constant", value)
            window = Window(window.kernel_size, window.stride, (0, 0, 0, 0))
        return _conv(name, signs, 1 - 2 * negative.astype(np.float32), window, groups)

    def conv(
        self, name: str, x: Node, weight: Floats, bias: Floats, window: Window, groups: int
    ) -> Node:
        return opset8.add(_conv(name, x, weight, window, groups), _channels(bias))

    def multiply(self, name: str, x: Node, factor: Floats) -> Node:
        return opset8.multiply(x, _channels(factor))

    def shift(self, name: str, x: Node, numbers: Floats) -> Node:
        return opset8.add(x, _channels(numbers))

    def add(self, name: str, x: Node, y: Node) -> Node:
        return opset8.add(x, y)

    def cycled(self, name: str, x: Node, channels: int, result: int) -> Node:
        copies = -(-result // channels)
        if copies > 1:
            x = opset8.concat([x] * copies, 1)
        if copies * channels == result:
            return x
        bounds = (opset8.constant(np.array([value])) for value in (0, result, 1, 1))
        return opset8.slice(x, *bounds)

    def prelu(self, name: str, x: Node, slope: Floats) -> Node:
        return opset8.prelu(x, opset8.constant(slope)) if slope.any() else opset8.relu(x)

    def average(self, name: str, x: Node, window: Window) -> Node:
        strides, begin, end = _fields(window)
        return opset8.avg_pool(x, strides, begin, end, [window.kernel_size] * 2, True)

    def maximum(self, name: str, x: Node, window: Window) -> Node:
        strides, begin, end = _fields(window)
        kernel = [window.kernel_size] * 2
        return opset8.max_pool(x, strides, [1, 1], begin, end, kernel).output(0)

    def mean(self, name: str, x: Node) -> Node:
        return opset8.reduce_mean(x, opset8.constant(np.array([2, 3])), True)


def _bits(x: Node, thresholds: Floats) -> Node:
    """1 where x >= threshold, else 0, which is what BinaryConvolution reads as +1 and -1.

    FakeQuantize is 1 above its limit and 0 at it, so that the limit is the next smaller number. For
    those next to 0 it is the smallest that processors do not take for 0.
    """
    tiny = np.finfo(np.float32).tiny
    below = np.nextafter(thresholds, np.float32(-np.inf))
    below = np.where(np.abs(thresholds) <= tiny, -tiny, below).astype(np.float32)
    limit = _channels(below)
    return opset8.fake_quantize(x, limit, limit, _channels(np.zeros(1)), _channels(np.ones(1)), 2)


def _bit_weight(positive: NDArray[np.bool_]) -> Node:
    """1 = +1; the first weight is the lowest bit of the first byte."""
    tensor = openvino.Tensor(openvino.Type.u1, openvino.Shape(list(positive.shape)))
    # A tensor made from an array would not keep the array alive.
    tensor.data.reshape(-1)[:] = np.packbits(positive, axis=None, bitorder="little")
    return openvino.op.Constant(tensor)


def _conv(name: str, x: Node, weight: Floats, window: Window, groups: int) -> Node:
    if groups == 1:
        constant = opset8.constant(np.ascontiguousarray(weight))
        return opset8.convolution(x, constant, *_fields(window), [1, 1], name=name)
    split = np.ascontiguousarray(weight.reshape(groups, -1, *weight.shape[1:]))
    constant = opset8.constant(split)
    return opset8.group_convolution(x, constant, *_fields(window), [1, 1], name=name)


def _channels(numbers: np.ndarray) -> Node:
    """Of each channel, (1, C, 1, 1)."""
    return opset8.constant(np.ascontiguousarray(numbers, np.float32).reshape(1, -1, 1, 1))


def _fields(window: Window) -> tuple[list[int], list[int], list[int]]:
    """Strides, padding before and behind."""
    return [window.stride] * 2, list(window.padding[:2]), list(window.padding[2:])
