"""PruningNet's generators: their formula, what they share, and how many parameters they are."""

import pytest
import torch
from torch.nn import functional as F

from supernet import Supernet, space_from_description
from supernet.sharing.generated import Generator
from supernet.sharing.shared_path import partial_regions
from supernet.spec.layers import ConvSpec
from tests.supernet.spaces.every_space import SMALL_SPACES


def conv(before: int, after: int, groups: int = 1, kernel: int = 1) -> ConvSpec:
    return ConvSpec("conv", before, after, kernel, 1, groups, 4)


def test_a_weight_is_the_crop_of_the_whole_one() -> None:
    torch.manual_seed(0)
    generator = Generator(2, 5, conv(6, 8))
    shares = torch.tensor([0.5, 0.75])
    hidden = F.relu(generator.encode.weight @ shares + generator.encode.bias)
    whole = torch.einsum("oikluh,h->oikl", generator.weight, hidden) + generator.bias
    assert torch.allclose(generator(shares, conv(6, 8)), whole, atol=1e-6)
    assert torch.allclose(generator(shares, conv(3, 6)), whole[:6, :3], atol=1e-6)


def test_a_depthwise_weight_is_cropped_to_one_channel() -> None:
    generator = Generator(1, 3, conv(6, 6, groups=6, kernel=3))
    assert generator(torch.tensor([1 / 6]), conv(1, 1, kernel=3)).shape == (1, 1, 3, 3)


def test_other_shares_make_another_weight_of_the_same_shape() -> None:
    """Two paths of one width in a block that differ before it have other weights there."""
    torch.manual_seed(0)
    space = space_from_description(SMALL_SPACES["metapruning"])
    supernet = Supernet(space, "generated")
    wide = dict(space.largest().choices)
    narrow = space.architecture({**wide, "block1": 50})
    tensors = [supernet.path(one).tensors() for one in (space.largest(), narrow)]
    names = [key for key in tensors[0] if key.startswith("block2.") and key.endswith("conv.weight")]
    name = names[-1]
    full, cut = (one[name] for one in tensors)
    assert not torch.equal(full[:, : cut.shape[1]], cut)


def test_gradients_reach_every_generator_of_a_path() -> None:
    space = space_from_description(SMALL_SPACES["metapruning"])
    supernet = Supernet(space, "generated")
    path = supernet.path(space.uniform(50))
    path(torch.randn(4, 3, 16, 16)).square().sum().backward()
    generators = [m for m in supernet.modules() if isinstance(m, Generator)]
    assert generators
    for generator in generators:
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters())
        assert generator.weight in partial_regions([path])


@pytest.mark.parametrize(
    ("network", "millions"), [("mobilenet-v1", 105), ("mobilenet-v2", 241), ("resnet-50", 774)]
)
def test_generators_have_the_published_sizes(network: str, millions: int) -> None:
    """[source: counted from the authors' code] 33 numbers a generated weight, 65 in bottlenecks."""
    percents = (10, 100)  # sizes depend on the largest alone
    space = space_from_description(
        {"name": "metapruning", "network": network, "percents": percents}
    )
    with torch.device("meta"):
        supernet = Supernet(space, "generated")
    found = sum(p.numel() for name, p in supernet.named_parameters() if ".generators." in name)
    assert round(found / 1e6) == millions
