"""Plans in other programs' formats, run by those programs."""

import ctypes
import gc
import importlib.util
from typing import Any

import numpy as np
import pytest

from deploy.exporters import FORMATS, exporter
from deploy.exporters.exported import Exported
from deploy.exporters.walk import Window, window_of
from deploy.kernels.shapes import ConvShape
from deploy.plan.plan import MapShape, Operation
from supernet.files import UserError
from tests.deploy.exporters.comparing import (
    packed_network,
    random_images,
    random_network,
    unit_parameters,
    unit_plan,
    wrong_operations,
)

OF_PLANS = [name for name, format in FORMATS.items() if format.of_plan]


def needs_packages(name: str) -> str:
    """The name again, if the format's packages are installed."""
    for package in FORMATS[name].packages:
        pytest.importorskip(package)
    return name


@pytest.fixture(params=OF_PLANS)
def name(request: pytest.FixtureRequest) -> str:
    return needs_packages(request.param)


@pytest.mark.parametrize("seed", range(12))
def test_every_operation_computes_what_the_reference_does(name: str, seed: int) -> None:
    packed = random_network(seed)
    exported, images = exporter(name).export(packed), random_images(packed, 3)
    assert wrong_operations(exported, images) == []
    logits = exported(images)
    assert logits.shape == (3, packed.plan.num_classes) and logits.dtype == np.float32
    assert np.array_equal(exported.values(images)[0], images.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("pad_value", [-1, 0, 1])
@pytest.mark.parametrize(("channels", "groups"), [(16, 1), (16, 2), (12, 1), (40, 1)])
def test_a_value_at_its_threshold_is_plus_one(
    name: str, channels: int, groups: int, pad_value: int
) -> None:
    """Halves against thresholds of halves: many are equal, and all sums are exact."""
    plan = unit_plan(channels, 24, groups, pad_value)
    thresholds = np.array([-0.0, 0.0, 0.5, 1.0, -0.5, 1.5] * 8)[:channels]
    packed = packed_network(plan, unit_parameters(plan, thresholds))
    images = np.random.default_rng(1).integers(-2, 4, (5, 1, 7, 7)).astype(np.float32) / 2
    images[0], images[1, 0, :3] = 0, -0.0
    expected, found = packed.values(images), exporter(name).export(packed).values(images)
    assert (expected[1] == thresholds.astype(np.float32)).mean() > 0.1
    assert np.array_equal(found[1], expected[1])
    assert np.array_equal(found[2], expected[2])  # counts


def test_any_number_of_images(name: str) -> None:
    packed = random_network(1)
    exported, images = exporter(name).export(packed), random_images(packed, 4)
    one_by_one = np.concatenate([exported(image[None]) for image in images])
    assert np.allclose(exported(images), one_by_one, rtol=0, atol=1e-5)


def test_the_same_network_gives_the_same_file(name: str) -> None:
    files = [exporter(name).export(random_network(2)).content for _ in range(2)]
    assert files[0] == files[1]


@pytest.mark.parametrize("kind", ["avg_pool", "max_pool", "max_pool_inside"])
@pytest.mark.parametrize("side", [7, 8, 9])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (2, 1), (1, 2), (3, 3)])
def test_padding_reaches_as_far_as_the_windows(
    kind: str, side: int, kernel: int, stride: int
) -> None:
    padding = 0 if kind == "avg_pool" else kernel // 2
    pool = Operation("pool", kind, 0, 1, kernel, stride, padding)  # type: ignore[arg-type]
    source = MapShape(side, side, 1)
    window = window_of(pool, source)
    top, _, bottom, _ = window.padding
    assert top == padding and 0 <= bottom < kernel
    # As many as those that fit into the padded map: the rule of every program.
    assert (side + top + bottom - kernel) // stride + 1 == pool.result_shape(source).height


def test_seven_pixels_in_windows_of_two_need_one_more() -> None:
    pool = Operation("pool", "avg_pool", 0, 1, 2, 2)
    assert window_of(pool, MapShape(7, 8, 1)) == Window(2, 2, (0, 0, 1, 0))


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name, package in (("onnx", "onnxruntime"), ("openvino", "openvino"), ("qonnx", "qonnx")):
        monkeypatch.setitem(sys.modules, package, None)
        if name == "qonnx":
            monkeypatch.delitem(sys.modules, "onnxruntime")
        with pytest.raises(UserError, match=rf"needs the package {package} .*evobit\[{name}\]'"):
            exporter(name)


def constants(model: Any) -> dict[str, np.ndarray]:
    """The arrays of an ONNX model."""
    from onnx.numpy_helper import to_array

    return {tensor.name: to_array(tensor) for tensor in model.graph.initializer}


