"""The 1-bit kernels: share of a peak loop, layers, groups, epilogues, loading, threads, AVX2."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import in_turns, ratio, write_result
from deploy import kernels
from deploy.kernels.bits import num_weight_bytes
from deploy.kernels.shapes import ConvShape, Epilogue, SignMap, aligned

Call = Callable[[], object]

# kernel size, channels, pixels a side
LAYERS = (
    *((3, 64, 56), (3, 128, 28), (3, 256, 14), (3, 512, 7), (3, 512, 14)),
    *((1, 128, 28), (1, 256, 14), (1, 512, 14), (1, 1024, 7)),
)
GROUPED = ((3, 64, 56), (3, 128, 28), (3, 256, 14), (3, 512, 14))
FUSED = ((3, 256, 14, 1), (3, 256, 14, 8), (1, 256, 14, 1))  # and groups
CHAIN = 4  # layers one after another, so that no weight and no map is unusually near
CALL_NS = 2e6  # a side's turn lasts about 2 ms: clocks and calls cost little against it


def layer_shape(kernel: int, channels: int, size: int, groups: int = 1) -> ConvShape:
    return ConvShape(size, size, channels, channels, kernel, 1, kernel // 2, groups)


def layer_name(shape: ConvShape) -> str:
    name = f"{shape.kernel_size}x{shape.kernel_size} {shape.in_channels}@{shape.height}"
    return name if shape.groups == 1 else f"{name} g={shape.groups}"


def repeated(call: Call, times: int) -> Call:
    def many() -> None:
        for _ in range(times):
            call()

    return many


def sequence(calls: list[Call]) -> Call:
    def all_in_order() -> None:
        for call in calls:
            call()

    return all_in_order


def binary_chain(shape: ConvShape, length: int = CHAIN, pack: bool = True) -> Call:
    """Layers from and to fp32 maps; without `pack` from packed maps that stay as they are."""
    rng = np.random.default_rng(0)
    maps = [
        aligned(rng.standard_normal((1, shape.height, shape.width, shape.in_channels), np.float32))
        for _ in range(length + 1)
    ]
    vectors = rng.uniform(0.01, 1, (2, shape.out_channels)).astype(np.float32)
    epilogue = Epilogue(*(aligned(vector) for vector in vectors))
    calls: list[Call] = []
    for source, target in zip(maps, maps[1:], strict=False):
        size = (shape.out_channels, shape.group_channels, shape.kernel_size, shape.kernel_size)
        conv = kernels.BinaryConv(rng.random(size) < 0.5, shape)
        packed = SignMap.empty(source.shape, shape.padding)
        pack_call = kernels.prepare_binarize(source, packed)
        pack_call()
        calls += [pack_call] if pack else []
        calls.append(conv.prepare(packed, epilogue, target))
    return sequence(calls)


def kernel_alone(shape: ConvShape) -> Call:
    """One convolution, again and again: weights and maps in the second-level cache."""
    return binary_chain(shape, length=1, pack=False)


def torch_chain(
    shape: ConvShape, layout: torch.memory_format, dtype: torch.dtype = torch.float32
) -> Call:
    layers = [
        torch.nn.Conv2d(
            shape.in_channels,
            shape.out_channels,
            shape.kernel_size,
            padding=shape.padding,
            groups=shape.groups,
        ).to(dtype=dtype, memory_format=layout)
        for _ in range(CHAIN)
    ]
    x = torch.randn(1, shape.in_channels, shape.height, shape.width)
    x = x.to(dtype=dtype, memory_format=layout)
    model = torch.nn.Sequential(*layers).eval()

    @torch.inference_mode()
    def run() -> None:
        model(x)

    return run


def times_for(call: Call) -> int:
    """Calls that last about CALL_NS, measured after a warm-up."""
    seconds = min(in_turns({"call": repeated(call, 3)}, 5)["call"]) / 3
    return max(1, round(CALL_NS * 1e-9 / seconds))


def per_unit(sides: dict[str, tuple[Call, float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side, over its amount of work, in each round."""
    times = {name: times_for(call) for name, (call, _) in sides.items()}
    calls = {name: repeated(call, times[name]) for name, (call, _) in sides.items()}
    seconds = in_turns(calls, rounds)
    return {
        name: [value / (times[name] * work) for value in seconds[name]]
        for name, (_, work) in sides.items()
    }


