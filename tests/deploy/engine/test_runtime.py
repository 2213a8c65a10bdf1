"""A loaded network: what it takes and refuses, threads, memory, and life without a compiler."""

import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

import deploy
from deploy.engine.packed_network import PackedNetwork
from deploy.kernels import library
from deploy.plan.parameters import Parameters
from deploy.plan.plan import Operation, Plan
from deploy.plan.preprocessing import Preprocessing
from supernet.files import UserError
from tests.deploy.engine.reference_values import reference_values
from tests.deploy.random_plans import MEAN, STD, random_images, random_parameters
from training.data.normalisation import Normalisation

ROOT = Path(__file__).resolve().parents[3]
native = library.load() is not None
needs_native = pytest.mark.skipif(not native, reason="the compiled kernels are not installed")

BATCH = 8  # that of a network as small as this one
PREPROCESSING = Preprocessing(MEAN[:3], STD[:3])
PLAN = Plan(
    3,
    16,
    (
        Operation("stem", "conv", 0, 32, 3, 1, 1, activation="prelu"),
        Operation("first", "binary_conv", 1, 32, 3, 1, 1, add=1, activation="prelu"),
        Operation("short", "avg_pool", 2, 32, 2, 2),
        Operation("down", "binary_conv", 2, 64, 3, 2, 1, 4, add=3, activation="rprelu"),
        Operation("last", "binary_conv", 4, 64, thresholds=True),
        Operation("pool", "global_avg_pool", 5, 64),
        Operation("linear", "linear", 6, 10),
    ),
)


def make_network(seed: int = 0) -> PackedNetwork:
    parameters = random_parameters(PLAN, np.random.default_rng(seed))
    return PackedNetwork(PLAN, parameters, PREPROCESSING, [f"class {i}" for i in range(10)])


def uint8_images(count: int, seed: int = 1) -> np.ndarray:
    return random_images(PLAN, count, np.random.default_rng(seed))


def as_trained(images: np.ndarray) -> torch.Tensor:
    return Normalisation(MEAN[:3], STD[:3], PLAN.size).apply(torch.from_numpy(images))


def test_levels_and_normalised_floats_give_the_same_bits():
    network, images = make_network(), uint8_images(BATCH + 1)
    logits = network(images)
    assert network.batch == BATCH
    assert logits.shape == (BATCH + 1, 10) and logits.dtype == np.float32
    assert (network(as_trained(images).numpy()) == logits).all()
    every_level = (
        np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3).transpose(0, 3, 1, 2)
    )
    value = network.values(every_level)[0].transpose(0, 3, 1, 2)
    assert (value == as_trained(np.ascontiguousarray(every_level)).numpy()).all()


def test_tensors_single_images_and_strides_are_taken():
    network, images = make_network(), uint8_images(3)
    logits = network(images)
    assert isinstance(network(torch.from_numpy(images)), np.ndarray)
    assert (network(torch.from_numpy(images)) == logits).all()
    assert (network(as_trained(images).requires_grad_()) == logits).all()
    assert (network(images[1]) == logits[1:2]).all()
    channels_last = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert (network(channels_last) == logits).all()
    assert (network(images[::-1]) == logits[::-1]).all()
    assert network(images[:0]).shape == (0, 10)
    assert [len(value) for value in network.values(images[:0])] == [0] * 8


