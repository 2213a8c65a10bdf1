"""Published networks, packed: every operation and every class against torch."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from deploy import kernels
from deploy.checking import check_classes, check_operations
from deploy.lowering.network import lower, pack
from deploy.plan.module import PlanModule
from supernet.binarization import Binarization
from supernet.blocks.building import set_binarization
from supernet.files import UserError
from supernet.layers.binary_input import leaky_clip
from supernet.network import Network, binary_parts, build
from supernet.networks import network_spec
from supernet.spec import BottleneckSpec, HeadSpec, NetworkSpec, StemSpec
from tests.deploy.networks import random_images

FORMS = {
    "reactnet-a": {"image_size": 32},
    "reactnet-b": {"image_size": 32},
    "reactnet-c": {"image_size": 32},
    "react-resnet-18": {"image_size": 32},
    "bireal-18": {"image_size": 32},
    "bireal-50": {"image_size": 32},
    "binarynet": {"image_size": 20},
    "binary-alexnet": {"image_size": 64},
    "xnor-net": {"image_size": 64},
}


def settled(spec: NetworkSpec, seed: int = 0) -> Network:
    """A network in evaluation mode whose every number is drawn, after some batches of images."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(spec).train()
    for parameter in network.parameters():
        if parameter.ndim == 1:  # shifts, slopes, BatchNorm
            parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    with torch.no_grad():
        for _ in range(3):
            network(random_images(network, 8, generator))
    return network.eval()


@pytest.mark.parametrize("name", FORMS)
def test_a_packed_network_computes_what_torch_does(name: str) -> None:
    network = settled(network_spec(name, classes=10, **FORMS[name]))
    packed = pack(network, (0.5,) * 3, (0.25,) * 3, ())
    generator = torch.Generator().manual_seed(1)
    images = random_images(network, 4, generator)
    checks = check_operations(network, packed, images)
    assert len(checks) == len(packed.plan.operations)
    assert [check for check in checks if not check.ok] == []
    classes = check_classes(network, packed, [images, random_images(network, 4, generator)])
    assert classes.ok, classes
    with torch.inference_mode():
        found = PlanModule(packed.plan, packed.parameters).eval()(images)
        # One flipped sign would show as 1e-2 and more; rounding is 1e-6.
        differing = (network(images) - found).abs().amax(1) > 1e-4
    assert differing.float().mean() <= 0.25


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("reactnet-a", marks=pytest.mark.long), "bireal-18"])
def test_the_papers_own_forms(name: str) -> None:
    network = settled(network_spec(name))  # 224 pixels, 1000 classes
    packed = pack(network, (0.5,) * 3, (0.25,) * 3, ())
    images = random_images(network, 2, torch.Generator().manual_seed(1))
    assert [check for check in check_operations(network, packed, images) if not check.ok] == []
    classes = check_classes(network, packed, [images])
    assert classes.ok, classes


def test_rsign_becomes_thresholds_and_a_doubling_unit_one_operation() -> None:
    network = settled(network_spec("reactnet-a", image_size=32, classes=10))
    plan, parameters = lower(network)
    # Stem, 13 x 2 convolutions, a pool for each of the 4 blocks of stride 2, pool and linear.
    assert len(plan.operations) == 1 + 26 + 4 + 2
    binary = [op for op in plan.operations if op.kind == "binary_conv"]
    assert all(op.thresholds for op in binary)
    from deploy.plan.parameters import operation_parameters

    own = operation_parameters(plan, parameters)
    beta = network.get_submodule("block1_pointwise").sign.beta.detach().numpy()
    index = [op.name for op in plan.operations].index("block1_pointwise")
    assert np.array_equal(own[index]["thresholds"], -beta) and np.abs(beta).max() > 0
    assert plan.operations[index].channels == 64 and plan.operations[index].add == index