def microseconds(seconds: list[float]) -> float:
    return round(float(np.median(seconds)) * 1e6, 1)


def share_of_peak(rounds: int) -> dict[str, object]:
    """T1: binary multiply-adds a second of the kernel alone, over those of the peak loop."""
    iterations = 20_000
    result: dict[str, object] = {}
    for layer in LAYERS:
        shape = layer_shape(*layer)
        peak = partial(kernels.peak_macs, iterations)
        sides = {
            "peak": (peak, float(peak())),
            "kernel": (kernel_alone(shape), float(shape.num_macs)),
        }
        spent = per_unit(sides, rounds)
        result[layer_name(shape)] = {
            "share_of_peak": ratio(spent["peak"], spent["kernel"]),
            "gmacs_per_s": round(1e-9 / float(np.median(spent["kernel"]))),
        }
    return result


def against_torch(rounds: int) -> dict[str, object]:
    """T2: a layer from fp32 to fp32, against torch fp32 in the better layout of each round."""
    result: dict[str, object] = {}
    for layer in LAYERS:
        shape = layer_shape(*layer)
        sides = {
            "binary": (binary_chain(shape), CHAIN),
            "nchw": (torch_chain(shape, torch.contiguous_format), CHAIN),
            "nhwc": (torch_chain(shape, torch.channels_last), CHAIN),
        }
        spent = per_unit(sides, rounds)
        best = [min(pair) for pair in zip(spent["nchw"], spent["nhwc"], strict=True)]
        result[layer_name(shape)] = {
            "torch_fp32_ratio": ratio(best, spent["binary"]),
            "binary_us": microseconds(spent["binary"]),
        }
    return result


