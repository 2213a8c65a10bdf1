"""The space of bits: published counts, counts of the built module, supernet, what can be packed."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from deploy.lowering.network import is_packable, lower, pack
from supernet import Supernet, build
from supernet.architecture_file import load_architecture, save_architecture
from supernet.costs import cost
from supernet.files import UserError
from supernet.networks import network_spec
from supernet.spaces import space_from_description
from supernet.spaces.mixed_precision import MixedPrecision
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spec import BinaryUnitSpec, QuantisedUnitSpec
from supernet.verify import verify

PAIRS = ((1, 1), (1, 4), (2, 1), (2, 2), (32, 32))

# Bi-Real-18 at 224 pixels: multiply-adds of its 16 binary convolutions, a stage at a time.
BINARY_MACS = (
    4 * 64 * 64 * 9 * 56**2
    + (64 * 128 + 3 * 128 * 128) * 9 * 28**2
    + (128 * 256 + 3 * 256 * 256) * 9 * 14**2
    + (256 * 512 + 3 * 512 * 512) * 9 * 7**2
)
REAL_MACS = (
    3 * 64 * 49 * 112**2  # stem
    + 64 * 128 * 28**2 + 128 * 256 * 14**2 + 256 * 512 * 7**2  # shortcuts
    + 512 * 1000
)  # fmt: skip


def small(network: str = "resnet18", **options) -> MixedPrecision:
    """4-pixel features at the end, so that a run of it takes no time."""
    options = {"bits": PAIRS, "width": 0.125, **options}
    return MixedPrecision(network, 8, 4, 1, stem="small", **options)


@pytest.fixture
def space() -> MixedPrecision:
    return small()


def images(count: int = 6) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(7))


def test_binary_everywhere_is_bireal_18() -> None:
    space = MixedPrecision()
    spec = space.decode(space.uniform_architectures()["uniform 1w1a"])
    assert spec.blocks == network_spec("bireal-18").blocks
    assert cost(spec).bops == BINARY_MACS == 1_676_279_808
    assert cost(spec).flops == REAL_MACS


def test_costs_of_resnet_18() -> None:
    space = MixedPrecision()
    binary = cost(space.decode(space.first()))
    weights = binary.binary_parameters
    for pair, name in (((2, 2), "uniform 2w2a"), ((4, 4), "uniform 4w4a")):
        found = cost(space.decode(space.uniform_architectures()[name]))
        assert found.bitops == BINARY_MACS * pair[0] * pair[1] + REAL_MACS * 32 * 32
        assert found.flops == found.ops == BINARY_MACS + REAL_MACS and found.bops == 0
        assert found.parameters == 11_689_512 + 16  # a clip a layer
        assert found.bits == weights * pair[0] + (found.parameters - weights) * 32
    assert binary.bitops == BINARY_MACS + REAL_MACS * 32 * 32
    assert space.size == 3**16


def test_the_other_topologies() -> None:
    resnet = MixedPrecision("resnet34", bits=((1, 1), (4, 4)))
    assert resnet.decode(resnet.first()).blocks == network_spec("bireal-34").blocks
    assert resnet.size == 2**32
    mobile = MixedPrecision("mobilenet", bits=((1, 1), (4, 4)))
    groups = MobileNetGroups()
    assert mobile.decode(mobile.first()).blocks == groups.decode(groups.uniform(1)).blocks
    assert [position.name for position in mobile.positions[:3]] == [
        "block1_spatial", "block1_pointwise", "block2_spatial",
    ]  # fmt: skip
    # The stem halves 224 pixels, the small one leaves 32 as they are.
    assert mobile.decode(mobile.first()).blocks[0].out_size == 112
    tiny = MixedPrecision("mobilenet", 32, 10, stem="small")
    assert tiny.decode(tiny.first()).blocks[0].out_size == 32


@pytest.mark.parametrize("network", ["resnet18", "resnet34", "mobilenet"])
def test_analytic_equals_module(network: str) -> None:
    space = small(network, bits=((1, 1), (1, 4), (2, 1), (3, 8), (1, 32), (32, 1), (32, 32)))
    rng = random.Random(1)
    for one in (space.first(), space.largest(), *(space.sample(rng) for _ in range(2))):
        spec = space.decode(one)
        assert verify(spec) == cost(spec).as_dict()


def test_positions_and_choices(space: MixedPrecision) -> None:
    assert len(space.positions) == 16
    assert space.positions[4].name == "stage2_unit1"
    assert space.positions[0].choices == ("1w1a", "1w4a", "2w1a", "2w2a", "32w32a")
    chosen = {position.name: "2w2a" for position in space.positions}
    spec = space.decode(space.architecture({**chosen, "stage2_unit1": "1w4a"}))
    by_name = dict(zip(spec.block_names, spec.blocks, strict=True))
    unit = by_name["stage2_unit1"]
    assert isinstance(unit, QuantisedUnitSpec)
    assert (unit.weight_bits, unit.activation_bits) == (1, 4)
    assert (by_name["stage2_unit2"].weight_bits, by_name["stage2_unit2"].activation_bits) == (2, 2)
    with pytest.raises(UserError, match="'8w8a' is not a choice of 'stage2_unit1'"):
        space.architecture({**chosen, "stage2_unit1": "8w8a"})


def test_every_block_has_all_its_alternatives(space: MixedPrecision) -> None:
    for name, specs in space.block_candidates().items():
        expected = 1 if name in ("stem", "head") else len(PAIRS)
        assert len(specs) == expected, name
        if expected > 1:
            assert isinstance(specs[0], BinaryUnitSpec)


def test_the_largest_has_most_bits() -> None:
    space = small(bits=((4, 1), (2, 2), (1, 4), (1, 1)))
    assert set(dict(space.largest()).values()) == {"4w1a"}  # 4 bits a multiply-add, and of weights
    assert set(dict(small().largest()).values()) == {"32w32a"}


def test_names_of_parameters_are_the_largests(space: MixedPrecision) -> None:
    """One storage a block serves all its alternatives; a clip belongs to its setting."""
    largest = build(space.decode(space.largest())).state_dict()
    rng = random.Random(3)
    for one in (*space.uniform_architectures().values(), space.sample(rng)):
        for name, tensor in build(space.decode(one)).state_dict().items():
            assert name.endswith(".clip.weight") or largest[name].shape == tensor.shape


def test_descriptions_and_files_round_trip(space: MixedPrecision, tmp_path: Path) -> None:
    for one in (space, MixedPrecision(), small("mobilenet", width=0.25)):
        assert space_from_description(one.describe()) == one
    drawn = space.sample(random.Random(0))
    save_architecture(tmp_path / "a.json", space, drawn)
    again, architecture, document = load_architecture(tmp_path / "a.json", expected_space=space)
    assert (again, architecture) == (space, drawn)
    assert document["costs"] == cost(space.decode(drawn)).as_dict()


def test_every_choice_is_reachable_and_trained(space: MixedPrecision) -> None:
    torch.manual_seed(0)
    supernet, labels = Supernet(space), torch.arange(6) % 4
    seen: Counter[str] = Counter()
    for architecture in space.uniform_architectures().values():
        supernet.zero_grad(set_to_none=True)
        F.cross_entropy(supernet(images(), architecture), labels).backward()
        moved = [name for name, p in supernet.named_parameters() if p.grad is not None]
        seen.update(moved)
        assert all(p.grad is None or p.grad.isfinite().all() for p in supernet.parameters())
    assert set(seen) == {name for name, _ in supernet.named_parameters()}
    # Only stem and head are common to all.
    shared = {name.split(".")[1] for name, count in seen.items() if count == len(PAIRS)}
    assert shared == {"stem", "head"}


def test_path_equals_extracted_subnet_bit_for_bit(space: MixedPrecision) -> None:
    torch.manual_seed(0)
    supernet, rng = Supernet(space), random.Random(0)
    for is_training in (True, False):
        supernet.train(is_training)
        architecture = space.sample(rng)
        subnet = supernet.extract(architecture)
        assert torch.equal(subnet(images()), supernet(images(), architecture))


def test_only_binary_networks_are_packed(space: MixedPrecision) -> None:
    binary = space.decode(space.first())
    assert all(map(is_packable, binary.blocks))
    network = build(binary).eval()
    packed = pack(network, (0.5,), (0.25,), ())
    expected = network(images()).detach().numpy()
    assert packed(images().numpy()) == pytest.approx(expected, abs=1e-4)
    chosen = {**dict(space.first()), "stage3_unit2": "1w4a"}
    mixed = build(space.decode(space.architecture(chosen))).eval()
    with pytest.raises(
        UserError,
        match=r"block 'stage3_unit2' \(QuantisedUnitSpec\): there is no packed operation for it",
    ):
        lower(mixed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"network": "resnet50"},
            "network is 'resnet50': expected 'resnet18', 'resnet34' or 'mobilenet'",
        ),
        ({"stem": "large"}, "stem is 'large': expected 'published' or 'small'"),
        ({"image_size": 0}, "space 'mixed-precision': .*image_size is 0; expected a whole number"),
        ({"network": "mobilenet", "classes": 0}, "'mixed-precision': .*classes is 0; expected"),
        ({"width": 0.01}, "width 0.01 makes 0.64 of 64 channels"),
        ({"bits": []}, "bits must hold distinct pairs, at least one"),
        ({"bits": [[2, 2], [2, 2]]}, "bits must hold distinct pairs"),
        ({"bits": [[5, 2]]}, r"bits: \[5, 2\] is no pair of bits; .*each one of 1, 2, 3, 4, 8, 32"),
        ({"bits": [[2, 0]]}, r"bits: \[2, 0\] is no pair of bits"),
        ({"bits": [[2, 2, 2]]}, "bits.0 is \\(2, 2, 2\\): expected a list of at most 2"),
        ({"bits": [[True, 1]]}, "bits.0.0 is True: expected a whole number"),
        ({"groups": [1]}, "has no option 'groups'"),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        space_from_description({"name": "mixed-precision", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "resnet50"}, "no network 'resnet50'; there are resnet18, resnet34, mobilenet"),
        ({"stem": "large"}, "no stem 'large'; there are published, small"),
        ({"bits": ((1, 1, 1),)}, r"bits: \[1, 1, 1\] is no pair of bits"),
        ({"bits": ((True, 1),)}, r"bits: \[True, 1\] is no pair of bits"),
    ],
)
def test_wrong_options_from_python(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MixedPrecision(**options)