def test_wrong_images_are_refused():
    network, images = make_network(), uint8_images(2)
    with pytest.raises(UserError, match="found float64, expected uint8 levels"):
        network(images / 255)
    with pytest.raises(UserError, match=r"found shape \(2, 3, 16, 15\), expected \(N, 3, 16, 16\)"):
        network(images[..., :15])
    with pytest.raises(UserError, match=r"found shape \(16, 16\)"):
        network(images[0, 0])
    with pytest.raises(UserError, match="not an array"):
        network([[1], [1, 2]])
    with pytest.raises(UserError, match="not an array"):
        network(torch.empty(1, 3, 16, 16, device="meta"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_that_is_not_finite_is_named(value):
    network, floats = make_network(), as_trained(uint8_images(BATCH + 3)).numpy()
    floats[BATCH + 1, 2, 15, 15] = floats[BATCH + 2] = value
    with pytest.raises(UserError, match=f"image {BATCH + 1}: it holds a NaN or an infinity"):
        network(floats)
    assert np.isfinite(network(floats[: BATCH + 1])).all()


def test_logits_that_are_not_finite_are_an_error():
    parameters = random_parameters(PLAN, np.random.default_rng(0))
    parameters.reals[-3:] = 3e38  # the last biases
    parameters.reals[-650:-10] *= 1e38
    network = PackedNetwork(PLAN, parameters, PREPROCESSING)
    with pytest.raises(UserError, match="image 0: the network gives a NaN or an infinity"):
        network(uint8_images(2))


def test_parts_that_do_not_fit_are_refused():
    parameters = random_parameters(PLAN, np.random.default_rng(0))
    with pytest.raises(UserError, match="2 class names for a network of 10 classes"):
        PackedNetwork(PLAN, parameters, PREPROCESSING, ["a", "b"])
    with pytest.raises(UserError, match="preprocessing is of 1 channels"):
        PackedNetwork(PLAN, parameters, Preprocessing((0.5,), (0.2,)))
    with pytest.raises(UserError, match="needs .* reals"):
        PackedNetwork(PLAN, Parameters(parameters.bits, parameters.reals[1:]), PREPROCESSING)
    for mean, std in (((0.5,), ()), ((), ()), ((0.5,), (0.0,)), ((float("nan"),), (1.0,))):
        with pytest.raises(UserError, match="expected"):
            Preprocessing(mean, std)


def test_values_are_those_of_torch():
    network, images = make_network(), uint8_images(BATCH + 2)
    values = network.values(images)
    assert (values[-1][:, 0, 0] == network(images)).all()
    expected = reference_values(PLAN, network.parameters, as_trained(images).numpy())
    assert (values[0] == expected[0]).all()
    # Later values may differ where a sign flips at a threshold.
    assert np.abs(values[1] - expected[1]).max() < 1e-5
    assert [value.shape for value in values] == [value.shape for value in expected]


def test_layer_times_name_every_step():
    rows = make_network().layer_times(uint8_images(2), 3)
    assert {operation.name for operation in PLAN.operations} <= {row.name for row in rows}
    assert all(row.seconds > 0 for row in rows)
    if native:
        assert rows[0].kernel == rows[0].name == "input"
    with pytest.raises(UserError, match="rounds"):
        make_network().layer_times(uint8_images(1), 0)


def test_python_threads_take_turns():
    network = make_network()
    images = [uint8_images(5, seed) for seed in range(4)]
    expected = [network(part) for part in images]
    wrong: list[int] = []

    def call(number: int) -> None:
        for _ in range(30):
            if not (network(images[number]) == expected[number]).all():
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@needs_native
def test_calls_allocate_their_result_alone():
    network, images = make_network(), uint8_images(64)
    network(images)
    tracemalloc.start()
    for _ in range(20):
        network(images)
    current, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 10 * 4 + 10_000
    before = resident_bytes()
    for _ in range(200):
        network(images)
    assert resident_bytes() - before < 1 << 20


def resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs /proc")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_without_the_library_torch_runs_the_network(monkeypatch):
    images = uint8_images(BATCH + 1)
    compiled = make_network()
    logits, values = compiled(images), compiled.values(images)
    monkeypatch.setattr(library, "load", lambda: None)
    network = make_network()
    assert network.backend["backend"] == "torch-reference"
    assert np.abs(network(images) - logits).max() < 1e-4
    assert len(network.values(images)) == len(values)
    assert (network.values(images)[0] == values[0]).all()
    assert network.layer_times(images, 1)[1].kernel == "torch-reference"
    floats = as_trained(images).numpy()
    assert (network(floats) == network(images)).all()
    floats[2] = np.nan
    with pytest.raises(UserError, match="image 2: it holds a NaN"):
        network(floats)
    network.parameters.reals[-10:] = np.inf
    with pytest.raises(UserError, match="image 0: the network gives"):
        network(images)


def test_a_network_of_another_instruction_set_refuses_to_run():
    if not native or not library.load().evobit_has_groups():
        pytest.skip("needs the kernel of group lanes")
    network, before = make_network(), network_isa()
    library.select_isa("portable")
    try:
        with pytest.raises(UserError, match="another instruction set than portable; load it again"):
            network(uint8_images(1))
    finally:
        library.select_isa(before)


def network_isa() -> str:
    isa = library.backend_info()["isa"]
    assert isa is not None
    return isa


@needs_native
def test_running_a_network_imports_no_torch():
    code = (
        "import sys, time; start = time.perf_counter(); import deploy; deploy.PackedNetwork\n"
        "print(time.perf_counter() - start)\n"
        "from deploy.plan.plan import *; from deploy.plan.parameters import *\n"
        "from deploy.plan.preprocessing import *\n"
        "import numpy as np\n"
        "plan = Plan(1, 4, (Operation('a', 'binary_conv', 0, 8, 3, 1, 1),\n"
        "                   Operation('b', 'global_avg_pool', 1, 8)))\n"
        "parameters = Parameters(np.zeros(9, np.uint8), np.ones(16, np.float32))\n"
        "network = deploy.PackedNetwork(plan, parameters, Preprocessing((0.5,), (0.5,)))\n"
        "network(np.zeros((2, 1, 4, 4), np.uint8)); network.values(np.zeros((1, 4, 4), np.uint8))\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'safetensors')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seconds, imported = done.stdout.split("\n")[:2]
    assert imported == "[]"
    assert float(seconds) < 1.5  # 0.2 on an idle machine, most of it NumPy


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        deploy.nothing  # noqa: B018
