"""Folding the scale of binary weights into BatchNorm leaves all outputs as they were."""

import pytest
import torch

from supernet.binarization import Binarization
from supernet.blocks.binary_unit import BinaryUnit
from supernet.blocks.building import set_binarization
from supernet.blocks.plain import BinaryLayer
from supernet.exact_signs import fold_scale
from supernet.files import UserError
from supernet.network import Network, binary_parts, build
from supernet.networks import network_spec
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spec import BinaryLayerSpec, BinaryUnitSpec, LogitsSpec, NetworkSpec

PUBLISHED = ["bireal-18", "react-resnet-18", "bireal-50", "binarynet", "xnor-net"]


def settled(network: Network, seed: int = 0) -> Network:
    """In double precision and evaluation mode, with every number of its norms drawn."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.3, 3, generator=generator)
            if module.weight is not None:
                module.weight.data.uniform_(-1.5, 1.5, generator=generator)
    return network.double().eval()


def published(name: str) -> Network:
    torch.manual_seed(0)
    size = 64 if name == "xnor-net" else 32
    return settled(build(network_spec(name, image_size=size, classes=5)))


def group_network() -> Network:
    torch.manual_seed(0)
    space = MobileNetGroups(
        image_size=16, classes=5, width=0.25, groups=(1, 2, 4), shortcut="conv", rsign=True
    )
    return settled(build(space.decode(space.uniform(4))))


@pytest.mark.parametrize("name", [*PUBLISHED, "groups"])
def test_outputs_are_equal_and_weights_are_signs(name: str) -> None:
    network = group_network() if name == "groups" else published(name)
    setting = Binarization(scaled=True, pad_value=1)  # BinaryNet's own has no scale
    set_binarization(network, setting)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    folded = fold_scale(network)
    spec = network.spec
    x = torch.randn(3, spec.in_channels, spec.image_size, spec.image_size).double()
    with torch.no_grad():
        expected, found = network(x), folded(x)
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9)
    for (_, part), (_, original) in zip(binary_parts(folded), binary_parts(network), strict=True):
        weight = original.conv.weight
        assert torch.equal(part.conv.weight, torch.where(weight >= 0, 1.0, -1.0).to(weight))
        assert part.binarization == setting
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)  # it is a copy
    assert folded.state_dict().keys() == before.keys()


def unit_network(layer: bool) -> Network:
    """One block between an image of 4 channels and 4 logits."""
    block = (
        BinaryLayerSpec(4, 4, 5, 0, 6, pool_size=2, scaled=True)
        if layer
        else BinaryUnitSpec(4, 4, 3, 1, 1, 6, "identity", "none")
    )
    spec = NetworkSpec("one", 4, 6, 4, ("block", "end"), (block, LogitsSpec(4)))
    return build(spec)


def normed(block: BinaryUnit | BinaryLayer, x: torch.Tensor) -> torch.Tensor:
    """The norm's output, without the shortcut."""
    if isinstance(block, BinaryLayer):
        return block(x)
    return block.norm(block.conv(block.function(x)))


@pytest.mark.parametrize("layer", [False, True])
def test_single_precision(layer: bool) -> None:
    # One block alone: in a deep network rounding could turn a sign of the next around.
    torch.manual_seed(0)
    network = settled(unit_network(layer)).float()
    x = torch.randn(16, 4, 6, 6)
    assert torch.allclose(fold_scale(network)(x), network(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [False, True])
@pytest.mark.parametrize("latent", [0.0, 1e-30])
def test_a_filter_without_scale_gives_its_constant(layer: bool, latent: float) -> None:
    torch.manual_seed(0)
    network = settled(unit_network(layer)).float()
    with torch.no_grad():
        network.block.conv.weight[2] = -latent if latent else 0
    x = torch.randn(16, 4, 6, 6)
    folded = fold_scale(network)
    expected, found = normed(network.block, x), normed(folded.block, x)
    norm = network.block.norm
    factor = 1 if norm.weight is None else norm.weight[2]
    constant = (
        norm.bias[2] - norm.running_mean[2] / (norm.running_var[2] + norm.eps).sqrt() * factor
    )
    assert len(found[:, 2].unique()) == 1
    assert found[0, 2].flatten()[0].item() == pytest.approx(constant.item(), rel=1e-6)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(folded.block.conv.weight[2], torch.ones_like(network.block.conv.weight[2]))
    if not layer:
        assert folded.block.norm.weight[2] == 0


def test_a_known_fold() -> None:
    network = unit_network(False).double()
    block = network.block
    with torch.no_grad():
        block.conv.weight.fill_(-0.25)
    block.norm.running_mean.fill_(0.5)
    block.norm.running_var.fill_(2)
    norm = fold_scale(network).block.norm
    assert norm.running_mean.tolist() == [0.5 / 0.25] * 4
    assert norm.running_var.tolist() == pytest.approx([(2 + 1e-5) / 0.25**2 - 1e-5] * 4)
    assert norm.weight.tolist() == [1] * 4 and norm.bias.tolist() == [0] * 4


def test_unscaled_norms_stay() -> None:
    network = published("binarynet")
    assert not any(part.conv.scaled for _, part in binary_parts(network))
    for (_, part), (_, folded) in zip(
        binary_parts(network), binary_parts(fold_scale(network)), strict=True
    ):
        assert isinstance(part, BinaryLayer)
        assert torch.equal(part.norm.running_var, folded.norm.running_var)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (Binarization(weights="real"), "'block' has real weights and binary activations"),
        (Binarization(activations="clip"), "'block' has binary weights and clip activations"),
    ],
)
def test_what_is_not_binary_is_refused(setting: Binarization, words: str) -> None:
    network = unit_network(False)
    set_binarization(network, setting)
    with pytest.raises(UserError, match=words):
        fold_scale(network)


def test_a_zero_weight_without_a_sign_is_refused() -> None:
    network = unit_network(False)
    with torch.no_grad():
        network.block.conv.weight[1, 0, 0, 0] = 0
    fold_scale(network)
    set_binarization(network, Binarization(sign_of_zero=0))
    with pytest.raises(UserError, match="'block' has weights of 0 whose sign is 0"):
        fold_scale(network)
