"""How binary convolutions are made, as a setting: arithmetic, sharing, names, compiled units."""

import json
import random

import pytest
import torch
from pydantic import BaseModel, ValidationError
from torch.nn import functional as F

from supernet import Supernet
from supernet.binarization import Binarization
from supernet.blocks.binary_unit import BinaryUnit, compute_unit
from supernet.blocks.building import build_block, set_binarization, set_precision
from supernet.files import UserError
from supernet.layers.binary_conv import BinaryConv2d, weight_scale
from supernet.layers.binary_input import BinaryInput
from supernet.layers.rsign import RSign
from supernet.layers.sign import ste_sign, swish_sign
from supernet.network import build
from supernet.networks import network_spec
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spec import BinaryLayerSpec, BinaryUnitSpec, BottleneckSpec
from tests.published_networks import EACH

REAL = Binarization(weights="real", activations="relu")
ODD = Binarization(
    sign="swish", weight_gradient="magnitude", scaled=False, pad_value=-1, sign_of_zero=0
)
SETTINGS = [
    Binarization(weights="real"),
    *(Binarization(activations=kind) for kind in ("relu", "leaky-clip", "clip", "identity")),
    REAL,
    ODD,
]
UNIT = BinaryUnitSpec(4, 4, 3, 1, 1, 5, "identity", "none")


def result(module: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output and the gradients of all parameters."""
    y = module(x)
    return [y.detach(), *torch.autograd.grad(y.square().sum(), list(module.parameters()))]


def assert_equal(left: list[torch.Tensor], right: list[torch.Tensor]) -> None:
    assert len(left) == len(right)
    assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("setting", [Binarization(), *SETTINGS])
def test_a_description_holds_what_differs_and_comes_back(setting: Binarization) -> None:
    text = json.dumps(setting.describe())
    assert Binarization.from_description(json.loads(text)) == setting
    assert Binarization().describe() == {}
    assert REAL.describe() == {"weights": "real", "activations": "relu"}
    assert setting.is_binary == (setting in (Binarization(), ODD))


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"wieghts": "real"}, "no field 'wieghts'; fields are weights, activations, sign"),
        ({"weights": "ternary"}, "weights is 'ternary': expected 'binary' or 'real'"),
        ({"pad_value": True}, "pad_value is True: expected -1, 0 or 1"),
        ({"sign_of_zero": "1"}, "sign_of_zero is '1': expected -1, 0 or 1"),
        ({"scaled": 1}, "scaled is 1: expected true or false"),
        ([], "expected an object"),
    ],
)
def test_wrong_descriptions_are_refused(description: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Binarization.from_description(description)


def test_a_model_that_holds_one_refuses_unknown_fields_by_name() -> None:
    class Stage(BaseModel):
        binarization: Binarization = Binarization()

    assert Stage(binarization={"weights": "real"}).binarization.weights == "real"
    with pytest.raises(ValidationError) as caught:
        Stage(binarization={"wieghts": "real"})
    assert caught.value.errors()[0]["loc"] == ("binarization", "wieghts")


@pytest.mark.parametrize(
    ("kind", "values", "slopes"),
    [
        ("relu", [0, 0, 0, 0, 0.5, 3], [0, 0, 0, 0, 1, 1]),
        # x <= -1: -1 + 0.1 (x + 1);  x >= 1: 1 + 0.1 (x - 1).
        ("leaky-clip", [-1 - 0.2, -1 - 0.1, -0.5, 0, 0.5, 1 + 0.2], [0.1, 0.1, 1, 1, 1, 0.1]),
        ("clip", [-1, -1, -0.5, 0, 0.5, 1], [0, 0, 1, 1, 1, 0]),
        ("identity", [-3, -2, -0.5, 0, 0.5, 3], [1] * 6),
    ],
)  # fmt: skip
def test_real_inputs(kind: str, values: list[float], slopes: list[float]) -> None:
    x = torch.tensor([-3, -2, -0.5, 0, 0.5, 3], dtype=torch.float64, requires_grad=True)
    y = BinaryInput(kind)(x)
    y.sum().backward()
    assert y.tolist() == pytest.approx(values) and x.grad.tolist() == pytest.approx(slopes)
    assert BinaryInput(kind)(x, torch.bfloat16).dtype == torch.bfloat16


def test_the_leaky_clip_s_slope_at_its_ends_is_the_outer_one() -> None:
    """[source] Bi-Real Net's Caffe layer: 1 where -1 < x < 1, else the slope."""
    x = torch.tensor([-1.0, -0.999, 0.999, 1.0], requires_grad=True)
    BinaryInput("leaky-clip")(x).sum().backward()
    assert x.grad.tolist() == pytest.approx([0.1, 1, 1, 0.1])


def test_an_rsign_takes_a_function_of_the_shifted_input() -> None:
    sign = RSign(2)
    with torch.no_grad():
        sign.beta.copy_(torch.tensor([0.5, -0.25]))
    x = torch.linspace(-2, 2, 14).view(1, 2, 7, 1)
    sign.set_binarization(Binarization(activations="clip"))
    assert torch.equal(sign(x), (x + sign.beta.view(1, 2, 1, 1)).clamp(-1, 1))
    own = RSign(2, surrogate="ste")
    for setting, surrogate in (
        (Binarization(sign="swish"), swish_sign),
        (Binarization(), ste_sign),
    ):
        own.set_binarization(setting)
        found, expected = (
            torch.autograd.grad(f(p).sum(), p)[0]
            for f, p in (
                (own, x.clone().requires_grad_()),
                (surrogate, x.clone().requires_grad_()),
            )
        )
        assert torch.equal(found, expected)


def test_real_weights_are_a_plain_convolution() -> None:
    torch.manual_seed(0)
    conv = BinaryConv2d(4, 6, 3, stride=2, padding=1, groups=2)
    torch.nn.init.normal_(conv.weight)  # many beyond 1, where the binary gradient is 0
    conv.set_binarization(REAL)
    x = torch.randn(2, 4, 7, 7)
    plain = conv.weight.detach().clone().requires_grad_()
    expected = F.conv2d(x, plain, None, 2, 1, 1, 2)
    y = conv(x)
    assert torch.equal(y, expected)
    y.square().sum().backward()
    expected.square().sum().backward()
    assert torch.equal(conv.weight.grad, plain.grad)
    low = conv(x.bfloat16())
    assert low.dtype == torch.float32
    operands = x.bfloat16(), plain.bfloat16()
    assert torch.equal(low, F.conv2d(*operands, None, 2, 1, 1, 2).float())


@pytest.mark.parametrize(
    ("rule", "gradient"),
    [
        ("clip", [1, 1, 0, 1]),
        ("magnitude", [0.75, 0.75, 0, 0.75]),
        ("straight", [1, 1, 1, 1]),
        (None, [1, 1, 0, 1]),
    ],
)
@pytest.mark.parametrize("scaled", [True, False])
def test_weight_gradients_by_the_setting(rule: str, gradient: list, scaled: bool) -> None:
    conv = BinaryConv2d(4, 1, 1)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([0.5, -0.25, 1.5, -0.75]).view(1, 4, 1, 1))
    conv.set_binarization(Binarization(weight_gradient=rule, scaled=scaled))
    # Four pixels, each with one channel of +1, show the four weights that are convolved.
    y = conv(torch.eye(4).view(1, 4, 4, 1))
    scale = 0.75 if scaled else 1
    assert y.flatten().tolist() == [scale, -scale, scale, -scale]
    y.sum().backward()
    assert conv.weight.grad.flatten().tolist() == gradient


