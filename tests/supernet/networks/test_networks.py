"""Published networks: counts that papers and their code give, and the built modules."""

import pytest
import torch

from supernet.binarization import Binarization
from supernet.blocks.building import build_block, set_precision
from supernet.costs import Costs, cost
from supernet.files import UserError
from supernet.layers.rsign import RSign
from supernet.network import build
from supernet.networks import network_spec
from supernet.spec import BinaryUnitSpec, BottleneckSpec, NormSpec, StemSpec
from supernet.verify import verify
from tests.published_networks import EACH

DOUBLING = 128_450_560  # multiply-adds of the five doubling blocks' 1x1 convolutions


def costs(name: str, **options: object) -> Costs:
    return cost(network_spec(name, **options))


def test_reactnet_a_has_its_official_counts() -> None:
    found = costs("reactnet-a")
    assert found.ops == 87_126_016
    assert (found.flops, found.bops) == (11_862_016, 4_816_896_000)
    assert (found.parameters, found.binary_parameters) == (29_343_592, 28_253_184)
    assert costs("reactnet-a", classes=10).parameters == 28_328_842
    assert costs("reactnet-a", classes=100).parameters == 28_421_092
    assert round(found.bits / 8 / 1e6, 3) == 7.893


def test_reactnet_b_and_c_count_their_doubling_convolutions_as_real() -> None:
    a, b, c = (costs(f"reactnet-{letter}") for letter in "abc")
    for found, groups in ((b, 4), (c, 1)):
        assert found.bops == a.bops - DOUBLING
        assert found.flops == a.flops + DOUBLING // groups
    assert b.ops == 43_974_656 + 4_688_445_440 // 64 == 117_231_616
    assert c.ops == 140_312_576 + 4_688_445_440 // 64 == 213_569_536
    # The same weights in C as in A, of which 2 C^2 a doubling block are real.
    assert c.parameters == a.parameters
    real = sum(2 * channels**2 for channels in (32, 64, 128, 256, 512))
    assert c.binary_parameters == b.binary_parameters == a.binary_parameters - real
    assert b.parameters == a.parameters - real * 3 // 4


@pytest.mark.parametrize(
    ("name", "parameters", "classes"),
    [
        ("react-resnet-18", 11_704_424, 1000),
        ("react-resnet-18", 11_196_554, 10),
        ("react-resnet-18", 11_242_724, 100),
        ("bireal-18", 11_689_512, 1000),
        ("bireal-18", 11_181_642, 10),
        ("bireal-18", 11_227_812, 100),
    ],
)
def test_official_parameters(name: str, parameters: int, classes: int) -> None:
    assert costs(name, classes=classes).parameters == parameters


@pytest.mark.parametrize("name", ["bireal-18", "react-resnet-18"])
def test_bireal_18_has_its_official_counts(name: str) -> None:
    found = costs(name)
    assert found.bops == 1_676_279_808
    assert found.flops == 118_013_952 + 19_267_584 + 512_000 == 137_793_536
    assert found.ops == 163_985_408
    assert found.binary_parameters == 10_985_472
    if name == "bireal-18":
        assert found.bits == 10_985_472 + 704_040 * 32


def test_bireal_34_adds_sixteen_convolutions_to_18() -> None:
    # 2, 4, 8, 2 more units of 64, 128, 256, 512 channels, each with 9 C^2 weights on a map that
    # quarters as C doubles: 9 * 64^2 * 56^2 multiply-adds in every stage.
    a, b = costs("bireal-18"), costs("bireal-34")
    assert b.bops - a.bops == 16 * 9 * 64**2 * 56**2
    assert b.flops == a.flops
    weights = sum(9 * n * c * c for n, c in ((2, 64), (4, 128), (8, 256), (2, 512)))
    assert b.binary_parameters - a.binary_parameters == weights


def test_images_of_32_pixels() -> None:
    a = costs("reactnet-a", image_size=32)
    assert a.bops == 98_304_000 and a.flops == 221_184 + 1_024_000
    assert costs("bireal-18", image_size=32).bops == 34_209_792
    assert costs("bireal-18", image_size=32, stem="small").bops == 547_356_672


