"""What holds for every registered space and every way of sharing weights in its supernet."""

import json
import random

import pytest
import torch
from torch.nn import functional as F

from supernet import Supernet, build
from supernet.architecture import Architecture
from supernet.costs import cost
from supernet.sharing.shared_path import partial_regions
from supernet.space import SearchSpace
from supernet.spaces import SPACES, space_from_description
from supernet.verify import verify
from tests.supernet.spaces.every_space import CASES, FIXED_SPACES, SHARINGS, SMALL_SPACES
from training.optim import step_within

NAMES = list(SMALL_SPACES)


def small(name: str) -> SearchSpace:
    return space_from_description(SMALL_SPACES[name])


def images(space: SearchSpace, count: int = 6) -> torch.Tensor:
    spec = space.decode(space.first())
    size = (count, spec.in_channels, spec.image_size, spec.image_size)
    return torch.randn(size, generator=torch.Generator().manual_seed(7))


def draws(space: SearchSpace, count: int) -> list[Architecture]:
    rng = random.Random(0)
    return [space.largest(), space.first(), *(space.sample(rng) for _ in range(count))]


def turns(space: SearchSpace) -> list[Architecture]:
    """The largest architecture, and each of one other choice."""
    largest = dict(space.largest().choices)
    return [
        space.architecture({**largest, position.name: choice})
        for position in space.positions
        for choice in position.choices
    ]


def test_every_registered_space_is_tested_here() -> None:
    assert {form["name"] for form in SMALL_SPACES.values()} | set(FIXED_SPACES) == set(SPACES)
    assert SHARINGS.keys() == SMALL_SPACES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_architectures_survive_json_and_their_costs_are_the_modules(name: str) -> None:
    space = small(name)
    for architecture in draws(space, 2):
        read = space_from_description(json.loads(json.dumps(space.describe())))
        again = read.architecture(json.loads(json.dumps(dict(architecture.choices))))
        assert (read, again, again.id) == (space, architecture, architecture.id)
        assert read.decode(again) == space.decode(architecture)
        verify(space.decode(architecture))  # analytic costs equal those that hooks count
        logits = build(space.decode(architecture))(images(space))
        assert logits.shape == (6, 5)


@pytest.mark.parametrize("name", NAMES)
def test_candidates_hold_every_block_of_every_architecture(name: str) -> None:
    space = small(name)
    candidates = space.block_candidates()
    for architecture in draws(space, 30):
        spec = space.decode(architecture)
        for block_name, block in zip(spec.block_names, spec.blocks, strict=True):
            assert block in candidates[block_name]


@pytest.mark.parametrize("name", NAMES)
def test_no_architecture_has_more_bits_than_the_largest(name: str) -> None:
    space = small(name)
    most = cost(space.decode(space.largest())).bits
    assert most == max(cost(space.decode(one)).bits for one in draws(space, 50))


@pytest.mark.parametrize(("name", "sharing"), CASES)
def test_a_path_equals_its_extracted_subnet_bit_for_bit(name: str, sharing: str) -> None:
    torch.manual_seed(0)
    space = small(name)
    supernet = Supernet(space, sharing)  # type: ignore[arg-type]
    x = images(space)
    for is_training in (True, False):
        supernet.train(is_training)
        for architecture in draws(space, 3):
            subnet = supernet.extract(architecture)
            assert torch.equal(subnet(x), supernet(x, architecture))
            built = build(space.decode(architecture)).state_dict()
            assert {n: t.shape for n, t in subnet.state_dict().items()} == {
                n: t.shape for n, t in built.items()
            }


