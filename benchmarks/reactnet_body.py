"""The binary body of ReActNet-A at 224 pixels: 31 convolutions, against torch fp32 and bf16.

Thirteen blocks of a 3x3 convolution and a 1x1 convolution; scale and bias, nothing else. In the
five blocks that double the channels, the paper has two 1x1 convolutions of the same input, joined:
every side here runs them as one convolution with twice the outputs, which is the same.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.engine import Call, per_unit, sequence
from benchmarks.measuring import ratio, spin_briefly, write_result
from deploy import kernels
from deploy.kernels.shapes import ConvShape, Epilogue, SignMap, aligned, aligned_empty

SIZE = 112  # pixels a side, after the stem
# input channels, output channels, stride
BLOCKS = (
    *((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)),
    *((512, 512, 1),) * 5,
    *((512, 1024, 2), (1024, 1024, 1)),
)
NOTES = (
    "A ratio is the time of torch over ours: above 1, ours is faster. Batch 1.",
    "Ours: the stem's fp32 map in; each convolution writes its fp32 map, which a shortcut would "
    "read, and its signs for the next convolution (fused). Packing apart: each convolution writes "
    "fp32 only, and its map is packed by a call of its own.",
    "torch fp32: the faster of NCHW and channels_last in each round, convolutions with bias and "
    "nothing else. torch bf16: channels_last.",
    "OpenMP threads (torch) spin only briefly when idle, so that none takes the cores from the "
    "next side.",
)
TARGETS = {"torch_fp32": 8.0, "torch_bf16": 2.0}


def shapes() -> list[ConvShape]:
    """Every convolution, in order; the two 1x1 of a doubling block as one."""
    size, result = SIZE, []
    for inputs, outputs, stride in BLOCKS:
        result.append(ConvShape(size, size, inputs, inputs, 3, stride, 1))
        size //= stride
        result.append(ConvShape(size, size, inputs, outputs, 1))
    return result


def binary_body(fused: bool) -> Call:
    """Calls made ready once: signs of the stem's map, then the convolutions."""
    rng = np.random.default_rng(0)
    layers = shapes()
    source = aligned(rng.standard_normal(_map_size(layers[0]), np.float32))
    packed = SignMap.empty(source.shape, layers[0].padding)
    calls: list[Call] = [kernels.prepare_binarize(source, packed)]
    for shape, following in zip(layers, [*layers[1:], None], strict=True):
        k = shape.kernel_size
        negative = rng.random((shape.out_channels, shape.group_channels, k, k)) < 0.5
        vectors = rng.uniform(0.01, 1, (2, shape.out_channels)).astype(np.float32)
        epilogue = Epilogue(*(aligned(vector) for vector in vectors))
        size = (1, shape.out_height, shape.out_width, shape.out_channels)
        target = aligned_empty(size, np.float32)
        bits = None if following is None else SignMap.empty(size, following.padding)
        written = bits if fused else None
        calls.append(kernels.BinaryConv(negative, shape).prepare(packed, epilogue, target, written))
        if bits is not None:
            calls += [] if fused else [kernels.prepare_binarize(target, bits)]
            packed = bits
    return sequence(calls)


def torch_body(layout: torch.memory_format, dtype: torch.dtype) -> Call:
    """The same convolutions, real-valued, one after another."""
    layers = [
        torch.nn.Conv2d(s.in_channels, s.out_channels, s.kernel_size, s.stride, s.padding)
        for s in shapes()
    ]
    model = torch.nn.Sequential(*layers).eval().to(dtype=dtype, memory_format=layout)
    x = torch.randn(1, BLOCKS[0][0], SIZE, SIZE).to(dtype=dtype, memory_format=layout)

    @torch.inference_mode()
    def run() -> None:
        model(x)

    return run


def _map_size(shape: ConvShape) -> tuple[int, ...]:
    return (1, shape.height, shape.width, shape.in_channels)


def measure(threads: int, rounds: int) -> dict[str, object]:
    """Ratios, and milliseconds of each side."""
    kernels.set_threads(threads)
    torch.set_num_threads(threads)
    nchw, nhwc = torch.contiguous_format, torch.channels_last
    sides = {
        "evobit": binary_body(fused=True),
        "evobit_packing_apart": binary_body(fused=False),
        "nchw": torch_body(nchw, torch.float32),
        "nhwc": torch_body(nhwc, torch.float32),
        "torch_bf16": torch_body(nhwc, torch.bfloat16),
    }
    spent = per_unit({name: (call, 1) for name, call in sides.items()}, rounds)
    layouts = zip(spent.pop("nchw"), spent.pop("nhwc"), strict=True)
    spent["torch_fp32"] = [min(pair) for pair in layouts]
    ours = spent["evobit"]
    ratios = {name: ratio(spent[name], ours) for name in spent if name != "evobit"}
    return {
        "ratios": ratios,
        "milliseconds": {name: round(1e3 * float(np.median(spent[name])), 2) for name in spent},
        "targets": {
            name: {"least": least, "reached": ratios[name]["median"] >= least}
            for name, least in TARGETS.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    spin_briefly()
    backend = kernels.backend_info()
    if backend["backend"] != "native":
        sys.exit("the compiled kernels are not installed: there is nothing to measure")
    result = {
        "backend": backend,
        "rounds": arguments.rounds,
        "macs": sum(shape.num_macs for shape in shapes()),
        "notes": NOTES,
    }
    parts = {f"threads_{n}": measure(n, arguments.rounds) for n in arguments.threads}
    write_result("reactnet_body", {**result, **parts})


if __name__ == "__main__":
    main()
