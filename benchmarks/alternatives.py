"""A 1-bit layer against what one could install instead: torch, onnxruntime, OpenVINO.

Needs the extra `bench`. All sides run in one process, in turns; ratios are formed within a round.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.engine import (
    CHAIN,
    LAYERS,
    Call,
    binary_chain,
    layer_name,
    layer_shape,
    microseconds,
    per_unit,
    torch_chain,
)
from benchmarks.measuring import ratio, spin_briefly, write_result
from benchmarks.other_engines.onnx_chains import fp32_model, int8_model, onnxruntime_chain
from benchmarks.other_engines.openvino_chains import openvino_binary_chain, openvino_fp32_chain
from benchmarks.other_engines.torch_int8 import torch_int8_chain
from deploy import kernels
from deploy.kernels.shapes import ConvShape

GROUPED = ((3, 256, 14, 4), (3, 256, 14, 8), (3, 256, 14, 16))
OURS = "evobit"
ENGINES = {
    "torch_fp32": "torch fp32",
    "torch_bf16": "torch bf16",
    "torch_int8": "torch int8",
    "onnxruntime_fp32": "onnxruntime fp32",
    "onnxruntime_int8": "onnxruntime int8",
    "openvino_fp32": "OpenVINO fp32",
    "openvino_binary": "OpenVINO binary",
}
NOTES = (
    "A ratio is the time of the other engine over ours: above 1, ours is faster.",
    f"A side is a chain of {CHAIN} layers with own weights; a time is that of one of them.",
    "Ours: fp32 map (NHWC) in, signs packed, exact zero padding, scale and bias, fp32 map out, at "
    "every layer.",
    "torch fp32: the faster of NCHW and channels_last in each round, with bias. torch bf16: "
    "channels_last, bf16 maps between its layers.",
    "torch int8: torch.ops.quantized.conv2d, engine x86, channels_last; onnxruntime int8: "
    "QLinearConv, u8 maps, s8 weights with a scale a channel. Both pass bytes between their layers "
    "and neither quantises its input nor gives back fp32.",
    "onnxruntime fp32 and OpenVINO fp32 keep their own layouts between layers and change to and "
    "from NCHW at the ends of the chain.",
    "OpenVINO binary: FakeQuantize to 0/1, BinaryConvolution padded with zeros, scale and bias; it "
    "passes bits between its layers, and changes to and from NCHW fp32 at the ends of the chain. "
    "Its result is compared with torch on +1 and -1 before it is timed. It has no groups.",
    "On more than one thread, OpenMP (torch) and onnxruntime spin only briefly when idle, so that "
    "none takes the cores from the next side.",
    "onnxruntime and OpenVINO may reuse two buffers for the maps of a chain; ours has one a layer.",
)


def makers(shape: ConvShape, threads: int) -> dict[str, Callable[[], Call]]:
    """How each side is made."""
    nchw, nhwc = torch.contiguous_format, torch.channels_last
    onnx = partial(onnxruntime_chain, shape=shape, length=CHAIN, threads=threads)
    return {
        OURS: partial(binary_chain, shape),
        "torch_nchw": partial(torch_chain, shape, nchw),
        "torch_nhwc": partial(torch_chain, shape, nhwc),
        "torch_bf16": partial(torch_chain, shape, nhwc, torch.bfloat16),
        "torch_int8": partial(torch_int8_chain, shape, CHAIN),
        "onnxruntime_fp32": partial(onnx, fp32_model),
        "onnxruntime_int8": partial(onnx, int8_model),
        "openvino_fp32": partial(openvino_fp32_chain, shape, CHAIN, threads),
        "openvino_binary": partial(openvino_binary_chain, shape, CHAIN, threads),
    }


def measure(shape: ConvShape, threads: int, rounds: int) -> dict[str, object]:
    """Ratios of one layer; an engine that cannot run it, or runs it wrong, with the reason."""
    sides: dict[str, tuple[Call, float]] = {}
    left_out = {}
    for name, make in makers(shape, threads).items():
        try:
            sides[name] = make(), CHAIN
        except (AttributeError, RuntimeError) as error:
            left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    spent = per_unit(sides, rounds)
    layouts = zip(spent.pop("torch_nchw"), spent.pop("torch_nhwc"), strict=True)
    spent["torch_fp32"] = [min(pair) for pair in layouts]
    ours = spent[OURS]
    ratios = {name: ratio(spent[name], ours) for name in ENGINES if name in spent}
    return {"evobit_us": microseconds(ours), "ratios": ratios, "left_out": left_out}


def targets(layers: dict[str, dict]) -> list[dict[str, object]]:
    """What was aimed at, and what came out; dense layers only."""
    spatial = [layer_name(layer_shape(*layer)) for layer in LAYERS if layer[0] == 3]
    dense = [layer_name(layer_shape(*layer)) for layer in LAYERS]
    aims = [
        *(("onnxruntime_int8", name, 2.0) for name in spatial),
        *(("torch_int8", name, least) for name, least in (("3x3 256@14", 1.2), ("3x3 512@7", 2.0))),
        *(("openvino_binary", name, round(1 / 1.1, 2)) for name in dense),  # 10 % slower at most
    ]
    results = []
    for engine, name, least in aims:
        found = layers[name]["ratios"].get(engine, {}).get("median")
        reached = None if found is None else found >= least
        results.append(
            {"engine": engine, "layer": name, "least": least, "median": found, "reached": reached}
        )
    return results


def markdown(result: dict, date: str) -> str:
    """One row a layer, one column an engine."""
    threads = result["threads"]
    lines = [
        f"# A 1-bit layer against other engines ({date})",
        "",
        f"{result['rounds']} rounds, {threads} thread{'s' if threads > 1 else ''}, "
        f"{result['backend']['isa']} kernels; "
        + ", ".join(f"{name} {version}" for name, version in result["versions"].items())
        + ". Time of the engine over ours, median (quartiles).",
        "",
        "| layer | ours, us | " + " | ".join(ENGINES.values()) + " |",
        "|" + "---|" * (len(ENGINES) + 2),
    ]
    for name, layer in result["layers"].items():
        cells = [_cell(layer["ratios"].get(engine)) for engine in ENGINES]
        lines.append(f"| {name} | {layer['evobit_us']} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- {note}" for note in result["notes"])]
    missed = [
        f"{aim['engine']} at {aim['layer']} ({aim['median']}, aim {aim['least']})"
        for aim in result["targets"]
        if not aim["reached"]
    ]
    lines += ["", "Aims not reached: " + (", ".join(missed) if missed else "none") + "."]
    return "\n".join(lines) + "\n"


def _cell(value: dict[str, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value['median']} ({value['quartile_low']}-{value['quartile_high']})"


def versions() -> dict[str, str]:
    """Of what is compared."""
    names = ("torch", "onnxruntime", "openvino", "onnx")
    return {name: importlib.metadata.version(name) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.threads > 1:
        spin_briefly()
    backend = kernels.backend_info()
    if backend["backend"] != "native":
        sys.exit("the compiled kernels are not installed: there is nothing to measure")
    torch.set_num_threads(arguments.threads)
    kernels.set_threads(arguments.threads)
    layers = {}
    for layer in (*LAYERS, *GROUPED):
        shape = layer_shape(*layer)
        layers[layer_name(shape)] = measure(shape, arguments.threads, arguments.rounds)
    result = {
        "backend": backend,
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "versions": versions(),
        "notes": NOTES,
        "layers": layers,
        "targets": targets(layers),
    }
    theme = "alternatives" if arguments.threads == 1 else f"alternatives_{arguments.threads}threads"
    path = write_result(theme, result)
    path.with_suffix(".md").write_text(markdown(result, path.stem.rpartition("_")[2]))


if __name__ == "__main__":
    main()
