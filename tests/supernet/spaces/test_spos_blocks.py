"""Single Path One-Shot's space: published counts, shuffle blocks, supernet of whole blocks."""

import random
from collections import Counter

import pytest
import torch
from torch.nn import functional as F

from supernet import Supernet, build
from supernet.architecture import Architecture
from supernet.blocks.building import build_block
from supernet.blocks.shuffle import ShuffleBlock
from supernet.costs import Costs, cost
from supernet.files import UserError
from supernet.network import compile_units
from supernet.spaces import space_from_description
from supernet.spaces.spos_blocks import CHOICES, SposBlocks
from supernet.spec import NormSpec, ShuffleBlockSpec
from supernet.verify import measure, verify
from training.compilation import decide, find_compiler, num_graphs

PUBLISHED = (2, 1, 0, 1, 2, 0, 2, 0, 2, 0, 2, 3, 0, 0, 0, 0, 3, 2, 3, 3)
WINNER = (0, 0, 3, 1, 1, 1, 0, 0, 2, 0, 2, 1, 1, 0, 2, 0, 2, 1, 3, 2)
SCALES = tuple(
    (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)[number]
    for number in (6, 5, 3, 5, 2, 6, 3, 4, 2, 5, 7, 5, 4, 6, 7, 4, 4, 5, 4, 3)
)


@pytest.fixture
def space() -> SposBlocks:
    """Four blocks, 4^4 = 256 architectures, 16x16 grey images of four classes."""
    return SposBlocks(
        image_size=16, classes=4, in_channels=1, stem_channels=4, stem_stride=1,
        stages=((8, 2), (16, 2)), last_channels=12,
    )  # fmt: skip


def numbered(space: SposBlocks, numbers: tuple[int, ...]) -> Architecture:
    positions = zip(space.positions, numbers, strict=True)
    return space.architecture({position.name: CHOICES[number] for position, number in positions})


def images(count: int = 6) -> torch.Tensor:
    return torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(
    ("numbers", "scales", "flops", "parameters"),
    [
        (PUBLISHED, (), 322.919e6, 3.558e6),
        (WINNER, (), 318.729e6, 3.345e6),
        (WINNER, SCALES, 327.858e6, 3.433e6),
    ],
)
def test_published_architectures(numbers, scales, flops, parameters) -> None:
    space = SposBlocks(mid_scales=scales)
    found = cost(space.decode(numbered(space, numbers)))
    # Published in thousands.
    assert (round(found.flops, -3), round(found.parameters, -3)) == (flops, parameters)
    assert found.ops == found.flops and found.bops == found.binary_parameters == 0
    assert found.bits == 32 * found.parameters


def test_the_space_has_the_papers_size_and_costs() -> None:
    space, rng = SposBlocks(), random.Random(0)
    assert space.size == 4**20 == 1_099_511_627_776
    flops = [cost(space.decode(space.sample(rng))).flops / 1e6 for _ in range(500)]
    # Of 20,000 draws: mean 327.1, deviation 11.8, from 278 to 374, 58.9 % of them at most 330.
    assert sum(flops) / 500 == pytest.approx(327.1, abs=1.6)  # 3 x 11.8 / sqrt(500)
    assert 270 < min(flops) and max(flops) < 380
    assert sum(value <= 330 for value in flops) / 500 == pytest.approx(0.589, abs=0.07)


def test_first_block_at_224() -> None:
    # 16 channels on 112^2 become 64 on 56^2, 32 inside: 16 by the projection, 48 by the branch.
    space = SposBlocks()
    block = space.decode(numbered(space, (0,) * 20)).blocks[1]
    assert block == ShuffleBlockSpec(16, 32, 64, 3, 2, 112)
    convs = {layer.name: cost_of(block, layer.name) for layer in block.layers()}
    assert convs["projection.0.conv"] == 16 * 9 * 56**2
    assert convs["projection.1.conv"] == 16 * 16 * 56**2
    assert convs["main.0.conv"] == 16 * 32 * 112**2
    assert convs["main.1.conv"] == 32 * 9 * 56**2
    assert convs["main.2.conv"] == 32 * 48 * 56**2


