"""A published network as a space of one architecture."""

from dataclasses import fields

import pytest

from latency_tables.layer_keys import covering_architectures, distinct_layers
from supernet.architecture_file import load_architecture, save_architecture
from supernet.costs import cost
from supernet.files import UserError
from supernet.networks import NETWORKS, network_spec
from supernet.spaces import space_from_description
from supernet.spaces.published import PublishedNetworkSpace
from supernet.spec import BinaryUnitSpec, BottleneckSpec, ConvSpec, LogitsSpec
from supernet.verify import verify
from tests.published_networks import EACH
from training.path_sampling import PathSamplingConfig, check_sampling
from training.seeds import stream

WITH_WIDTHS = [name for name, network in NETWORKS.items() if network.widths]
BUILT = [each for each in EACH if getattr(each, "values", (each,))[0] in WITH_WIDTHS]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_a_space_of_one_architecture(name: str) -> None:
    space = PublishedNetworkSpace(name)
    only = space.first()
    assert space.size == 1 and space.positions == () and dict(only) == {}
    assert space.sample(stream(0, "any")) == only == space.architecture({})
    assert space.decode(only) == network_spec(name)
    # One candidate a block: the block itself.
    spec = space.decode(only)
    assert space.block_candidates() == {
        name: (block,) for name, block in zip(spec.block_names, spec.blocks, strict=True)
    }
    again = space_from_description(space.describe())
    assert again.describe() == space.describe() and again.decode(only) == space.decode(only)
    paper = NETWORKS[name]
    assert space.describe()["image_size"] == paper.image_size
    assert space.describe()["classes"] == paper.classes


def test_a_description_holds_every_option() -> None:
    options = {
        "network": "reactnet-a", "image_size": 32, "classes": 10, "in_channels": 1,
        "stem": "small", "width": 0.25,
    }  # fmt: skip
    space = space_from_description({"name": "network", **options})
    assert space.describe() == {"name": "network", **options}
    assert set(options) == {field.name for field in fields(PublishedNetworkSpace)}
    spec = space.decode(space.first())
    assert (spec.image_size, spec.num_classes, spec.in_channels) == (32, 10, 1)


def test_its_architecture_file(tmp_path) -> None:
    space = PublishedNetworkSpace("bireal-18", image_size=32, classes=10)
    save_architecture(tmp_path / "a.json", space, space.first())
    found, architecture, document = load_architecture(tmp_path / "a.json", expected_space=space)
    assert found.describe() == space.describe() and architecture == space.first()
    assert document["choices"] == {}
    assert document["costs"] == cost(space.decode(architecture)).as_dict()


def test_a_space_of_one_architecture_is_not_searched() -> None:
    space = PublishedNetworkSpace("reactnet-a")
    expected = "space 'network' has one architecture: nothing to search; use 'evobit retrain'"
    with pytest.raises(UserError, match=expected):
        check_sampling(space, PathSamplingConfig(), stream(0, "any"))


def test_each_layer_is_covered_by_the_one_architecture() -> None:
    space = PublishedNetworkSpace("reactnet-a")
    assert covering_architectures(space, 4, stream(0, "any")) == [space.first()] * 4
    assert set(distinct_layers(space)) == set(space.decode(space.first()).blocks)
    # The logits of BinaryNet are its last layer's values: nothing runs, nothing is measured.
    space = PublishedNetworkSpace("binarynet")
    *layers, logits = space.decode(space.first()).blocks
    assert list(distinct_layers(space)) == layers and isinstance(logits, LogitsSpec)


def test_half_the_width_of_reactnet_a() -> None:
    # The 3x3 convolution of block 2: 64 channels on a map of 112 x 112 pixels, stride 2.
    whole, half = (
        dict(network_spec("reactnet-a", width=width).layers())["block2_spatial.conv"]
        for width in (1, 0.5)
    )
    assert isinstance(whole, ConvSpec) and isinstance(half, ConvSpec)
    assert whole.num_weights == 64 * 64 * 9 and half.num_weights == 32 * 32 * 9
    costs = cost(network_spec("reactnet-a", width=0.5))
    paper = cost(network_spec("reactnet-a"))
    # Every binary convolution has half the channels on both sides; its map is as large.
    assert costs.bops * 4 == paper.bops and costs.binary_parameters * 4 == paper.binary_parameters
    # 3x3 stem of 16 on 112 x 112 from 3 channels, and 512 features to 1000 classes.
    assert costs.flops == 3 * 16 * 9 * 112**2 + 512 * 1000


def test_a_quarter_of_the_width_of_bireal_nets() -> None:
    quarter, paper = (cost(network_spec("bireal-18", width=width)) for width in (0.25, 1.0))
    assert quarter.bops * 16 == paper.bops
    blocks = network_spec("bireal-50", width=0.25).blocks
    channels = [(b.mid_channels, b.out_channels) for b in blocks if isinstance(b, BottleneckSpec)]
    assert channels[0] == (16, 64) and channels[-1] == (128, 512)


def test_width_1_is_the_paper() -> None:
    for name in NETWORKS:
        assert network_spec(name, width=1) == network_spec(name)
    units = [b for b in network_spec("reactnet-a").blocks if isinstance(b, BinaryUnitSpec)]
    assert [unit.out_channels for unit in units][-1] == 1024
    assert cost(network_spec("reactnet-a")).parameters == 29_343_592  # the authors' code


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("width", [0.25, 0.5])
def test_narrow_networks_are_counted_as_they_are_built(name: str, width: float) -> None:
    spec = network_spec(name, image_size=32, classes=10, stem="small", width=width)
    assert verify(spec) == cost(spec).as_dict()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "search space 'network': option 'network' is missing"),
        ({"network": "reactnet"}, "no network 'reactnet'; did you mean 'reactnet-"),
        ({"network": "reactnet-a", "width": 0.3}, "width 0.3 makes 9.6 of 32 channels"),
        ({"network": "reactnet-a", "width": 0}, "width is 0.0; expected a finite number above 0"),
        ({"network": "reactnet-b", "width": 1 / 16}, "makes 2 channels, which 4 groups do not"),
        ({"network": "xnor-net", "width": 0.5}, "network 'xnor-net' has no width but 1"),
        ({"network": "binarynet", "stem": "small"}, "no stem but its published one"),
        ({"network": "reactnet-a", "stem": "paper"}, "stem is 'paper': expected 'published' or"),
        ({"network": "bireal-18", "classes": 0}, "classes is 0; expected a whole number above 0"),
        ({"network": "bireal-18", "groups": 4}, "has no option 'groups'"),
    ],
)
def test_what_is_refused(options: dict, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        space_from_description({"name": "network", **options})