@pytest.mark.parametrize("rsign", [False, True])
def test_a_unit_of_binary_weights_and_real_activations(rsign: bool) -> None:
    torch.manual_seed(0)
    unit = build_block(BinaryUnitSpec(4, 4, 3, 1, 2, 5, "identity", "none", rsign)).eval()
    beta = torch.randn(4) if rsign else torch.zeros(4)
    if rsign:
        unit.sign.beta.data.copy_(beta)
    set_binarization(unit, Binarization(activations="clip", pad_value=1))
    x = torch.randn(2, 4, 5, 5)
    weight = torch.where(unit.conv.weight >= 0, 1.0, -1.0) * weight_scale(unit.conv.weight)
    read = F.pad((x + beta.view(1, 4, 1, 1)).clamp(-1, 1), (1,) * 4, value=1.0)
    expected = unit.norm(F.conv2d(read, weight, None, 1, 0, 1, 2)) + x
    assert torch.allclose(unit(x), expected, atol=1e-6)


def test_exact_precision_is_fp32_where_an_operand_is_real() -> None:
    unit = build_block(UNIT)  # 36 products
    for precision, setting, is_low in (
        ("exact", ODD, True),
        ("exact", Binarization(weights="real"), False),
        ("exact", Binarization(activations="clip"), False),
        ("bf16", REAL, True),
        ("fp32", REAL, False),
    ):
        set_precision(unit, precision)
        set_binarization(unit, setting)
        assert (unit.conv.input_dtype == torch.bfloat16) == is_low


