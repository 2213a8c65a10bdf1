"""Networks that run partly packed and partly in torch: the same logits, and the same threads.

Every kind of block has packed operations by now; here the bottleneck's are taken away.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from deploy import kernels
from deploy.kernels import library
from deploy.lowering import network as lowering
from deploy.lowering.network import is_packable, lower, lower_blocks, pack
from deploy.parts.mixed import MixedNetwork
from supernet.blocks.building import build_block
from supernet.files import UserError
from supernet.network import Network, build
from supernet.spec import (
    BinaryLayerSpec,
    BinaryUnitSpec,
    BlockSpec,
    BottleneckSpec,
    HeadSpec,
    LayerSpec,
    LogitsSpec,
    NetworkSpec,
    NormSpec,
    OwnBlockSpec,
    PoolSpec,
    QuantisedUnitSpec,
    RealDoublingSpec,
    SeparableSpec,
    ShuffleBlockSpec,
    StemSpec,
)
from tests.deploy.networks import random_images


@dataclass(frozen=True)
class Own(OwnBlockSpec):
    """A user's own block: BatchNorm alone."""

    channels: int

    def layers(self) -> tuple[LayerSpec, ...]:
        return (NormSpec("0", self.channels),)

    def build(self) -> nn.Module:
        return nn.Sequential(nn.BatchNorm2d(self.channels))


MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
STEM = StemSpec(3, 16, 3, 1, 8)
UNIT = BinaryUnitSpec(16, 16, 3, 1, 4, 8, "identity", "prelu")
BLOCKS: dict[str, tuple[BlockSpec, ...]] = {
    "torch in between": (
        STEM,
        UNIT,
        BottleneckSpec(16, 16, 1, 8, first=True),
        BottleneckSpec(16, 32, 2, 8, last=True),
        BinaryUnitSpec(32, 32, 3, 2, 1, 4, "pool", "rprelu", rsign=True),
        HeadSpec(32, 5, 2),
    ),
    "a user's own in between": (STEM, UNIT, Own(16), UNIT, HeadSpec(16, 5, 8)),
    "torch twice": (
        STEM,
        BottleneckSpec(16, 16, 1, 8, first=True, last=True),
        PoolSpec(16, 3, 2, 1, 8),
        BottleneckSpec(16, 16, 1, 4, first=True, last=True),
        HeadSpec(16, 5, 4),
    ),
    "torch first": (BottleneckSpec(3, 16, 1, 8, first=True, last=True), UNIT, HeadSpec(16, 5, 8)),
    "torch last": (
        STEM,
        BinaryLayerSpec(16, 8, 8, 0, 8),
        BottleneckSpec(8, 20, 1, 1, first=True, last=True),
        LogitsSpec(20),
    ),
    "all packed": (STEM, UNIT, HeadSpec(16, 5, 8)),
}
ONE_OF_EACH: tuple[BlockSpec, ...] = (
    STEM,
    UNIT,
    QuantisedUnitSpec.of(UNIT, 2, 4),
    RealDoublingSpec(16, 2, 8, "prelu"),
    BottleneckSpec(16, 16, 1, 8, first=True, last=True),
    ShuffleBlockSpec(16, 8, 16, 3, 1, 8),
    BinaryLayerSpec(16, 16, 3, 1, 8),
    PoolSpec(16, 2, 2, 0, 8),
    LogitsSpec(5),
    HeadSpec(16, 5, 8),
    SeparableSpec(16, 16, 1, 8),
    Own(16),
)


def network_of(blocks: tuple[BlockSpec, ...]) -> Network:
    """In evaluation mode, with settled statistics."""
    names = tuple(f"block{number}" for number in range(len(blocks)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(NetworkSpec("mixed", 3, 8, blocks[-1].num_classes, names, blocks))
    network.train()
    with torch.no_grad():
        for seed in range(3):
            network(random_images(network, 16, torch.Generator().manual_seed(seed)))
    return network.eval()


@pytest.fixture(params=["native", "reference"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The compiled kernels, and torch where they are not installed."""
    if request.param == "reference":
        monkeypatch.setattr(library, "load", lambda: None)
    elif library.load() is None:
        pytest.skip("the compiled kernels are not installed")
    return request.param


@pytest.fixture(autouse=True)
def bottlenecks_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(lowering._LOWERED, BottleneckSpec)


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_logits_are_torchs(backend: str, blocks: tuple[BlockSpec, ...]) -> None:
    network = network_of(blocks)
    pixels = np.random.default_rng(1).integers(0, 256, (11, 3, 8, 8), np.uint8)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    images = (torch.from_numpy(pixels) / 255 - mean) / std
    with torch.inference_mode():
        expected = network(images).numpy()
    mixed = MixedNetwork(network, MEAN, STD)
    for given in (pixels, images.numpy()):
        np.testing.assert_allclose(mixed(given), expected, rtol=1e-4, atol=1e-4)
    times = mixed.layer_times(pixels, 2)
    blocks_timed = {step.name.partition(".")[0].partition(":")[0] for step in times} - {"input"}
    assert blocks_timed == set(network.spec.block_names)
    assert all(step.seconds >= 0 for step in times)


def test_what_can_be_packed_is_what_lowers() -> None:
    for kind in get_args(BlockSpec):
        assert any(isinstance(block, kind) for block in ONE_OF_EACH), kind
    for block in ONE_OF_EACH:
        module = build_block(block).eval()
        if is_packable(block):
            lower_blocks([("block", block, module)])
        else:
            with pytest.raises(UserError, match="no packed operation"):
                lower_blocks([("block", block, module)])
    refused = [type(block) for block in ONE_OF_EACH if not is_packable(block)]
    # The fixture takes bottlenecks out.
    assert refused == [QuantisedUnitSpec, BottleneckSpec, ShuffleBlockSpec, SeparableSpec, Own]


def test_a_packed_network_must_still_end_in_logits() -> None:
    blocks = (STEM, UNIT)
    names = ("stem", "unit")
    network = build(NetworkSpec("map", 3, 8, 16, names, blocks)).eval()
    with pytest.raises(UserError, match="expected 1 x 1 pixels"):
        lower(network)
    with pytest.raises(UserError, match="expected 1 x 1 pixels"):
        pack(network, MEAN, STD, ())


def test_torch_has_the_kernels_threads_for_the_time_of_a_call() -> None:
    if library.load() is None:
        pytest.skip("the compiled kernels are not installed")
    network = network_of(BLOCKS["torch twice"])
    seen = []
    block = network.get_submodule("block1")
    mixed = MixedNetwork(network, MEAN, STD)
    block.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    threads = kernels.backend_info()["threads"]
    try:
        kernels.set_threads(2)
        mixed(np.zeros((1, 3, 8, 8), np.uint8))
    finally:
        kernels.set_threads(threads)
    assert seen == [2]
    assert torch.get_num_threads() == before
