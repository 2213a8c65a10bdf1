"""MetaPruning's spaces: the authors' widths, published counts, and the built networks."""

import json
import random
from itertools import product
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.lowering.network import lower
from supernet import Supernet, build
from supernet.architecture import Architecture
from supernet.architecture_file import load_architecture, save_architecture
from supernet.blocks.building import build_block
from supernet.costs import cost
from supernet.files import UserError
from supernet.spaces import space_from_description
from supernet.spaces.metapruning import PERCENTS, MetaPruning
from supernet.spaces.metapruning_plans import Pruned
from supernet.spec import (
    ConvChainSpec,
    ConvSpec,
    HeadSpec,
    InvertedResidualSpec,
    NetworkSpec,
    PoolSpec,
    ResidualBottleneckSpec,
    SeparableSpec,
    StemSpec,
)
from supernet.verify import measure
from training.compilation import num_graphs

PRUNED = get_args(Pruned)

V1_CHANNELS = (32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
V2_CHANNELS = (44, 22, *(33,) * 2, *(44,) * 3, *(88,) * 4, *(132,) * 3, *(224,) * 3, 448)
RESNET_CHANNELS = (64, *(256,) * 3, *(512,) * 4, *(1024,) * 6, *(2048,) * 3)
BASES = {*V1_CHANNELS, *V2_CHANNELS, *(6 * c for c in V2_CHANNELS), *RESNET_CHANNELS}

FOUND = (28, 18, 10, 23, 23, 22, 22, 13, 17, 28, 17, 25, 29)
"""The vector that the authors' code for MobileNetV1 ends with [source]."""


def small(network: str, percents: tuple[int, ...] = (25, 60, 100)) -> MetaPruning:
    """16-pixel grey images of four classes, a quarter of the channels."""
    return MetaPruning(network, 16, 4, 1, percents, 0.25, "small")


def full(network: str) -> NetworkSpec:
    space = MetaPruning(network)
    return space.decode(space.largest())


def numbered(space: MetaPruning, numbers: tuple[int, ...]) -> Architecture:
    """The architecture whose choices have these numbers, as the authors' vectors have them."""
    positions = zip(space.positions, numbers, strict=True)
    return space.architecture({position.name: PERCENTS[number] for position, number in positions})


def outputs(spec: NetworkSpec) -> list[int]:
    return [b.out_channels for b in spec.blocks if isinstance(b, StemSpec | ConvChainSpec)]


def convolutions(spec: NetworkSpec) -> int:
    return sum(layer.num_weights for _, layer in spec.layers() if isinstance(layer, ConvSpec))


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(7))


# What the choices mean


def test_channels_are_those_of_the_authors_int() -> None:
    for base, number in product(BASES, range(31)):
        by_float = int(base * ((10 + number * 3) / 100))  # as in the authors' code
        assert base * PERCENTS[number] // 100 == by_float
    # With the scale as a sum a full layer would lose a channel: 0.1 + 0.03 * 30 = 0.99999...
    assert int(32 * (0.1 + 0.03 * 30)) == 31


@pytest.mark.parametrize(
    ("network", "positions", "size"),
    [("mobilenet-v1", 13, 2.4e19), ("mobilenet-v2", 8 + 17, 1.9e37), ("resnet-50", 4 + 16, 6.7e29)],
)
def test_the_papers_spaces(network: str, positions: int, size: float) -> None:
    space = MetaPruning(network)
    assert len(space.positions) == positions
    assert space.size == 31**positions == pytest.approx(size, rel=0.02)
    assert all(position.choices == tuple(range(10, 101, 3)) for position in space.positions)


def test_position_i_is_layer_i_in_search_and_retraining() -> None:
    space = MetaPruning()
    spec = space.decode(numbered(space, FOUND))
    # 94 % of 32, 64 % of 64, 40 % of 128, 79 % of 128, ... and the last block whole.
    assert outputs(spec) == [30, 40, 51, 101, 202, 194, 389, 250, 312, 481, 312, 435, 993, 1024]
    assert round(cost(spec).flops / 1e6, 1) == 313.2  # [source]
    assert [tuple(p.shape[:1]) for n, p in build(spec).named_parameters() if "conv" in n][:4] == [
        (30,), (30,), (40,), (40,),
    ]  # fmt: skip
    # The authors' retraining reads position i - 1 for layer i: another network of similar cost.
    rotated = numbered(space, (FOUND[-1], *FOUND[:-1]))
    assert outputs(space.decode(rotated))[:4] == [31, 60, 81, 51]
    assert round(cost(space.decode(rotated)).flops / 1e6, 1) == 311.7  # [source]