def test_binarynet_has_bops_counts() -> None:
    found = costs("binarynet")
    assert found.parameters == 10_355_850 and found.binary_parameters == 10_352_000
    assert found.flops == 3 * 128 * 9 * 30 * 30  # the first layer reads the real image


@pytest.mark.parametrize(
    ("name", "published"), [("binary-alexnet", 61_859_192), ("xnor-net", 62_396_768)]
)
def test_alexnets_have_larq_zoos_parameters(name: str, published: int) -> None:
    # Keras counts the running mean and variance of each BatchNorm as parameters.
    spec = network_spec(name)
    channels = sum(layer.channels for _, layer in spec.layers() if isinstance(layer, NormSpec))
    assert cost(spec).parameters + 2 * channels == published


def test_which_layers_of_the_alexnets_are_binary() -> None:
    alexnet, xnor = costs("binary-alexnet"), costs("xnor-net")
    assert alexnet.binary_parameters == 61_827_776 == alexnet.parameters - 10_472
    assert xnor.binary_parameters == 62_367_776 - 96 * 3 * 121 - 4_096_000
    assert xnor.flops == 96 * 3 * 121 * 56**2 + 4_096_000
    assert alexnet.flops == 64 * 3 * 121 * 56**2


@pytest.mark.parametrize("name", EACH)
def test_analytic_equals_module(name: str) -> None:
    size = 64 if name in ("binary-alexnet", "xnor-net") else 32
    spec = network_spec(name, image_size=size, classes=10)
    assert verify(spec) == cost(spec).as_dict()


@pytest.mark.parametrize("name", EACH)
def test_names_of_layers_are_those_of_parameters_and_all_are_trained(name: str) -> None:
    size = 64 if name in ("binary-alexnet", "xnor-net") else 32
    spec = network_spec(name, image_size=size, classes=3)
    network = build(spec)
    parameters = dict(network.named_parameters())
    assert {key.rpartition(".")[0] for key in parameters} == {key for key, _ in spec.layers()}
    torch.manual_seed(0)
    logits = network(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    for key, parameter in parameters.items():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


def test_a_doubling_unit_is_two_convolutions_of_one_rsign() -> None:
    torch.manual_seed(0)
    spec = network_spec("reactnet-a", image_size=32).blocks[2]
    assert isinstance(spec, BinaryUnitSpec) and spec.shortcut == "duplicate"
    from supernet.blocks.binary_unit import BinaryUnit
    from supernet.layers.binary_conv import binary_conv2d

    unit = BinaryUnit.from_spec(spec).eval()
    assert unit.sign is not None
    torch.nn.init.normal_(unit.sign.beta)
    torch.nn.init.normal_(unit.norm.bias)
    u = torch.randn(2, 32, 4, 4)
    t = unit.sign(u)
    halves = []
    for half in (slice(0, 32), slice(32, 64)):
        y = binary_conv2d(t, unit.conv.weight[half], 1, 0, 1)
        norm = unit.norm.bias[half].view(1, -1, 1, 1) + y / (1 + unit.norm.eps) ** 0.5
        halves.append(norm + u)
    expected = unit.activation(torch.cat(halves, 1))
    assert torch.allclose(unit(u), expected, atol=1e-5)


@pytest.mark.parametrize("sharing", ["independent", "nested"])
def test_choices_of_a_unit_share_one_rsign(sharing: str) -> None:
    from supernet.sharing.nested import BinaryUnitChoices

    specs = tuple(
        BinaryUnitSpec(8, 8, 3, 1, groups, 4, "identity", "rprelu", rsign=True) for groups in (1, 2)
    )
    choices = BinaryUnitChoices(specs, sharing)
    units = [choices.path(spec, Binarization()) for spec in specs]
    assert units[0].sign is units[1].sign is choices.sign
    for unit in units:
        choices.zero_grad()
        unit(torch.randn(2, 8, 4, 4)).square().sum().backward()
        assert choices.sign.beta.grad.abs().sum() > 0


def test_exact_precision_leaves_a_unit_with_rsign_as_it_is() -> None:
    torch.manual_seed(0)
    network = build(network_spec("reactnet-a", image_size=32, classes=3)).eval()
    for module in network.modules():
        if isinstance(module, RSign):
            torch.nn.init.normal_(module.beta, std=0.1)
    x = torch.randn(2, 3, 32, 32)
    expected = network.stem(x)
    unit = network.block1_spatial  # 32 x 9 = 288 products; its 1x1 convolution has 32
    expected = network.block1_pointwise(unit(expected))
    set_precision(network, "exact")
    assert network.block1_pointwise.conv.input_dtype == torch.bfloat16
    found = network.block1_pointwise(unit(network.stem(x)))
    assert torch.allclose(found, expected, atol=1e-6)


def test_bf16_precision_rounds_the_stem_and_exact_leaves_it() -> None:
    from supernet.network import stand_alone_copy

    torch.manual_seed(0)
    network = build(network_spec("bireal-18", image_size=32, classes=3))
    x = torch.randn(4, 3, 32, 32)
    expected = network.stem(x)
    set_precision(network, "exact")
    assert torch.equal(network.stem(x), expected)
    set_precision(network, "bf16")
    found = network.stem(x)
    assert found.dtype == torch.float32 and not torch.equal(found, expected)
    # Images, weights and sums are each rounded by at most 2^-9 of themselves.
    assert (found - expected).norm() < 3 * 2**-9 * expected.norm()
    assert torch.equal(stand_alone_copy(network).stem(x), found)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler's own imports warn
def test_compiled_units_with_rsign_and_with_two_streams_agree_with_eager_ones() -> None:
    from training.compilation import find_compiler

    if find_compiler() is None:
        pytest.skip("torch.compile needs a C++ compiler, which is optional")
    from supernet.network import compile_units

    for block in (
        BinaryUnitSpec(8, 8, 3, 1, 1, 8, "identity", "rprelu", rsign=True),
        BottleneckSpec(32, 32, 1, 8),
        StemSpec(3, 8, 3, 1, 8),
    ):
        torch.manual_seed(0)
        module = build_block(block)
        for parameter in module.parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, std=0.3)
        x = torch.randn(2, block.in_channels, 8, 8)
        inputs = (torch.randn(2, 8, 8, 8), x) if isinstance(block, BottleneckSpec) else x
        results = []
        for _ in range(2):
            y = module(inputs)
            y = torch.cat(y, 1) if isinstance(y, tuple) else y
            gradients = torch.autograd.grad(y.square().sum(), list(module.parameters()))
            results.append((y.detach(), *gradients))
            compile_units(module)
        for eager, compiled in zip(*results, strict=True):
            assert torch.allclose(eager, compiled, rtol=1e-3, atol=1e-4)


