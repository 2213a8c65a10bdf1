"""Published networks, packed: every operation and every class against torch."""

import numpy as np
import pytest
import torch

from deploy.checking import check_classes, check_operations
from deploy.lowering import lower, pack
from deploy.plan_module import PlanModule
from supernet.binarization import Binarization
from supernet.files import UserError
from supernet.network import Network, binary_parts, build, set_binarization
from supernet.networks import network_spec
from supernet.spec import NetworkSpec
from tests.deploy.networks import random_images

FORMS = {
    "reactnet-a": {"image_size": 32},
    "reactnet-b": {"image_size": 32},
    "reactnet-c": {"image_size": 32},
    "react-resnet-18": {"image_size": 32},
    "bireal-18": {"image_size": 32},
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


def test_rsign_becomes_thresholds_and_a_doubling_unit_one_operation() -> None:
    network = settled(network_spec("reactnet-a", image_size=32, classes=10))
    plan, parameters = lower(network)
    # Stem, 13 x 2 convolutions, a pool for each of the 4 blocks of stride 2, pool and linear.
    assert len(plan.operations) == 1 + 26 + 4 + 2
    binary = [op for op in plan.operations if op.kind == "binary_conv"]
    assert all(op.thresholds for op in binary)
    from deploy.parameters import operation_parameters

    own = operation_parameters(plan, parameters)
    beta = network.get_submodule("block1_pointwise").sign.beta.detach().numpy()
    index = [op.name for op in plan.operations].index("block1_pointwise")
    assert np.array_equal(own[index]["thresholds"], -beta) and np.abs(beta).max() > 0
    assert plan.operations[index].channels == 64 and plan.operations[index].add == index


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
    with pytest.raises(UserError, match=r"'stage1_block1' \(BottleneckSpec\): there is no packed"):
        lower(build(network_spec("bireal-50", image_size=32, classes=10)))
    network = build(network_spec("bireal-18", image_size=32, classes=10))
    set_binarization(network.get_submodule("stage2_unit3"), Binarization(sign_of_zero=0))
    with pytest.raises(UserError, match=r"'stage2_unit3': its sign\(0\) is 0"):
        lower(network)


@pytest.mark.parametrize("name", ["bireal-18", "binarynet", "react-resnet-18"])
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
    from deploy.plan import Operation, Plan

    pool = Operation("pool", "max_pool_inside", 0, 1, 3, 2, padding)
    shape = Plan(1, side, (pool, Operation("end", "global_avg_pool", 1, 1))).shapes()[1]
    expected = torch.nn.MaxPool2d(3, 2, padding)(torch.zeros(1, 1, side, side)).shape[2]
    assert shape.height == shape.width == expected
