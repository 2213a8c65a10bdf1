"""The supernet: paths equal extracted subnets; unsampled weights do not move."""

import random

import pytest
import torch
from torch.nn import functional as F

from supernet import Supernet, build
from supernet.costs import cost
from supernet.network import binary_parts, build_from, compile_units
from supernet.spaces import space_from_description
from supernet.spaces.mobilenet_groups import MobileNetGroups

SHARINGS = ["independent", "nested", "sliced"]


def images(space: MobileNetGroups, count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(
        count, space.in_channels, space.image_size, space.image_size, generator=generator
    )


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("shortcut", ["duplicate", "conv"])
def test_path_equals_extracted_subnet_bit_for_bit(sharing: str, shortcut: str) -> None:
    torch.manual_seed(0)
    space = MobileNetGroups(
        image_size=16, classes=5, width=0.25, groups=(1, 2, 4, 8), shortcut=shortcut,
        search_pointwise=True, activation="rprelu",
    )  # fmt: skip
    supernet, rng = Supernet(space, sharing), random.Random(0)
    x = images(space)
    for is_training in (True, False):
        supernet.train(is_training)
        architecture = space.sample(rng)
        subnet = supernet.extract(architecture)
        assert torch.equal(subnet(x), supernet(x, architecture))


@pytest.mark.parametrize("sharing", SHARINGS)
def test_extracting_copies(tiny_space: MobileNetGroups, sharing: str) -> None:
    supernet = Supernet(tiny_space, sharing)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    subnet = supernet.extract(tiny_space.uniform(2))
    with torch.no_grad():
        for tensor in subnet.state_dict().values():
            tensor.zero_()
    assert all(torch.equal(before[name], t) for name, t in supernet.state_dict().items())


def test_extracted_names_are_those_of_the_built_network(tiny_space: MobileNetGroups) -> None:
    architecture = tiny_space.uniform(4)
    built = build(tiny_space.decode(architecture)).state_dict()
    for sharing in SHARINGS:
        extracted = Supernet(tiny_space, sharing).extract(architecture).state_dict()
        assert {name: t.shape for name, t in extracted.items()} == {
            name: t.shape for name, t in built.items()
        }


@pytest.mark.parametrize("sharing", ["independent", "nested"])  # slices: test_every_space.py
@pytest.mark.parametrize("optimiser_name", ["Adam", "SGD"])
def test_unsampled_parameters_do_not_move(
    tiny_space: MobileNetGroups, sharing: str, optimiser_name: str
) -> None:
    """With moments from an earlier step and weight decay: a None gradient moves nothing."""
    torch.manual_seed(0)
    supernet = Supernet(tiny_space, sharing)
    options = {"lr": 0.1, "weight_decay": 0.1}
    if optimiser_name == "SGD":
        options["momentum"] = 0.9
    optimiser = getattr(torch.optim, optimiser_name)(supernet.parameters(), **options)
    x, labels = images(tiny_space), torch.arange(6) % 4

    def step(groups: int) -> None:
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(supernet(x, tiny_space.uniform(groups)), labels).backward()
        optimiser.step()

    for groups in (1, 2, 4):
        step(groups)
    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
    step(4)
    moved = {name for name, p in supernet.named_parameters() if not torch.equal(p, before[name])}
    with_gradient = {name for name, p in supernet.named_parameters() if p.grad is not None}
    assert moved == with_gradient
    idle = set(before) - with_gradient
    if sharing == "independent":
        own = {name for name in before if ".g1." in name or ".g2." in name}
    else:
        # Four groups, the finest choice, use only the innermost ring.
        own = {name for name in before if ".norms.g1." in name or ".norms.g2." in name}
        own |= {name for name in before if "rings.1" in name or "rings.2" in name}
    assert own and idle == own


@pytest.mark.parametrize("sharing", SHARINGS)
def test_every_choice_is_reachable_and_trained(tiny_space: MobileNetGroups, sharing: str) -> None:
    supernet = Supernet(tiny_space, sharing)
    x = images(tiny_space)
    for groups in (1, 2, 4):
        supernet(x, tiny_space.uniform(groups)).sum().backward()
    assert all(parameter.grad is not None for parameter in supernet.parameters())


def test_independent_weights_number_less_than_twice_the_densest(
    tiny_space: MobileNetGroups,
) -> None:
    # 1 + 1/2 + 1/4 of the 3x3 weights.
    supernet = Supernet(tiny_space, "independent")
    dense = build(tiny_space.decode(tiny_space.uniform(1)))

    def spatial(module: torch.nn.Module) -> int:
        return sum(p.numel() for name, p in module.named_parameters() if p.shape[-1:] == (3,))

    stem = 8 * 1 * 9
    assert (spatial(supernet) - stem) == (spatial(dense) - stem) * 7 // 4


def test_build_from_takes_the_tensors_themselves(tiny_space: MobileNetGroups) -> None:
    spec = tiny_space.decode(tiny_space.uniform(2))
    source = build(spec)
    state_before = torch.get_rng_state()
    network = build_from(spec, source.state_dict())
    assert torch.equal(torch.get_rng_state(), state_before)
    assert network.head.linear.weight.data_ptr() == source.head.linear.weight.data_ptr()


def test_the_option_rsign_gives_every_unit_thresholds() -> None:
    plain, shifted = (MobileNetGroups(image_size=32, classes=5, rsign=r) for r in (False, True))
    spec = shifted.decode(shifted.first())
    before, after = cost(plain.decode(plain.first())), cost(spec)
    # A threshold for each input channel of both convolutions of a block.
    inputs = sum(2 * channels for channels in (32, 64, 128, 128, 256, 256, *[512] * 6, 1024))
    assert inputs == 9_920  # those of ReActNet-A
    assert after.parameters == before.parameters + inputs
    assert (after.flops, after.bops) == (before.flops, before.bops)
    network = build(spec)
    assert sum(unit.sign.beta.numel() for _, unit in binary_parts(network)) == inputs


def test_a_description_without_rsign_is_that_of_the_space_without(
    tiny_space: MobileNetGroups,
) -> None:
    older = {key: value for key, value in tiny_space.describe().items() if key != "rsign"}
    assert space_from_description(older) == tiny_space
    assert space_from_description({**older, "rsign": True}).rsign


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler's own imports warn
def test_compiled_units_agree_with_eager_ones() -> None:
    from training.compilation import find_compiler

    if find_compiler() is None:
        pytest.skip("torch.compile needs a C++ compiler, which is optional")
    space = MobileNetGroups(
        image_size=8, classes=4, in_channels=1, width=0.25, groups=(1, 2), blocks=((64, 1),)
    )
    torch.manual_seed(0)
    network = build(space.decode(space.uniform(2))).eval()
    x = images(space)
    expected = network(x)
    compile_units(network)
    assert torch.allclose(network(x), expected, atol=1e-5)