def test_leaky_clip() -> None:
    from supernet.layers.binary_input import leaky_clip

    x = torch.tensor([-3.0, -1.0, -0.5, 0.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = leaky_clip(x)
    expected = torch.tensor([-1 + 0.1 * -2, -1, -0.5, 0, 1, 1 + 0.1], dtype=torch.float64)
    assert torch.allclose(y, expected)
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx([0.1, 0.1, 1, 1, 0.1, 0.1])


def test_bottlenecks_of_bireal_50_are_those_of_its_repository() -> None:
    spec = network_spec("bireal-50")
    blocks = [block for block in spec.blocks if isinstance(block, BottleneckSpec)]
    assert [block.out_channels for block in blocks].count(1024) == 6 and len(blocks) == 16
    # conv1 + conv2 + conv3 of each block; the first block's conv1 is real.
    weights = sum(b.in_channels * b.mid_channels + 13 * b.mid_channels**2 for b in blocks)
    assert cost(spec).binary_parameters == weights - 64 * 64
    assert (
        len([b for b in network_spec("bireal-152").blocks if isinstance(b, BottleneckSpec)]) == 50
    )


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"name": "bireal-19"}, "no network 'bireal-19'; did you mean 'bireal-18'"),
        ({"name": "bireal-18", "image_size": 0}, "image_size is 0; expected a whole number"),
        ({"name": "bireal-18", "stem": "tiny"}, "no stem 'tiny'; there are published, small"),
        ({"name": "binarynet", "stem": "small"}, "no stem but its published one"),
        ({"name": "binary-alexnet", "image_size": 32}, "images of 32 pixels: a map of"),
        ({"name": "binarynet", "image_size": 2}, "too small"),
    ],
)
def test_wrong_requests_are_refused(options: dict, part: str) -> None:
    with pytest.raises(UserError, match=part):
        network_spec(**options)