def cost_of(block: ShuffleBlockSpec, name: str) -> int:
    from supernet.costs import layer_cost

    return sum((layer_cost(layer) for layer in block.layers() if layer.name == name), Costs()).flops


def test_small_images() -> None:
    # 32 pixels a side through the stem, then halved four times.
    space = SposBlocks(image_size=32, classes=10, stem_stride=1)
    spec = space.decode(space.first())
    assert [b.in_size for b in spec.blocks if isinstance(b, ShuffleBlockSpec)] == (
        [32, *[16] * 4, *[8] * 4, *[4] * 8, *[2] * 3]
    )
    assert verify(spec) == cost(spec).as_dict()


def test_analytic_equals_module(space: SposBlocks) -> None:
    rng = random.Random(1)
    for one in (*space.uniform_architectures().values(), space.sample(rng)):
        spec = space.decode(one)
        assert measure(build(spec)) == cost(spec)


def test_names_of_layers_are_those_of_parameters_and_all_are_trained(space: SposBlocks) -> None:
    torch.manual_seed(0)
    spec = space.decode(numbered(space, (0, 3, 2, 1)))
    network = build(spec)
    parameters = dict(network.named_parameters())
    assert {key.rpartition(".")[0] for key in parameters} == {key for key, _ in spec.layers()}
    network(images()).square().sum().backward()
    for key, parameter in parameters.items():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


def test_a_block_of_stride_1_passes_every_other_channel() -> None:
    torch.manual_seed(0)
    block = build_block(ShuffleBlockSpec(8, 4, 8, 5, 1, 6)).eval()
    x = torch.randn(2, 8, 6, 6)
    y = block(x)
    assert torch.equal(y[:, :4], x[:, [0, 2, 4, 6]])
    changed = x.clone()
    changed[:, [0, 2, 4, 6]] += 1  # the branch does not see what passes
    assert torch.equal(block(changed)[:, 4:], y[:, 4:])


@pytest.mark.parametrize("xception", [False, True])
@pytest.mark.parametrize(("stride", "out_channels"), [(1, 8), (2, 20)])
def test_steps_of_a_block(xception: bool, stride: int, out_channels: int) -> None:
    """The rows of the paper's blocks: kernel, stride, inputs, outputs, groups, ReLU."""
    block = ShuffleBlockSpec(8, 10, out_channels, 3, stride, 7, xception)
    read = {1: 4, 2: 8}[stride]
    made = out_channels - read
    shuffle = [
        (1, 1, read, 10, 1, True),
        (3, stride, 10, 10, 10, False),
        (1, 1, 10, made, 1, True),
    ]
    of_xception = [
        (3, stride, read, read, read, False),
        (1, 1, read, 10, 1, True),
        (3, 1, 10, 10, 10, False),
        (1, 1, 10, 10, 1, True),
        (3, 1, 10, 10, 10, False),
        (1, 1, 10, made, 1, True),
    ]
    projection = [(3, 2, 8, 8, 8, False), (1, 1, 8, 8, 1, True)] if stride == 2 else []

    def rows(steps):
        return [
            (c.kernel_size, c.stride, c.in_channels, c.out_channels, c.groups, relu)
            for step in steps
            for c, relu in [(step.conv, step.rectifier == "relu")]
        ]

    assert rows(block.main) == (of_xception if xception else shuffle)
    assert rows(block.projection) == projection
    module = build_block(block)
    # An odd side rounds up: 7 -> 4.
    assert module(torch.randn(2, 8, 7, 7)).shape == (
        2,
        out_channels,
        *[7 if stride == 1 else 4] * 2,
    )
    assert block.out_size == (7 if stride == 1 else 4)


def test_path_equals_extracted_subnet_bit_for_bit(space: SposBlocks) -> None:
    torch.manual_seed(0)
    supernet, rng = Supernet(space), random.Random(0)
    for _ in range(3):
        for is_training in (True, False):
            supernet.train(is_training)
            architecture = space.sample(rng)
            subnet = supernet.extract(architecture)
            assert subnet.training == is_training
            assert torch.equal(subnet(images()), supernet(images(), architecture))
    built = build(space.decode(architecture)).state_dict()
    assert {name: t.shape for name, t in subnet.state_dict().items()} == {
        name: t.shape for name, t in built.items()
    }