def test_onnx_signs_are_comparisons_and_weights_bytes() -> None:
    onnx = pytest.importorskip("onnx")
    needs_packages("onnx")
    plan = unit_plan(16, 24, 2)
    packed = packed_network(plan, unit_parameters(plan, np.zeros(16)))
    model = onnx.load_from_string(exporter("onnx").export(packed).content)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == [
        "Conv", "Relu", "GreaterOrEqual", "Where", "Cast", "Conv", "Mul", "Add",
        "GlobalAveragePool", "Flatten",
    ]  # fmt: skip
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer
    }
    weight = weights["unit.weight"]
    assert weight.dtype == np.int8 and set(weight.ravel().tolist()) == {-1, 1}
    assert weight.shape == (24, 16 // 2, 3, 3)
    assert [opset.version for opset in model.opset_import] == [17]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_qonnx_signs_and_weights_are_bipolar() -> None:
    needs_packages("onnx")
    from deploy.exporters.onnx_model import build
    from deploy.exporters.qonnx_model import DOMAIN, QonnxGraph

    plan = unit_plan(16, 24, 1)
    packed = packed_network(plan, unit_parameters(plan, np.full(16, 0.5)))
    model, _ = build(packed, QonnxGraph())
    quants = [node for node in model.graph.node if node.op_type == "BipolarQuant"]
    assert len(quants) == 2 and {node.domain for node in quants} == {DOMAIN}
    assert {float(constants(model)[node.input[1]]) for node in quants} == {1.0}
    (conv,) = [node for node in model.graph.node if node.name == "unit.Conv"]
    assert set(conv.input) == {node.output[0] for node in quants}


@pytest.mark.parametrize("seed", range(6))
def test_qonnx_by_a_second_runtime(seed: int) -> None:
    """onnx's reference evaluator, with QONNX's definition: +1 where x >= 0, times the scale."""
    needs_packages("onnx")
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    from deploy.exporters.exported import INPUT
    from deploy.exporters.onnx_model import build, with_outputs
    from deploy.exporters.qonnx_model import DOMAIN, QonnxGraph

    class BipolarQuant(OpRun):
        op_domain = DOMAIN

        def _run(self, x: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray]:
            return (np.where(x >= 0, np.float32(1), np.float32(-1)) * scale,)

    packed = random_network(seed)
    model, values = build(packed, QonnxGraph())
    runner = ReferenceEvaluator(with_outputs(model, packed.plan, values), new_ops=[BipolarQuant])

    def run_all(images: np.ndarray) -> list[np.ndarray]:
        return [images, *runner.run(None, {INPUT: images})[1:]]

    exported = Exported(
        packed.plan, packed.parameters, b"", "onnx", lambda images: run_all(images)[-1], run_all
    )
    assert wrong_operations(exported, random_images(packed, 2)) == []


@pytest.mark.parametrize(("channels", "groups", "on_bits"), [(16, 1, 1), (16, 2, 0), (12, 1, 0)])
def test_openvino_says_what_runs_on_bits(channels: int, groups: int, on_bits: int) -> None:
    needs_packages("openvino")
    plan = unit_plan(channels, 24, groups)
    packed = packed_network(plan, unit_parameters(plan, np.zeros(channels)))
    exported = exporter("openvino").export(packed)
    assert exported.figures == {"layers_on_bits": on_bits, "binary_layers_in_fp32": 1 - on_bits}
    assert (b'type="BinaryConvolution"' in exported.content) == bool(on_bits)
    shape = ConvShape(7, 7, channels, 24, 3, 1, 1, groups)
    if on_bits:  # a bit a weight, and some numbers of each channel
        assert len(exported.beside[".bin"]) < 4 * shape.out_channels * shape.num_products / 8


def test_openvino_leaves_the_stack_for_signals_alone() -> None:
    """What its CPU plugin does on a processor with AMX; Python's handlers run on that stack."""
    needs_packages("openvino")

    class Stack(ctypes.Structure):
        _fields_ = [
            ("start", ctypes.c_void_p),
            ("flags", ctypes.c_int),
            ("size", ctypes.c_size_t),
        ]

    def stack() -> tuple[int | None, int]:
        found = Stack()
        assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
        return found.start, found.size

    before = stack()
    packed = random_network(0)
    exported = exporter("openvino").export(packed)
    exported(random_images(packed, 1))
    assert stack() == before
    del exported
    gc.collect()
    assert stack() == before


def test_a_version_of_openvino_that_is_wrong_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(openvino, "__version__", "2026.3.0-21000-abc")
    with pytest.raises(UserError, match=r"openvino 2026\.3\.0 computes binary convolutions wrong"):
        exporter("openvino").export(random_network(0))


def test_every_format_has_a_module() -> None:
    assert all(importlib.util.find_spec(format.module) for format in FORMATS.values())