def grouped(rounds: int) -> dict[str, object]:
    """T7: throughput of the kernel alone over dense; time of the layer over dense."""
    result: dict[str, object] = {}
    for layer in GROUPED:
        dense = layer_shape(*layer)
        shapes = {
            channels: layer_shape(*layer, groups=layer[1] // channels)
            for channels in (layer[1], 256, 128, 64, 32, 16, 8, 4, 2, 1)
            if channels <= layer[1]
        }
        alone = per_unit(
            {
                str(channels): (kernel_alone(shape), float(shape.num_macs))
                for channels, shape in shapes.items()
            },
            rounds,
        )
        whole = per_unit(
            {str(key): (binary_chain(shape), CHAIN) for key, shape in shapes.items()},
            rounds,
        )
        first = str(dense.in_channels)
        result[layer_name(dense)] = {
            f"{key} channels a group": {
                "throughput_over_dense": ratio(alone[first], alone[key]),
                "layer_speedup_over_dense": ratio(whole[first], whole[key]),
                "layer_us": microseconds(whole[key]),
            }
            for key in alone
        }
    return result


def fused(rounds: int) -> dict[str, object]:
    """Epilogues of real networks over scale and bias alone, kernel alone."""
    result: dict[str, object] = {}
    for *layer, groups in FUSED:
        shape = layer_shape(*layer, groups=groups)
        rng, size = np.random.default_rng(0), (1, shape.height, shape.width, shape.out_channels)
        vectors = [aligned(v) for v in rng.uniform(0.01, 1, (5, size[3])).astype(np.float32)]
        scale, bias, slope, gamma, zeta = vectors
        residual, out = (aligned(rng.standard_normal(size, np.float32)) for _ in range(2))
        packed = kernels.binarize(residual, None, shape.padding)
        bits = SignMap.empty(size, 1)
        weights = rng.integers(0, 256, num_weight_bytes(shape), np.uint8)
        conv = kernels.BinaryConv.from_packed(weights, shape)
        prelu = Epilogue(scale, bias, residual, slope)
        rprelu = Epilogue(scale, bias, residual, None, (gamma, slope, zeta))
        calls = {
            "plain": conv.prepare(packed, Epilogue(scale, bias), out),
            "bits alone": conv.prepare(packed, Epilogue(scale, bias), None, bits),
            "residual": conv.prepare(packed, Epilogue(scale, bias, residual), out),
            "residual, PReLU, bits": conv.prepare(packed, prelu, out, bits),
            "residual, RPReLU, bits": conv.prepare(packed, rprelu, out, bits),
        }
        spent = per_unit({name: (call, 1.0) for name, call in calls.items()}, rounds)
        result[layer_name(shape)] = {
            name: {"over_plain": ratio(spent[name], spent["plain"]), "us": microseconds(seconds)}
            for name, seconds in spent.items()
        }
    return result


def loading(rounds: int) -> dict[str, object]:
    """Milliseconds from packed weights to kernels ready to run: a MobileNet-like network, dense."""
    sizes = [(32, 64, 112), (64, 128, 56), (128, 128, 56), (128, 256, 28), (256, 256, 28)]
    sizes += [(256, 512, 14)] + [(512, 512, 14)] * 5 + [(512, 1024, 7), (1024, 1024, 7)]
    shapes = [
        shape
        for inputs, outputs, size in sizes
        for shape in (
            layer_shape(3, inputs, size),
            ConvShape(size, size, inputs, outputs, 1),
        )
    ]
    rng = np.random.default_rng(0)
    calls: list[Call] = []
    for shape in shapes:
        weights = rng.integers(0, 256, num_weight_bytes(shape), np.uint8)
        calls.append(partial(kernels.BinaryConv.from_packed, weights, shape))
    seconds = per_unit({"load": (sequence(calls), 1.0)}, rounds)["load"]
    num_bytes = sum(num_weight_bytes(shape) for shape in shapes)
    return {"convolutions": len(shapes), "bytes": num_bytes, "ms": microseconds(seconds) / 1e3}


def two_threads(rounds: int) -> dict[str, object]:
    """T9: a layer on two threads over the same on one; first what the machine itself gives.

    The peak loop touches no memory and shares nothing: two of them at once take as long as one
    where two cores are free, and more where others use them.
    """
    peak = partial(kernels.peak_macs, 400_000)
    with ThreadPoolExecutor(2) as pool:

        def both() -> None:
            list(pool.map(lambda _: peak(), range(2)))

        spent = per_unit({"one": (peak, 1), "two": (both, 2)}, rounds)
    result: dict[str, object] = {"peak loop": {"speedup": ratio(spent["one"], spent["two"])}}
    for layer in LAYERS:
        shape = layer_shape(*layer)
        chain = binary_chain(shape)

        def on(threads: int, chain: Call = chain) -> Call:
            return sequence([partial(kernels.set_threads, threads), chain, chain, chain, chain])

        spent = per_unit({"one": (on(1), 4 * CHAIN), "two": (on(2), 4 * CHAIN)}, rounds)
        result[layer_name(shape)] = {
            "speedup": ratio(spent["one"], spent["two"]),
            "two_threads_us": microseconds(spent["two"]),
            "macs": shape.num_macs,
        }
    kernels.set_threads(1)
    return result


def limited_to_avx2(rounds: int) -> dict[str, object]:
    """T8: `against_torch` in a process where both sides use AVX2 at most."""
    limits = {"EVOBIT_ISA": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    command = [sys.executable, __file__, "--parts", "layers", "--print", "--rounds", str(rounds)]
    done = subprocess.run(
        command, env={**os.environ, **limits}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


PARTS = {
    "peak": share_of_peak,
    "layers": against_torch,
    "groups": grouped,
    "fused": fused,
    "loading": loading,
    "threads": two_threads,
    "avx2": limited_to_avx2,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--print", action="store_true", help="print the result, write no file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    backend = kernels.backend_info()
    if backend["backend"] != "native":
        sys.exit("the compiled kernels are not installed: there is nothing to measure")
    result = {"backend": backend, "rounds": arguments.rounds}
    parts = {part: PARTS[part](arguments.rounds) for part in arguments.parts}
    if arguments.print:
        print(json.dumps({**result, **parts}))
    else:
        write_result("engine", {**result, **parts})


if __name__ == "__main__":
    main()