def test_mobilenet_v2_ties_the_blocks_of_a_stage() -> None:
    space = MetaPruning("mobilenet-v2")
    names = [position.name for position in space.positions]
    assert names[:8] == ["stem", *(f"stage{n}" for n in range(1, 8))]
    assert names[8:] == [f"block{n}.mid" for n in range(1, 18)]
    percents = {name: PERCENTS[number] for number, name in enumerate(names)}
    spec = space.decode(space.architecture(percents))
    stages = [0, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7]
    widths = [base * PERCENTS[s] // 100 for base, s in zip(V2_CHANNELS, stages, strict=True)]
    assert outputs(spec) == [*widths, 1280]
    blocks = [block for block in spec.blocks if isinstance(block, InvertedResidualSpec)]
    for number, (block, base) in enumerate(zip(blocks, V2_CHANNELS, strict=False), start=1):
        expansion = base * (6 if number > 1 else 1)
        assert block.mid_channels == expansion * percents[f"block{number}.mid"] // 100
        is_tied = stages[number] == stages[number - 1]
        assert block.shortcut == ("identity" if is_tied else "none")
    assert [n for n, block in enumerate(blocks, start=1) if block.stride == 2] == [2, 4, 7, 14]


def test_numbers_that_are_equal_by_chance_add_no_shortcut() -> None:
    # 67 % of 132 are 88 channels; the authors' retraining would add a shortcut to block 11.
    space = MetaPruning("mobilenet-v2")
    whole = dict(space.largest().choices)
    spec = space.decode(space.architecture({**whole, "stage5": 67}))
    block = spec.blocks[spec.block_names.index("block11")]
    assert block == InvertedResidualSpec(88, 88, 1, 14, "none", mid_channels=6 * 88)


def test_resnet_50_ties_stages_and_keeps_the_last_whole() -> None:
    space = MetaPruning("resnet-50")
    names = [position.name for position in space.positions]
    assert names == ["stem", "stage1", "stage2", "stage3", *(f"block{n}.mid" for n in range(1, 17))]
    # The vector in the authors' code [source].
    ids = (19, 9, 15, 13, 10, 9, 10, 6, 9, 13, 11, 12, 7, 18, 7, 13, 12, 10, 19, 18)
    spec = space.decode(numbered(space, ids))
    stages = [9] * 3 + [15] * 4 + [13] * 6 + [30] * 3
    expected = zip(RESNET_CHANNELS[1:], stages, strict=True)
    assert outputs(spec)[1:] == [base * PERCENTS[number] // 100 for base, number in expected]
    blocks = [block for block in spec.blocks if isinstance(block, ResidualBottleneckSpec)]
    expected = zip(RESNET_CHANNELS[1:], ids[4:], strict=True)
    assert [b.mid_channels for b in blocks] == [
        base // 4 * PERCENTS[number] // 100 for base, number in expected
    ]
    assert [n for n, b in enumerate(blocks, start=1) if b.shortcut == "conv"] == [1, 4, 8, 14]
    assert [n for n, b in enumerate(blocks, start=1) if b.stride == 2] == [4, 8, 14]


# Costs


@pytest.mark.parametrize(
    ("network", "weights"),
    [("mobilenet-v1", 3.19e6), ("mobilenet-v2", 3.99e6), ("resnet-50", 23.5e6)],
)
def test_weights_that_the_authors_networks_generate(network: str, weights: float) -> None:
    assert convolutions(full(network)) == pytest.approx(weights, rel=0.002)  # [source], rounded


def test_full_mobilenet_v1() -> None:
    spec, size = full("mobilenet-v1"), 112
    flops, weights = 3 * 32 * 9 * 112**2, 3 * 32 * 9
    for number, (before, after) in enumerate(zip(V1_CHANNELS, V1_CHANNELS[1:], strict=False)):
        size //= 2 if number in (1, 3, 5, 11) else 1
        flops += (9 * before + before * after) * size**2
        weights += 9 * before + before * after
    assert size == 7 and weights == convolutions(spec)
    assert cost(spec).flops == flops + 1024 * 1000 == 568_740_352  # 568.7 M [source]
    # Norms: the stem's, and two a block, of its input's and of its output's channels.
    norms = 2 * (32 + sum(V1_CHANNELS[:-1]) + sum(V1_CHANNELS[1:]))
    assert cost(spec).parameters == weights + norms + 1024 * 1000 + 1000 == 4_231_976
    assert cost(spec).bops == cost(spec).binary_parameters == 0


def test_full_resnet_50_is_torchvisions() -> None:
    from torchvision.models import ResNet50_Weights, resnet50

    with torch.device("meta"):
        theirs = resnet50()
    spec = full("resnet-50")
    assert cost(spec).parameters == sum(p.numel() for p in theirs.parameters()) == 25_557_032
    assert round(cost(spec).flops / 1e9, 3) == ResNet50_Weights.DEFAULT.meta["_ops"] == 4.089
    with torch.device("meta"):
        own = [p.shape for p in build(spec).parameters() if p.ndim == 4]
    assert sorted(own) == sorted(p.shape for p in theirs.parameters() if p.ndim == 4)


def test_full_mobilenet_v2_is_torchvisions_but_for_its_ends() -> None:
    from torchvision.models import MobileNetV2

    # (expansion, channels, repeats, stride); at 11/8 of a width: 16 -> 22, 24 -> 33, 163 -> 224.
    setting = [
        [1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1],
        [6, 163, 3, 2], [6, 326, 1, 1],
    ]  # fmt: skip
    with torch.device("meta"):
        theirs = MobileNetV2(width_mult=1.375, inverted_residual_setting=setting, round_nearest=1)
        own = build(full("mobilenet-v2"))
    # Theirs has no expansion in the first block, and ends in more channels.
    shapes = [p.shape for p in theirs.features[:-1].parameters()]
    expansion = [torch.Size((44, 44, 1, 1)), *[torch.Size((44,))] * 2]
    body = [p.shape for name, p in own.named_parameters() if not name.startswith(("last", "head"))]
    assert sorted(body) == sorted(shapes + expansion)


@pytest.mark.parametrize("network", PRUNED)
def test_analytic_equals_module(network: str) -> None:
    space, rng = small(network), random.Random(1)
    for architecture in (space.largest(), space.sample(rng)):
        spec = space.decode(architecture)
        assert measure(build(spec)) == cost(spec)


# The networks


@pytest.mark.parametrize("network", PRUNED)
def test_names_of_layers_are_those_of_parameters_and_all_are_trained(network: str) -> None:
    torch.manual_seed(0)
    space = small(network)
    spec = space.decode(space.sample(random.Random(0)))
    built = build(spec)
    parameters = dict(built.named_parameters())
    assert {key.rpartition(".")[0] for key in parameters} == {key for key, _ in spec.layers()}
    built(images()).square().sum().backward()
    for key, parameter in parameters.items():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(PRUNED), st.integers(0, 10**6))
def test_every_architecture_is_a_network(network: str, seed: int) -> None:
    space = small(network)
    architecture = space.sample(random.Random(seed))
    spec = space.decode(architecture)
    assert space.architecture(json.loads(json.dumps(dict(architecture)))) == architecture
    assert build(spec).eval()(images(1)).shape == (1, 4)
    for before, after in zip(spec.blocks, spec.blocks[1:], strict=False):
        if not isinstance(before, PoolSpec) and not isinstance(after, PoolSpec):
            assert (after.in_channels, after.in_size) == (before.out_channels, before.out_size)
    wider = space.decode(space.largest())
    assert cost(spec).flops <= cost(wider).flops and cost(spec).parameters <= cost(wider).parameters


def by_hand(module: torch.nn.Module, x: torch.Tensor, ends: list[float]) -> torch.Tensor:
    for step, end in zip(module.steps, ends, strict=True):
        x = step.norm(step.conv(x)).clamp(0, end) if end else step.norm(step.conv(x))
    return x


def test_blocks_compute_what_they_say() -> None:
    torch.manual_seed(0)
    x, inf = 9 * torch.randn(2, 8, 5, 5), float("inf")
    chain = build_block(SeparableSpec(8, 6, 2, 5)).eval()
    assert torch.equal(chain(x), by_hand(chain, x, [inf, inf])) and chain(x).shape[2:] == (3, 3)
    chain = build_block(InvertedResidualSpec(8, 8, 1, 5, "identity", mid_channels=5)).eval()
    assert torch.equal(chain(x), by_hand(chain, x, [6, 6, 0]) + x)
    assert chain.steps[0](x).max() == 6 and (chain(x) < 0).any()
    chain = build_block(InvertedResidualSpec(8, 8, 1, 5, "none", mid_channels=5)).eval()
    assert torch.equal(chain(x), by_hand(chain, x, [6, 6, 0]))
    chain = build_block(ResidualBottleneckSpec(8, 12, 2, 5, "conv", mid_channels=3)).eval()
    added = chain.shortcut.norm(chain.shortcut.conv(x))
    assert torch.equal(chain(x), (by_hand(chain, x, [inf, inf, 0]) + added).clamp(0))
    # The stride is the 3x3 convolution's.
    assert [step.conv.stride for step in chain.steps] == [(1, 1), (2, 2), (1, 1)]


def test_an_identity_keeps_channels_and_size() -> None:
    with pytest.raises(ValueError, match="cannot turn 8 channels into 9 with stride 1"):
        SeparableSpec(8, 9, 1, 5, "identity")


@pytest.mark.parametrize(
    ("network", "refused"),
    [
        ("mobilenet-v1", r"'block1' \(SeparableSpec\)"),
        ("mobilenet-v2", r"'stem' \(ClippedConvSpec\)"),
        ("resnet-50", r"'block1' \(ResidualBottleneckSpec\)"),
    ],
)
def test_packing_is_refused_by_the_first_block(network: str, refused: str) -> None:
    space = small(network)
    with pytest.raises(UserError, match=f"block {refused}: there is no packed operation for it"):
        lower(build(space.decode(space.first())).eval())


# The space


@pytest.mark.parametrize("network", PRUNED)
def test_descriptions_and_files_round_trip(network: str, tmp_path) -> None:
    for space in (small(network), MetaPruning(network)):
        assert space_from_description(space.describe()) == space
        assert space_from_description(json.loads(json.dumps(space.describe()))) == space
        architecture = space.sample(random.Random(3))
        save_architecture(tmp_path / "a.json", space, architecture)
        found, loaded, document = load_architecture(tmp_path / "a.json")
        assert (found, loaded, loaded.id) == (space, architecture, architecture.id)
        assert found.decode(loaded) == space.decode(architecture)
        assert set(map(type, document["choices"].values())) == {int}


@pytest.mark.parametrize("network", PRUNED)
def test_alternatives_of_a_block_are_all_combinations(network: str) -> None:
    space, rng = small(network, (50, 100)), random.Random(0)
    candidates = space.block_candidates()
    seen: dict[str, set] = {name: set() for name in candidates}
    for _ in range(300):  # of at most 2^3 combinations a block
        spec = space.decode(space.sample(rng))
        for name, block in zip(spec.block_names, spec.blocks, strict=True):
            seen[name].add(block)
    assert {name: set(specs) for name, specs in candidates.items()} == seen
    assert all(len(specs) == len(set(specs)) for specs in candidates.values())
    expected = {"mobilenet-v1": 4, "mobilenet-v2": 8, "resnet-50": 8}[network]
    assert max(map(len, candidates.values())) == expected
    assert num_graphs([block for specs in candidates.values() for block in specs]) == 0


def test_alternatives_that_are_too_many_are_refused() -> None:
    # The stem 31, twelve blocks of two positions, the last block 31, the head 1.
    assert 31 + 12 * 31**2 + 31 + 1 == 11_595
    with pytest.raises(UserError, match="31 percents make 11,595 different blocks, more than the"):
        MetaPruning().block_candidates()
    assert len(MetaPruning(percents=PERCENTS[::2]).block_candidates()["block1"]) == 16**2


def test_largest_and_uniform() -> None:
    space = small("mobilenet-v1", (100, 25, 60))
    assert set(space.largest().values()) == {100}
    # The general rule: the choice of most parameters, position by position.
    assert super(MetaPruning, space).largest() == space.largest()
    names = list(space.uniform_architectures())
    assert names == ["uniform 100%", "uniform 25%", "uniform 60%"]
    # Half the channels make a quarter of a 1x1 convolution's products, half of a depthwise one's.
    whole, half = (cost(MetaPruning(width=w).decode(MetaPruning().largest())) for w in (1.0, 0.5))
    assert 0.25 < half.flops / whole.flops < 0.5


def test_a_supernet_holds_every_alternative() -> None:
    torch.manual_seed(0)
    space = small("mobilenet-v1", (50, 100))
    supernet = Supernet(space).eval()
    architecture = space.sample(random.Random(0))
    subnet = supernet.extract(architecture)
    assert torch.equal(subnet(images()), supernet(images(), architecture))
    assert isinstance(subnet.spec.blocks[-1], HeadSpec)
    assert not [name for name, _ in supernet.named_parameters() if ".norm." in name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "mobilenet-v3"}, "expected 'mobilenet-v1', 'mobilenet-v2'"),
        ({"classes": 0}, "classes is 0; expected a whole number above 0"),
        ({"width": 0.0}, "width is 0.0; expected a finite number above 0"),
        ({"width": 0.01}, "width 0.01 leaves block 'stem' without channels"),
        ({"width": 0.25}, "10 percent of the 8 channels at 'stem' leaves none"),
        ({"percents": []}, "percents must be distinct whole numbers from 1 to 100"),
        ({"percents": [50, 50]}, "percents must be distinct"),
        ({"percents": [50, 101]}, "percents must be distinct"),
        ({"percents": [0.5]}, "percents.0 is 0.5: expected a whole number"),
        ({"stem": "tiny"}, "stem is 'tiny': expected 'published' or 'small'"),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        space_from_description({"name": "metapruning", **options})