@pytest.fixture(params=kernels.backend_info()["available_isas"] or [None])
def isa(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Every instruction set that the machine has; none, where the fallback runs."""
    before = kernels.backend_info()["isa"]
    if request.param:
        kernels.select_isa(request.param)
    yield request.param
    if request.param:
        kernels.select_isa(before)


def bottlenecks(*specs: BottleneckSpec) -> Network:
    """Behind a stem of 3 x 12 x 12 pixels, `specs` and a head."""
    end = specs[-1]
    blocks = (
        StemSpec(3, specs[0].in_channels, 3, 1, 12),
        *specs,
        HeadSpec(end.out_channels, 5, end.out_size),
    )
    names = ("stem", *(f"block{number}" for number in range(len(specs))), "head")
    return settled(NetworkSpec("bottlenecks", 3, 12, 5, names, blocks))


def test_two_streams(isa: str | None) -> None:
    network = bottlenecks(
        BottleneckSpec(36, 72, 2, 12, first=True),
        BottleneckSpec(72, 72, 1, 6),
        BottleneckSpec(72, 136, 2, 6),  # the average of 6 x 6 pixels
        BottleneckSpec(136, 200, 1, 3),  # begins a stage of the same size
        BottleneckSpec(200, 200, 1, 3, last=True),
    )
    packed = pack(network, (0.5,) * 3, (0.25,) * 3, ())
    images = random_images(network, 5, torch.Generator().manual_seed(3))
    images[0] *= 20  # far outside of what a leaky clip leaves as it is
    checks = check_operations(network, packed, images)
    assert [check for check in checks if not check.ok] == []
    names = [operation.name for operation in packed.plan.operations]
    assert names[1:8] == [
        "block0.narrow.clip_above", "block0.narrow.clip_below", "block0.narrow",
        "block0.spatial.shortcut.pool", "block0.spatial",
        "block0.wide.shortcut.pool", "block0.wide.shortcut.conv",
    ]  # fmt: skip
    assert check_classes(network, packed, [images]).ok


def test_two_operations_are_a_leaky_clip() -> None:
    network = bottlenecks(BottleneckSpec(4, 4, 1, 12, first=True, last=True))
    images = 3 * random_images(network, 4, torch.Generator().manual_seed(4))
    packed = pack(network, (0.5,) * 3, (0.25,) * 3, ())
    values = packed.values(images.numpy())
    assert packed.plan.operations[2].name == "block0.narrow.clip_below"
    x, clipped = torch.from_numpy(values[1]), torch.from_numpy(values[3])
    assert (x > 1).any() and (x < -1).any() and (x.abs() < 1).any()
    # Of 1 + x - 1 and its like the error is some 2^-24, a few times.
    assert (clipped - leaky_clip(x)).abs().max() <= 5e-7


def test_padding_and_missing_scale_are_lowered() -> None:
    network = settled(network_spec("bireal-18", image_size=32, classes=10, stem="small"))
    for number, (_, unit) in enumerate(binary_parts(network)):
        unit.set_binarization(Binarization(pad_value=(-1, 0, 1)[number % 3], scaled=False))
    network.train()
    images = random_images(network, 4, torch.Generator().manual_seed(2))
    with torch.no_grad():
        for _ in range(50):  # the counts are much larger than with a scale
            network(images)
    network.eval()
    packed = pack(network, (0.5,) * 3, (0.25,) * 3, ())
    assert {op.pad_value for op in packed.plan.operations} == {-1, 0, 1}
    assert all(check.ok for check in check_operations(network, packed, images))
    assert check_classes(network, packed, [images]).ok


def test_what_cannot_be_packed_is_refused_by_name() -> None:
    network = build(network_spec("bireal-18", image_size=32, classes=10))
    set_binarization(network.get_submodule("stage2_unit3"), Binarization(sign_of_zero=0))
    with pytest.raises(UserError, match=r"'stage2_unit3': its sign\(0\) is 0"):
        lower(network)


@pytest.mark.parametrize("name", ["bireal-18", "bireal-50", "binarynet", "react-resnet-18"])
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (Binarization(weights="real"), "real weights and binary activations"),
        (Binarization(activations="clip"), "binary weights and clip activations"),
    ],
)
def test_real_operands_are_refused(name: str, setting: Binarization, words: str) -> None:
    network = build(network_spec(name, image_size=32, classes=10))
    set_binarization(network, setting)
    with pytest.raises(UserError, match=f"it has {words}; only binary"):
        lower(network)
    set_binarization(network, Binarization())
    lower(network)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("side", [7, 8, 112])
def test_windows_inside_are_torchs_default(side: int, padding: int) -> None:
    from deploy.plan.plan import Operation, Plan

    pool = Operation("pool", "max_pool_inside", 0, 1, 3, 2, padding)
    shape = Plan(1, side, (pool, Operation("end", "global_avg_pool", 1, 1))).shapes()[1]
    expected = torch.nn.MaxPool2d(3, 2, padding)(torch.zeros(1, 1, side, side)).shape[2]
    assert shape.height == shape.width == expected