def test_norms_have_factor_and_shift_outside_the_supernet_alone(space: SposBlocks) -> None:
    supernet = Supernet(space)
    assert not [name for name, _ in supernet.named_parameters() if ".norm." in name]
    subnet = supernet.extract(space.first())
    norms = [name for name, layer in subnet.spec.layers() if isinstance(layer, NormSpec)]
    parameters = dict(subnet.named_parameters())
    assert len(norms) == 18  # stem, 5 + 3 a stage of two blocks, last convolution
    for name in norms:
        assert (parameters[f"{name}.weight"] == 1).all()
        assert (parameters[f"{name}.bias"] == 0).all()


def test_extracting_copies(space: SposBlocks) -> None:
    supernet = Supernet(space)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    with torch.no_grad():
        for tensor in supernet.extract(space.first()).state_dict().values():
            tensor.zero_()
    assert all(torch.equal(before[name], t) for name, t in supernet.state_dict().items())


def test_every_choice_is_reachable_trained_and_alone(space: SposBlocks) -> None:
    """With momentum and weight decay: a None gradient moves nothing."""
    torch.manual_seed(0)
    supernet, labels = Supernet(space), torch.arange(6) % 4
    optimiser = torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    seen: Counter[str] = Counter()

    def step(architecture: Architecture) -> set[str]:
        before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(supernet(images(), architecture), labels).backward()
        optimiser.step()
        return {n for n, p in supernet.named_parameters() if not torch.equal(p, before[n])}

    for number in (0, 1, 2, 3, 0):
        moved = step(numbered(space, (number,) * 4))
        own = {name for name in dict(supernet.named_parameters()) if f".{number}." in name}
        choices = {name.split(".candidates.")[1][0] for name in moved if ".candidates." in name}
        assert choices == {str(number)} and own
        seen.update(moved)
    assert set(seen) == set(dict(supernet.named_parameters()))


def test_nested_sharing_is_refused(space: SposBlocks) -> None:
    with pytest.raises(
        UserError, match="block 'block1' of space 'spos-blocks' is a choice of whol"
    ):
        Supernet(space, "nested")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler's own imports warn
@pytest.mark.skipif(find_compiler() is None, reason="torch.compile needs a C++ compiler")
def test_compiling_leaves_the_blocks_alone(space: SposBlocks) -> None:
    supernet = Supernet(space)
    before = supernet(images(), space.first())
    supernet.compile_units()
    compile_units(supernet.extract(space.first()))
    blocks = [one for one in supernet.modules() if isinstance(one, ShuffleBlock)]
    assert blocks and all(one._compiled_call_impl is None for one in blocks)
    torch.testing.assert_close(supernet(images(), space.first()), before)
    candidates = [block for blocks in space.block_candidates().values() for block in blocks]
    made = decide("auto", torch.device("cpu"), num_graphs(candidates), 10**6, lambda: 1.0)
    assert not made.compile and "no binary units" in made.reason


def test_descriptions_round_trip(space: SposBlocks) -> None:
    for one in (space, SposBlocks(), SposBlocks(mid_scales=SCALES)):
        assert space_from_description(one.describe()) == one


def test_one_candidate_a_choice(space: SposBlocks) -> None:
    assert [len(specs) for specs in space.block_candidates().values()] == [1, 4, 4, 4, 4, 1, 1]
    assert list(space.uniform_architectures()) == [f"uniform {choice}" for choice in CHOICES]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size is 0; expected a whole number above 0"),
        ({"stem_stride": 3}, "stem_stride must be 1 or 2"),
        ({"stages": []}, "stages must hold at least one stage"),
        ({"stages": [[16, 1]]}, "stage 1 has 16 channels and 1 blocks; expected .* above 16"),
        ({"stages": [[64, 4], [65, 1]]}, "stage 2 has 65 channels"),
        ({"stages": [[64, 0]]}, "stage 1 has 64 channels and 0 blocks"),
        ({"mid_scales": [1.0]}, "mid_scales has 1 numbers; expected none, or 20"),
        ({"mid_scales": [0.01] * 20}, "mid_scales: 0.01 of 32 channels"),
        ({"width": 0.5}, "has no option 'width'"),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        space_from_description({"name": "spos-blocks", **options})
