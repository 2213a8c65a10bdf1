"""The benchmarks' plain networks compute what ours do, and learn alike."""

import pytest
import torch
from torch import nn

from benchmarks.plain_networks import PlainUnit, build_plain
from supernet.blocks.binary_unit import BinaryUnit
from supernet.network import Network, build
from supernet.networks import network_spec
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spec import NetworkSpec


def randomise(network: nn.Module) -> None:
    """Numbers away from their start, so that no shift or statistic is without effect."""
    for name, tensor in network.state_dict().items():
        if name.endswith(("beta", "gamma", "zeta", "norm.bias", "running_mean")):
            tensor.uniform_(-0.3, 0.3)
        elif name.endswith(("norm.weight", "running_var")):
            tensor.uniform_(0.5, 1.5)


@torch.no_grad()
def copy_unit(ours: BinaryUnit, plain: PlainUnit) -> None:
    branches = len(plain.convs)
    halves = zip(plain.convs, ours.conv.weight.chunk(branches), strict=True)
    for conv, weight in halves:
        conv.weight.copy_(weight)
    for name, tensor in ours.norm.state_dict().items():
        parts = tensor.chunk(branches) if tensor.ndim else (tensor,) * branches
        for norm, part in zip(plain.norms, parts, strict=True):
            norm.state_dict()[name].copy_(part)
    plain.shortcut.load_state_dict(ours.shortcut.state_dict())
    if ours.sign is not None:
        plain.shift.shift.copy_(ours.sign.beta.view(1, -1, 1, 1))
    match plain.activation:
        case nn.Sequential():
            before, slope, after = plain.activation
            before.shift.copy_(-ours.activation.gamma.view(1, -1, 1, 1))
            slope.weight.copy_(ours.activation.beta)
            after.shift.copy_(ours.activation.zeta.view(1, -1, 1, 1))
        case _:
            plain.activation.load_state_dict(ours.activation.state_dict())


def pair(spec: NetworkSpec) -> tuple[Network, nn.Module]:
    """Ours and the plain one with the same numbers, in fp64: no sign hangs on a rounding."""
    torch.manual_seed(0)
    ours, plain = build(spec).double().eval(), build_plain(spec).double().eval()
    randomise(ours)
    for name, block in ours.named_children():
        other = plain.get_submodule(name)
        if isinstance(block, BinaryUnit):
            copy_unit(block, other)
        else:
            other.load_state_dict(block.state_dict())
    return ours, plain


SPACE = MobileNetGroups(image_size=32, classes=10, width=0.25)
SPECS = {
    "reactnet-a": network_spec("reactnet-a", image_size=32),
    "bireal-18": network_spec("bireal-18", image_size=32),
    "groups": SPACE.decode(SPACE.uniform(4)),
}


@pytest.mark.parametrize("name", SPECS)
def test_outputs_and_gradients_are_those_of_our_network(name: str) -> None:
    ours, plain = pair(SPECS[name])
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    logits = ours(images)
    torch.testing.assert_close(plain(images), logits)
    assert logits.std() > 0
    # The stem's gradient has passed through every sign, shift and activation.
    stems = [network.get_parameter("stem.conv.weight") for network in (ours, plain)]
    found = [
        torch.autograd.grad(network(images).square().sum(), stem)[0]
        for network, stem in zip((ours, plain), stems, strict=True)
    ]
    assert found[0].abs().max() > 0
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize(
    ("name", "parameters"), [("reactnet-a", 29_343_592), ("bireal-18", 11_689_512)]
)
def test_parameters_are_those_of_the_official_code(name: str, parameters: int) -> None:
    with torch.device("meta"):
        plain = build_plain(network_spec(name))
    assert sum(p.numel() for p in plain.parameters()) == parameters