@pytest.mark.parametrize(("name", "sharing"), CASES)
def test_every_choice_is_reachable_and_every_weight_is_trained_by_some_path(
    name: str, sharing: str
) -> None:
    """Paths of one choice changed at a time, then random ones: the seed's 200 are enough."""
    space, rng = small(name), random.Random(1)
    supernet, x = Supernet(space, sharing), images(space)  # type: ignore[arg-type]
    untouched = {p: torch.ones_like(p, dtype=torch.bool) for p in supernet.parameters()}
    for architecture in [*turns(space), *(space.sample(rng) for _ in range(200))]:
        if not any(left.any() for left in untouched.values()):
            break
        supernet.zero_grad(set_to_none=True)
        path = supernet.path(architecture)
        path(x).square().sum().backward()
        used = partial_regions([path])
        for parameter in supernet.parameters():
            if parameter.grad is None:
                continue
            for view in used.get(parameter, [lambda whole: whole]):
                view(untouched[parameter]).fill_(False)
    named = {parameter: name for name, parameter in supernet.named_parameters()}
    assert [named[p] for p, left in untouched.items() if left.any()] == []


@pytest.mark.parametrize("rule", ["Adam", "SGD"])
@pytest.mark.parametrize(("name", "sharing"), CASES)
def test_what_no_path_uses_does_not_move(name: str, sharing: str, rule: str) -> None:
    """With momentum, moments and decay from earlier steps: what the copy of a path lacks stays."""
    torch.manual_seed(0)
    space = small(name)
    supernet, x = Supernet(space, sharing), images(space)  # type: ignore[arg-type]
    labels = torch.arange(6) % 5
    optimiser = (
        torch.optim.Adam(supernet.parameters(), 0.01, weight_decay=0.1)
        if rule == "Adam"
        else torch.optim.SGD(supernet.parameters(), 0.01, 0.9, weight_decay=0.1)
    )
    others = [one for one in draws(space, 3)]
    smallest = min(others, key=lambda one: cost(space.decode(one)).parameters)
    for architecture in [space.largest(), *others, smallest]:
        optimiser.zero_grad(set_to_none=True)
        path = supernet.path(architecture)
        F.cross_entropy(path(x), labels).backward()
        before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
        own = {name: t.clone() for name, t in path.tensors().items()}
        regions = partial_regions([path])
        step_within(optimiser, regions)
        if sharing == "generated":  # the path's tensors are not the parameters
            assert architecture == space.largest() or regions
            for name, p in supernet.named_parameters():
                outside = torch.full_like(p, p.grad is None or p in regions, dtype=torch.bool)
                for view in regions.get(p, ()):
                    view(outside).fill_(False)
                assert torch.equal(p[outside], before[name][outside])
            continue
        after = path.tensors()
        moved_in_path = sum(
            int((after[name] != own[name]).sum())
            for name in own
            if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        )
        moved = sum(
            int((p.detach() != before[name]).sum()) for name, p in supernet.named_parameters()
        )
        assert 0 < moved == moved_in_path  # every value that moved is one of the path's


@pytest.mark.parametrize(("name", "sharing"), CASES)
def test_a_network_put_into_a_path_is_extracted_from_it(name: str, sharing: str) -> None:
    """Every tensor comes back; what is on no such path stays as it was."""
    space = small(name)
    supernet = Supernet(space, sharing)
    for architecture in draws(space, 2):
        network = build(space.decode(architecture))
        with torch.no_grad():
            for tensor in network.state_dict().values():
                tensor.copy_(torch.randn(tensor.shape).mul(10))
        path = supernet.path(architecture)
        if sharing == "generated":
            with pytest.raises(ValueError, match="is generated: it cannot be put there"):
                path.put(network.state_dict())
            continue
        before = {key: tensor.clone() for key, tensor in supernet.state_dict().items()}
        left_out = set(path.put(network.state_dict()))
        found = supernet.extract(architecture).state_dict()
        norms = {key.removesuffix("running_mean") for key in found if key.endswith("running_mean")}
        affine = {f"{norm}{own}" for norm in norms for own in ("weight", "bias")}
        assert left_out == (set() if space.supernet_norms_affine else affine)
        for key, expected in network.state_dict().items():
            if key in left_out:
                expected = torch.full_like(expected, float(key.endswith("weight")))
            assert torch.equal(found[key], expected), key
        moved = sum(
            int((tensor != before[key]).sum()) for key, tensor in supernet.state_dict().items()
        )
        held = {key: t.numel() for key, t in network.state_dict().items() if key not in left_out}
        assert 0 < moved <= sum(held.values())
