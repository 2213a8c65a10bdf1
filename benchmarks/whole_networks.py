"""Whole packed networks, image in, class out: against torch fp32 and onnxruntime int8."""

from __future__ import annotations

import argparse
import copy
import operator
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import in_turns, ratio, write_result
from benchmarks.onnx_twin import IMAGES, sessions
from deploy import kernels, packed_file
from deploy.engine.packed_network import PackedNetwork
from deploy.lowering.network import pack
from deploy.plan.module import PlanModule
from supernet.network import Network, build
from supernet.networks import network_spec
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.spec import NetworkSpec

ZOO = Path(__file__).resolve().parent.parent / "deploy" / "zoo"
TURN_SECONDS = 0.05

Call = Callable[[], object]


def networks_at_224() -> dict[str, Network]:
    """The 13-block network of the group space: dense, 8 groups, and a random architecture."""
    space = space_from_description({"name": "mobilenet-groups"})
    architectures = {
        "g=1": space.uniform(1), "g=8": space.uniform(8), "random": _random(space),
    }  # fmt: skip
    return {
        f"13 blocks at 224, {name}": random_network(space.decode(architecture))
        for name, architecture in architectures.items()
    }


def published_networks() -> dict[str, Network]:
    """ReActNet-A and Bi-Real-18 as in their papers: 224 pixels, 1000 classes."""
    return {name: random_network(network_spec(name)) for name in ("reactnet-a", "bireal-18")}


def random_network(spec: NetworkSpec) -> Network:
    """With random weights, in evaluation mode."""
    torch.manual_seed(0)
    network = build(spec).train()
    with torch.no_grad():  # BatchNorm statistics, without which every sign is the same
        for _ in range(2):
            network(torch.randn(8, 3, 224, 224))
    return network.eval()


def _random(space: SearchSpace):
    rng = random.Random(0)
    return space.architecture({p.name: rng.choice(p.choices) for p in space.positions})


def torch_side(module: torch.nn.Module, size: int, channels: int, layout) -> Call:
    module = module.to(memory_format=layout)
    image = torch.randn(1, channels, size, size).to(memory_format=layout)

    @torch.inference_mode()
    def run() -> object:
        return module(image).argmax(1)

    return run


def onnx_side(session, image: np.ndarray) -> Call:
    """The real-valued twin of a network, from a normalised image to a class."""
    return lambda: session.run(None, {IMAGES: image})[0].argmax(1)


def measure(network: PackedNetwork, module: Network | None, rounds: int) -> dict[str, object]:
    """Times in turns; `module` is the torch network, where there is one besides the plan."""
    plan = network.plan
    pixels = np.random.default_rng(0).integers(
        0, 256, (1, plan.channels, plan.size, plan.size), np.uint8
    )
    sides: dict[str, Call] = {"packed": lambda: network(pixels).argmax(1)}
    layouts = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
    for name, layout in layouts.items():
        folded = PlanModule(plan, network.parameters).eval()
        sides[f"folded {name}"] = torch_side(folded, plan.size, plan.channels, layout)
    if module is not None:
        for name, layout in layouts.items():
            twin = copy.deepcopy(module)
            sides[f"module {name}"] = torch_side(twin, plan.size, plan.channels, layout)
    image = np.random.default_rng(0).standard_normal(pixels.shape).astype(np.float32)
    for activation in ("prelu", "relu"):
        for kind, session in sessions(plan, relu=activation == "relu").items():
            sides[f"onnxruntime {kind} {activation}"] = onnx_side(session, image)
    times = {name: calls_a_turn(call) for name, call in sides.items()}
    seconds = in_turns({name: repeated(call, times[name]) for name, call in sides.items()}, rounds)
    each = {name: [value / times[name] for value in values] for name, values in seconds.items()}
    result: dict[str, object] = {
        **file_figures(network, rounds),
        "packed_ms": 1e3 * statistics.median(each["packed"]),
        "spread_ms": [1e3 * q for q in statistics.quantiles(each["packed"], n=4)[::2]],
    }
    for kind in ("module", "folded"):
        if f"{kind} nchw" in each:
            better = list(map(min, zip(each[f"{kind} nchw"], each[f"{kind} nhwc"], strict=True)))
            result[f"torch_fp32_{kind}_ratio"] = ratio(better, each["packed"])
            result[f"torch_fp32_{kind}_ms"] = 1e3 * statistics.median(better)
    for name in each:
        if name.startswith("onnxruntime"):
            result[f"{name.replace(' ', '_')}_ratio"] = ratio(each[name], each["packed"])
    return result


def file_figures(network: PackedNetwork, rounds: int) -> dict[str, object]:
    """Bytes of the file over those of its parameters, and milliseconds to load it."""
    parameters = network.parameters
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.evobit"
        packed_file.save(path, network)
        seconds = in_turns({"load": lambda: packed_file.load(path)}, rounds)["load"]
        size = path.stat().st_size
    return {
        "file_bytes": size,
        "over_parameters": round(size / (parameters.bits.nbytes + parameters.reals.nbytes), 4),
        "load_ms": 1e3 * statistics.median(seconds),
    }


def import_seconds(rounds: int) -> float:
    """Median of a new Python that imports what runs a packed model, less one that does not."""
    sides = {
        name: partial(subprocess.run, [sys.executable, "-c", code], check=True)
        for name, code in (("bare", "pass"), ("deploy", "import deploy; deploy.load"))
    }
    seconds = in_turns(sides, rounds)
    return statistics.median(map(operator.sub, seconds["deploy"], seconds["bare"]))


def calls_a_turn(call: Call) -> int:
    call()
    seconds = min(in_turns({"call": call}, 3)["call"])
    return max(1, round(TURN_SECONDS / seconds))


def repeated(call: Call, times: int) -> Call:
    def many() -> None:
        for _ in range(times):
            call()

    return many


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--published", action="store_true", help="the papers' networks alone, to their own file"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, object] = {
        "backend": kernels.backend_info(),
        "rounds": arguments.rounds,
        "batch": 1,
    }
    networks = published_networks()
    if not arguments.published:
        result["import_deploy_s"] = import_seconds(arguments.rounds)
        for path in sorted(ZOO.glob("*.evobit")):
            result[path.name] = measure(packed_file.load(path), None, arguments.rounds)
        networks = {**networks_at_224(), **networks}
    for name, module in networks.items():
        names = tuple(map(str, range(1000)))
        packed = pack(module, (0.5,) * 3, (0.25,) * 3, names)
        result[name] = measure(packed, module, arguments.rounds)
        print(name, result[name], file=sys.stderr)
    write_result("published_networks" if arguments.published else "whole_networks", result)


if __name__ == "__main__":
    main()