def test_a_layer_of_real_input_keeps_it() -> None:
    first = build_block(BinaryLayerSpec(3, 4, 3, 0, 6, input="real"))
    later = build_block(BinaryLayerSpec(3, 4, 3, 0, 6))
    x = 3 * torch.randn(2, 3, 6, 6)
    for layer in (first, later):
        set_binarization(layer, Binarization(activations="relu", weights="real"))
    assert torch.equal(first(x), first.norm(F.conv2d(x, first.conv.weight)))
    assert torch.equal(later(x), later.norm(F.conv2d(x.relu(), later.conv.weight)))


def test_a_layers_own_values_come_back() -> None:
    """A BinaryLayer's own scale and surrogate are not a unit's."""
    torch.manual_seed(0)
    for spec in (BinaryLayerSpec(4, 4, 3, 1, 5), UNIT):
        module, x = build_block(spec), torch.randn(2, 4, 5, 5)
        own = result(module, x)
        for setting in SETTINGS:
            set_binarization(module, setting)
            assert not torch.equal(result(module, x)[0], own[0])
        set_binarization(module, Binarization(scaled=False))
        last = result(module, x)
        set_binarization(module, ODD)
        set_binarization(module, Binarization(scaled=False))
        assert_equal(result(module, x), last)
        set_binarization(module, Binarization())
        assert_equal(result(module, x), own)


@pytest.mark.parametrize("name", EACH)
def test_names_and_shapes_are_those_of_every_setting(name: str) -> None:
    size = 64 if name in ("binary-alexnet", "xnor-net") else 32
    with torch.device("meta"):
        network = build(network_spec(name, image_size=size, classes=3)).eval()
        shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
        for setting in (REAL, ODD, Binarization(activations="leaky-clip")):
            set_binarization(network, setting)
            assert network(torch.zeros(2, 3, size, size)).shape == (2, 3)
            assert {key: tensor.shape for key, tensor in network.state_dict().items()} == shapes


def test_the_units_of_a_bottleneck_follow() -> None:
    torch.manual_seed(0)
    block = build_block(BottleneckSpec(16, 16, 1, 4))
    set_binarization(block, REAL)
    units = [module for module in block.modules() if isinstance(module, BinaryUnit)]
    assert len(units) == 3 and all(unit.binarization == REAL for unit in units)
    assert torch.equal(
        units[1].conv(units[1].function(torch.ones(1, 4, 4, 4))),
        F.conv2d(torch.ones(1, 4, 4, 4), units[1].conv.weight, padding=1),
    )


@pytest.mark.parametrize("sharing", ["independent", "nested", "sliced"])
@pytest.mark.parametrize("rsign", [False, True])
def test_every_path_of_a_supernet_follows(
    tiny_space: MobileNetGroups, sharing: str, rsign: bool
) -> None:
    space = MobileNetGroups(**{**vars_of(tiny_space), "rsign": rsign})
    rng, x = random.Random(0), torch.randn(4, 1, 8, 8)
    torch.manual_seed(0)
    supernet = Supernet(space, sharing).eval()
    first, second = space.uniform(1), space.sample(rng)
    supernet(x, first)  # its views were made before the setting, those of `second` after
    for setting in (*SETTINGS, Binarization()):
        supernet.set_binarization(setting)
        for architecture in (first, second):
            network = build(space.decode(architecture)).eval()
            network.load_state_dict(supernet.path(architecture).tensors())
            set_binarization(network, setting)
            expected = network(x)
            assert torch.equal(supernet(x, architecture), expected)
            assert torch.equal(supernet.extract(architecture)(x), expected)


def vars_of(space: MobileNetGroups) -> dict:
    """The options from which `space` was made."""
    return {name: getattr(space, name) for name in space.describe() if name != "name"}


def test_one_graph_for_each_distinct_unit_and_setting() -> None:
    from torch._dynamo.testing import CompileCounter

    specs = [UNIT, UNIT, BinaryUnitSpec(4, 4, 3, 1, 1, 5, "identity", "none", rsign=True)]
    units = [build_block(spec) for spec in specs]
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(compute_unit, dynamic=False, backend=counter)
    x = torch.randn(2, 4, 5, 5)
    settings = [Binarization(), Binarization(weights="real"), REAL, ODD]
    for _ in range(2):  # the second time all is known
        for setting in settings:
            for unit in units:
                set_binarization(unit, setting)
                unit.compute = compute_unit
                expected = unit(x)
                unit.compute = compiled
                assert torch.allclose(unit(x), expected, atol=1e-5)
    assert counter.frame_count == 2 * len(settings)
    torch._dynamo.reset()
