"""The 1-bit kernels: counts, fused outputs, packed signs, threads, instruction sets."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from deploy import kernels
from deploy.kernels import library, reference
from deploy.kernels.bits import binarize_map, bits_of, signs_of, tap_sums, weights_to_bytes
from deploy.kernels.shapes import ConvShape, Epilogue, SignMap
from supernet.files import UserError

ROOT = Path(__file__).resolve().parents[3]
# Without a compiler only the fallback is there to be tested.
ISAS = kernels.backend_info()["available_isas"]
needs_native = pytest.mark.skipif(not ISAS, reason="the compiled kernels are not installed")


@pytest.fixture(autouse=True)
def same_isa_and_threads_after() -> Iterator[None]:
    before = kernels.backend_info()
    yield
    if before["isa"]:
        kernels.select_isa(before["isa"])
        kernels.set_threads(before["threads"])


@st.composite
def cases(draw: st.DrawFn) -> tuple[ConvShape, int, int, int]:
    """A shape, its padding value, a batch size and a seed; work is bounded, kinds are mixed."""
    kernel = draw(st.sampled_from((1, 3, 5, 7)))
    size = st.integers(max(1, kernel - 2), kernel + 9)
    kind = draw(st.sampled_from(("depthwise", "narrow", "any", "any")))
    if kind == "depthwise":
        groups = draw(st.integers(1, 150) | st.sampled_from((8, 16, 64, 128, 256, 520)))
        inputs, outputs = 1, draw(st.sampled_from((1, 1, 2)))
    elif kind == "narrow":  # several groups in a lane
        inputs = draw(st.sampled_from((1, 2, 4, 8)))
        groups = draw(st.sampled_from((2, 4, 8, 12, 16, 32, 64, 136, 264)))
        outputs = draw(st.sampled_from((1, 2, 3, 4, 6, 8, 16)))
        outputs = min(outputs, max(1, 600 // groups))
    else:
        inputs = draw(st.sampled_from((2, 3, 4, 7, 8, 8, 16, 16, 31, 32, 33, 64, 100, 160)))
        groups = draw(st.integers(1, max(1, 300 // inputs)) | st.sampled_from((1, 2, 4, 8)))
        outputs = draw(st.sampled_from((1, 3, 5, 8, 16, 24, 32, 40, 70)))
        outputs = min(outputs, max(1, 260 // groups))
        if inputs in (8, 16) and draw(st.booleans()):
            outputs = draw(st.sampled_from((8, 16)))
    shape = ConvShape(
        height=draw(size),
        width=draw(size),
        in_channels=inputs * groups,
        out_channels=outputs * groups,
        kernel_size=kernel,
        stride=draw(st.sampled_from((1, 2))),
        padding=draw(st.integers((kernel - 1) // 2, kernel // 2 + 1)),
        groups=groups,
    )
    batch = draw(st.integers(1, 3))
    return shape, draw(st.sampled_from((-1, 0, 1))), batch, draw(st.integers(0, 2**32 - 1))


def torch_counts(x: np.ndarray, negative: np.ndarray, shape: ConvShape, pad_value: int):
    """F.conv2d on +-1 tensors, (N, H', W', Cout); x (N, H, W, C) fp32."""
    signs = torch.from_numpy(np.where(x >= 0, np.float32(1), np.float32(-1))).permute(0, 3, 1, 2)
    signs = F.pad(signs, (shape.padding,) * 4, value=pad_value)
    weight = torch.from_numpy(np.where(negative, np.float32(-1), np.float32(1)))
    counts = F.conv2d(signs, weight, None, shape.stride, 0, 1, shape.groups)
    return counts.permute(0, 2, 3, 1).numpy()


def operands(shape: ConvShape, batch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A real map with zeros in it, and weights, True where -1."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, shape.height, shape.width, shape.in_channels), np.float32)
    x[rng.random(x.shape) < 0.02] = 0
    size = (shape.out_channels, shape.group_channels, shape.kernel_size, shape.kernel_size)
    return x, rng.random(size) < rng.choice([0.1, 0.5, 0.9])


def check_counts(case: tuple[ConvShape, int, int, int]) -> None:
    shape, pad_value, batch, seed = case
    x, negative = operands(shape, batch, seed)
    expected = torch_counts(x, negative, shape, pad_value)
    packed = binarize_map(x, None, shape.padding)
    assert (reference.conv_counts(packed, negative, shape, pad_value) == expected).all()
    for isa in ISAS:
        kernels.select_isa(isa)
        conv = kernels.BinaryConv(negative, shape, pad_value)
        counts = conv.counts(kernels.binarize(x, None, shape.padding))
        assert (counts == expected).all(), (isa, conv.kernel)


SHARED = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@given(cases())
@settings(max_examples=150, derandomize=True, **SHARED)
@example((ConvShape(8, 8, 1024, 1024, 3, 1, 1, 64), 0, 1, 0))  # 16 a group, two vectors a pixel
@example((ConvShape(9, 9, 1024, 1024, 3, 2, 1, 128), 0, 2, 0))  # 8 a group, two vectors a pixel
@example((ConvShape(9, 13, 64, 64, 3, 2, 1, 8), -1, 2, 0))  # 8 a group, eight pixels a vector
@example((ConvShape(7, 7, 48, 96, 5, 1, 2, 6), 1, 2, 0))  # 8 a group, 16 outputs
@example((ConvShape(7, 7, 48, 144, 5, 1, 2, 6), 1, 2, 0))  # 8 a group, 24 outputs
@example((ConvShape(7, 7, 64, 64, 3, 1, 1, 16), -1, 2, 0))  # 4 a group, two groups a lane
@example((ConvShape(7, 7, 64, 64, 3, 1, 1, 32), 0, 2, 0))  # 2 a group
@example((ConvShape(9, 7, 32, 128, 7, 1, 3, 32), 0, 2, 0))  # 1 a group, 32 outputs a lane
@example((ConvShape(5, 5, 64, 32, 3, 1, 1, 16), 0, 2, 0))  # 4 a group in lanes of 16 bits
@example((ConvShape(9, 9, 1024, 1024, 3, 1, 1, 1024), 0, 1, 0))  # depthwise, two vectors a pixel
@example((ConvShape(15, 9, 64, 64, 3, 2, 1, 64), 1, 2, 0))  # depthwise, eight pixels a vector
@example((ConvShape(7, 7, 96, 96, 5, 1, 2, 96), 0, 2, 0))  # depthwise, 25 taps
@example((ConvShape(7, 7, 40, 40, 7, 1, 3, 40), -1, 2, 0))  # depthwise, 49 taps
@example((ConvShape(9, 9, 72, 72, 9, 1, 4, 72), 0, 1, 0))  # depthwise, 81 taps
@example((ConvShape(3, 5, 64, 64, 7, 1, 3, 4), 0, 2, 0))  # a map smaller than the kernel
@example((ConvShape(5, 5, 600, 20, 1, 1, 0, 20), 0, 1, 0))  # masked lanes more than 16 words apart
@example((ConvShape(6, 6, 2048, 64, 3, 1, 1, 1), 0, 1, 0))  # many words: byte counters are flushed
def test_counts_equal_torch(case):
    check_counts(case)


@pytest.mark.long
@given(cases())
@settings(max_examples=2500, derandomize=True, **SHARED)
def test_counts_equal_torch_in_many_cases(case):
    check_counts(case)


@needs_native
def test_every_kernel_is_reached():
    def kernel(inputs: int, outputs: int, groups: int, size: int = 3) -> str:
        shape = ConvShape(9, 9, inputs, outputs, size, 1, 1, groups)
        return kernels.BinaryConv(
            np.zeros((outputs, inputs // groups, size, size), bool), shape
        ).kernel

    kernels.select_isa(ISAS[-1])
    assert kernel(40, 24, 1) == kernel(64, 64, 2) == "output lanes"
    assert kernel(48, 48, 2) == kernel(63, 63, 63) == kernel(24, 12, 12) == "masked lanes"
    if library.load().evobit_has_groups():
        assert kernel(64, 64, 4) == kernel(64, 64, 8) == "group lanes"
        assert kernel(64, 64, 16) == kernel(64, 64, 32) == kernel(64, 64, 64) == "group lanes"
        assert kernel(64, 32, 16) == kernel(64, 64, 64, size=7) == "group lanes"
        assert kernel(24, 24, 3, size=7) == "masked lanes"  # 392 products overflow 8 bits
        assert kernel(72, 72, 72, size=9) == "group lanes"  # 81 overflow 6 bit planes, not a byte


@needs_native
@pytest.mark.parametrize(("inputs", "groups"), [(64, 2), (48, 2), (40, 1), (64, 8), (30, 5)])
def test_packed_weights_give_the_same_convolution(inputs, groups):
    shape = ConvShape(6, 5, inputs, 80, 3, 1, 1, groups)
    x, negative = operands(shape, 1, inputs)
    packed = kernels.binarize(x, padding=1)
    conv = kernels.BinaryConv.from_packed(weights_to_bytes(negative), shape, -1)
    assert (conv.negative == negative).all()
    assert (conv.counts(packed) == torch_counts(x, negative, shape, -1)).all()
    with pytest.raises(UserError, match="weights: expected .* uint8"):
        kernels.BinaryConv.from_packed(weights_to_bytes(negative)[1:], shape)


def test_bits_are_counted_without_numpy_2(monkeypatch):
    words = np.random.default_rng(0).integers(0, 2**32, (4, 9, 3), np.uint32)
    shape = ConvShape(5, 5, 96, 4, 3)
    expected = 96 - 2 * np.vectorize(lambda word: int(word).bit_count())(words).sum(axis=2)
    assert (tap_sums(words, shape) == expected).all()
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert (tap_sums(words, shape) == expected).all()


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 70), st.integers(0, 3), st.booleans())
@settings(max_examples=60, derandomize=True, **SHARED)
def test_signs_are_packed_with_their_thresholds(batch, size, channels, padding, with_thresholds):
    rng = np.random.default_rng(channels)
    x = rng.integers(-2, 3, (batch, size, size + 1, channels)).astype(np.float32)
    thresholds = rng.integers(-1, 2, channels).astype(np.float32) if with_thresholds else None
    limit = 0 if thresholds is None else thresholds
    for isa in ISAS or [None]:
        if isa:
            kernels.select_isa(isa)
        # Not zeroed: what is not written must be found out.
        dirty = SignMap.empty(x.shape, padding)
        dirty.buffer[:] = 0xFFFFFFFF
        packed = kernels.binarize(x, thresholds, padding, dirty)
        assert (signs_of(packed) == np.where(x >= limit, 1, -1)).all()
        assert packed.words.sum(dtype=object) == binarize_map(x, limit, padding).words.sum(
            dtype=object
        )


def test_a_nan_packs_as_a_negative_sign():
    x = np.full((1, 1, 1, 40), np.nan, np.float32)
    for isa in ISAS:
        kernels.select_isa(isa)
        assert (signs_of(kernels.binarize(x)) == -1).all()
    assert (signs_of(binarize_map(x)) == -1).all()


def random_epilogue(shape: ConvShape, batch: int, rng: np.random.Generator) -> Epilogue:
    """Any residual and activation that the shape allows."""

    def vector(low: float = -1, high: float = 1) -> np.ndarray:
        return rng.uniform(low, high, shape.out_channels).astype(np.float32)

    choices = ["none", "same", "any"] + ["half"] * (shape.out_channels % 2 == 0)
    residual_kind, activation = rng.choice(choices), rng.choice(["none", "prelu", "rprelu"])
    channels = shape.out_channels // (2 if residual_kind == "half" else 1)
    if residual_kind == "any":
        channels = int(rng.integers(1, 2 * shape.out_channels + 1))
    size = (batch, shape.out_height, shape.out_width, channels)
    return Epilogue(
        scale=vector(0.01, 0.1),
        bias=vector(),
        residual=None if residual_kind == "none" else rng.standard_normal(size, np.float32),
        slope=vector(0, 1) if activation == "prelu" else None,
        rprelu=(vector(), vector(0, 1), vector()) if activation == "rprelu" else None,
        thresholds=vector() if rng.random() < 0.7 else None,
    )


def torch_outputs(counts: np.ndarray, epilogue: Epilogue) -> np.ndarray:
    y = torch.from_numpy(counts) * torch.from_numpy(epilogue.scale)
    y = y + torch.from_numpy(epilogue.bias)
    if epilogue.residual is not None:
        residual = torch.from_numpy(epilogue.residual)
        turns = -(-y.shape[-1] // residual.shape[-1])
        y = y + torch.cat([residual] * turns, -1)[..., : y.shape[-1]]
    y = y.permute(0, 3, 1, 2)
    if epilogue.slope is not None:
        y = F.prelu(y, torch.from_numpy(epilogue.slope))
    if epilogue.rprelu is not None:
        gamma, beta, zeta = (torch.from_numpy(v) for v in epilogue.rprelu)
        y = F.prelu(y - gamma.view(1, -1, 1, 1), beta) + zeta.view(1, -1, 1, 1)
    return y.permute(0, 2, 3, 1).numpy()


def check_fused(case: tuple[ConvShape, int, int, int]) -> None:
    shape, pad_value, batch, seed = case
    x, negative = operands(shape, batch, seed)
    rng = np.random.default_rng(seed)
    epilogue = random_epilogue(shape, batch, rng)
    packed = binarize_map(x, None, shape.padding)
    counts = torch_counts(x, negative, shape, pad_value)
    expected = torch_outputs(counts, epilogue)
    border = int(rng.integers(0, 3))
    # Rounding errors are relative to the terms of a sum, which may cancel.
    terms = np.abs(counts * epilogue.scale).max() + 3
    first = reference.apply_epilogue(counts.astype(np.int32), epilogue)
    assert first.dtype == np.float32
    assert np.abs(first - expected).max() <= 1e-6 * terms
    for isa in ISAS:
        kernels.select_isa(isa)
        conv = kernels.BinaryConv(negative, shape, pad_value)
        out = np.full(expected.shape, np.nan, np.float32)
        bits, bits_alone = (SignMap.empty(out.shape, border) for _ in range(2))
        bits.buffer[:] = bits_alone.buffer[:] = 0xFFFFFFFF
        conv(packed, epilogue, out, bits)
        assert (out == first).all(), (isa, conv.kernel)  # the fallback's very bits
        conv(packed, epilogue, None, bits_alone)
        signs = binarize_map(out, epilogue.thresholds, border).words
        assert (bits.words == signs).all(), (isa, conv.kernel)
        assert (bits_alone.words == signs).all(), (isa, conv.kernel)
        only_floats = np.empty_like(out)
        conv(packed, epilogue, only_floats)
        assert (only_floats == out).all()


@given(cases())
@settings(max_examples=120, derandomize=True, **SHARED)
@example((ConvShape(7, 7, 64, 64, 3, 1, 1, 8), 0, 2, 1))
@example((ConvShape(7, 7, 64, 64, 3, 1, 1, 32), 0, 2, 1))
@example((ConvShape(7, 7, 64, 64, 3, 1, 1, 64), 0, 2, 1))
@example((ConvShape(7, 7, 64, 128, 3, 2, 1, 4), 0, 2, 2))
@example((ConvShape(6, 5, 48, 72, 3, 1, 1, 3), 0, 2, 3))
def test_fused_outputs_equal_torch_and_bits_their_signs(case):
    check_fused(case)


@pytest.mark.long
@given(cases())
@settings(max_examples=2000, derandomize=True, **SHARED)
def test_fused_outputs_equal_torch_in_many_cases(case):
    check_fused(case)


def test_a_plain_epilogue_is_one_fused_multiply_add():
    shape = ConvShape(9, 9, 96, 80, 3, 1, 1)
    x, negative = operands(shape, 2, 0)
    rng = np.random.default_rng(1)
    scale, bias = (rng.standard_normal(80, np.float32) for _ in range(2))
    counts = torch_counts(x, negative, shape, 0)
    expected = (counts.astype(np.float64) * scale + bias).astype(np.float32)
    for isa in ISAS:
        kernels.select_isa(isa)
        out = np.empty(counts.shape, np.float32)
        conv = kernels.BinaryConv(negative, shape)
        conv(kernels.binarize(x, padding=1), Epilogue(scale, bias), out)
        assert (out == expected).all(), isa


@needs_native
@pytest.mark.parametrize("groups", [1, 4, 8, 16, 40, 128])
def test_two_threads_give_the_same_bits_as_one(groups):
    channels = 120 if groups == 40 else 128
    shape = ConvShape(41, 41, channels, channels, 3, 1, 1, groups)
    x, negative = operands(shape, 3, groups)
    epilogue = random_epilogue(shape, 3, np.random.default_rng(groups))
    for isa in ISAS:
        kernels.select_isa(isa)
        conv, results = kernels.BinaryConv(negative, shape), []
        for threads in (1, 2, 3):
            kernels.set_threads(threads)
            out = np.full((3, 41, 41, channels), np.nan, np.float32)
            bits = SignMap.empty(out.shape, 1)
            conv(kernels.binarize(x, padding=1), epilogue, out, bits)
            results.append(out.tobytes() + bits.words.tobytes())
        assert results[0] == results[1] == results[2]


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@needs_native
@pytest.mark.parametrize("isa", ISAS)
def test_the_environment_forces_an_instruction_set(isa):
    code = "from deploy import kernels; print(kernels.backend_info())"
    done = run_python(code, EVOBIT_ISA=isa)
    assert f"'backend': 'native', 'isa': '{isa}'" in done.stdout


def test_an_unknown_instruction_set_is_refused_by_name():
    done = run_python("from deploy import kernels; kernels.backend_info()", EVOBIT_ISA="sse9")
    assert done.returncode == 1
    assert "UserError: EVOBIT_ISA=sse9: " in done.stderr


@needs_native
def test_an_instruction_set_that_the_machine_lacks_is_refused(monkeypatch):
    class Old:
        def evobit_available(self) -> int:
            return 0b001

        def evobit_select(self, isa: int) -> int:
            return -1

    monkeypatch.setattr(library, "load", Old)
    with pytest.raises(UserError, match="avx512: this machine does not have it; it has portable"):
        kernels.select_isa("avx512")


def test_without_the_library_torch_gives_the_same(monkeypatch):
    shape = ConvShape(6, 7, 32, 64, 3, 2, 1, 4)
    x, negative = operands(shape, 2, 5)
    epilogue = random_epilogue(shape, 2, np.random.default_rng(5))

    def results() -> tuple[bytes, ...]:
        conv = kernels.BinaryConv(negative, shape, 1)
        packed = kernels.binarize(x, None, 1)
        out = np.empty((2, 3, 4, 64), np.float32)
        bits = SignMap.empty(out.shape, 1)
        conv(packed, epilogue, out, bits)
        return conv.counts(packed).tobytes(), out.tobytes(), bits.words.tobytes()

    compiled = results()
    monkeypatch.setattr(library, "load", lambda: None)
    assert kernels.backend_info()["backend"] == "torch-reference"
    assert results() == compiled
    with pytest.raises(UserError, match="not installed"):
        kernels.select_isa("avx2")


@needs_native
def test_a_convolution_made_for_another_instruction_set_refuses_to_run():
    if not library.load().evobit_has_groups():
        pytest.skip("needs the kernel of group lanes")
    shape = ConvShape(6, 6, 64, 64, 3, 1, 1, 4)
    x, negative = operands(shape, 1, 0)
    conv, packed = kernels.BinaryConv(negative, shape), kernels.binarize(x, padding=1)
    kernels.select_isa("portable")
    with pytest.raises(UserError, match="another instruction set than portable"):
        conv.counts(packed)


def test_wrong_operands_are_named():
    shape = ConvShape(6, 6, 32, 32, 3, 1, 1)
    x, negative = operands(shape, 1, 0)
    conv, packed = kernels.BinaryConv(negative, shape), kernels.binarize(x, padding=1)
    ones, out = np.ones(32, np.float32), np.empty((1, 6, 6, 32), np.float32)
    with pytest.raises(UserError, match="packed: expected .* border of 1, found .* border of 0"):
        conv.counts(kernels.binarize(x))
    with pytest.raises(UserError, match=r"scale: expected .* shape \(32,\), found .* \(31,\)"):
        conv(packed, Epilogue(ones[:31], ones), out)
    with pytest.raises(UserError, match="bias: expected .* float32 .* found float64"):
        conv(packed, Epilogue(ones, ones.astype(float)), out)
    with pytest.raises(UserError, match="residual: expected"):
        conv(packed, Epilogue(ones, ones, out[:, :3]), out)
    with pytest.raises(UserError, match="out: expected .* not contiguous"):
        conv(packed, Epilogue(ones, ones), out.transpose(0, 2, 1, 3))
    with pytest.raises(UserError, match="needs `out`, `bits` or both"):
        conv(packed, Epilogue(ones, ones))
    with pytest.raises(UserError, match="either a slope"):
        conv(packed, Epilogue(ones, ones, slope=ones, rprelu=(ones, ones, ones)), out)
    with pytest.raises(UserError, match="x: expected"):
        kernels.binarize(x.astype(np.float64))
    with pytest.raises(UserError, match="pad_value"):
        kernels.BinaryConv(negative, shape, 2)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="threads: expected 1 to 256, found 0"):
        kernels.set_threads(0)
    with pytest.raises(UserError, match="do not divide"):
        ConvShape(6, 6, 32, 32, 3, groups=3)
    with pytest.raises(UserError, match="smaller than the kernel"):
        ConvShape(4, 6, 32, 32, 5)


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 100])
def test_packed_bits_unpack_to_themselves(channels):
    bits = np.random.default_rng(channels).random((3, channels)) < 0.5
    packed = binarize_map(np.where(bits, -1, 1).astype(np.float32).reshape(1, 1, 3, channels))
    assert (bits_of(packed.words[0, 0], channels) == bits).all()


def test_importing_the_kernels_loads_no_torch():
    done = run_python("import sys, deploy.kernels; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False"
