"""Paths that share tensors: views of the largest, modes, norms and settings that follow theirs."""

import pytest
import torch
from torch import nn

from supernet import Binarization, Supernet, space_from_description
from supernet.blocks.building import set_precision
from supernet.sharing.kinds import SlicedKinds
from supernet.sharing.shared_path import SharedPath, partial_regions
from supernet.sharing.sliced import SlicedBlock
from supernet.sharing.slices import cut, joined
from supernet.spec.layers import ConvSpec, LinearSpec, NormSpec
from tests.supernet.spaces.every_space import SMALL_SPACES


def conv(before: int, after: int, kernel: int = 1, groups: int = 1, stride: int = 1) -> ConvSpec:
    return ConvSpec("conv", before, after, kernel, stride, groups, 4)


def wide() -> Supernet:
    return Supernet(space_from_description(SMALL_SPACES["wide-binary"]), "sliced")


def images() -> torch.Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_leading_channels_and_the_middle_of_the_kernel() -> None:
    whole = torch.arange(6 * 4 * 5 * 5.0).view(6, 4, 5, 5)
    found = cut(whole, conv(2, 3, 3), conv(4, 6, 5))
    assert torch.equal(found, whole[:3, :2, 1:4, 1:4])


def test_groups_are_blocks_on_the_diagonal() -> None:
    whole = torch.arange(6 * 4.0).view(6, 4, 1, 1)
    found = joined(cut(whole, conv(4, 6, groups=2), conv(4, 6)))
    assert torch.equal(found[:3], whole[:3, :2]) and torch.equal(found[3:], whole[3:, 2:])


def test_a_pair_of_channels_has_one_weight_for_every_number_of_groups() -> None:
    """As nested sharing has it, where widths are equal."""
    whole = torch.randn(8, 8, 3, 3)
    four = joined(cut(whole, conv(8, 8, 3, groups=4), conv(8, 8, 3)))  # (8, 2, 3, 3)
    two = joined(cut(whole, conv(8, 8, 3, groups=2), conv(8, 8, 3)))  # (8, 4, 3, 3)
    assert torch.equal(four[:2], two[:2, :2]) and torch.equal(four[2:4], two[2:4, 2:])


@pytest.mark.parametrize(
    ("small", "large", "what"),
    [
        (conv(8, 4), conv(4, 4), "8 inputs"),
        (conv(4, 8), conv(4, 4), "8 outputs"),
        (conv(4, 4, 5), conv(4, 4, 3), "5 pixels"),
        (conv(4, 4, 4), conv(4, 4, 5), "no common middle"),
        (conv(4, 4, 3, stride=2), conv(4, 4, 3), "no common middle"),
        (conv(2, 2, groups=1), conv(4, 4, groups=2), "no part of 2 groups"),
    ],
)
def test_what_is_no_slice_is_refused(small: ConvSpec, large: ConvSpec, what: str) -> None:
    whole = torch.zeros(large.out_channels, large.in_channels // large.groups, 5, 5)
    with pytest.raises(ValueError, match=what):
        cut(whole, small, large)


def test_other_layers_have_their_leading_values() -> None:
    whole = torch.arange(12.0).view(3, 4)
    assert torch.equal(cut(whole, LinearSpec("l", 2, 3), LinearSpec("l", 4, 3)), whole[:, :2])
    vector = torch.arange(4.0)
    assert torch.equal(cut(vector, NormSpec("n", 2), NormSpec("n", 4)), vector[:2])
    count = torch.tensor(7)  # of batches, which has no channels
    assert cut(count, NormSpec("n", 2), NormSpec("n", 4)) is count


def test_running_statistics_are_written_into_the_shared_ones() -> None:
    supernet = wide()
    space = supernet.space
    supernet.train()
    before = {name: b.clone() for name, b in supernet.named_buffers()}
    supernet(images(), space.smallest())
    moved = {name for name, b in supernet.named_buffers() if not torch.equal(b, before[name])}
    assert moved and any("running_mean" in name for name in moved)


def test_a_paths_mode_is_that_of_all_paths() -> None:
    supernet = wide()
    path = supernet.path(supernet.space.first())
    path.eval()
    before = {name: b.clone() for name, b in supernet.named_buffers()}
    path(images())
    assert all(torch.equal(b, before[name]) for name, b in supernet.named_buffers())


def test_the_momentum_of_norms_is_the_owners() -> None:
    supernet = wide()
    path = supernet.path(supernet.space.first())
    for norm in supernet.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 0.0  # statistics stay
    supernet.train()
    before = {name: b.clone() for name, b in supernet.named_buffers() if "running" in name}
    path(images())
    found = dict(supernet.named_buffers())
    assert all(torch.equal(found[name], b) for name, b in before.items())


@pytest.mark.parametrize("name", ["wide-binary", "metapruning"])
def test_norms_over_all_processes_are_so_in_every_path(name: str) -> None:
    """By the class that training.processes.shared_norm gives them where there are GPUs."""
    supernet = Supernet(space_from_description(SMALL_SPACES[name]), "sliced")
    path = supernet.path(supernet.space.first())
    for norm in supernet.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.process_group = None  # type: ignore[assignment]
            norm.__class__ = nn.SyncBatchNorm  # type: ignore[assignment]
    path.eval()
    path(images())
    inner = [
        m for part in path.children() if isinstance(part, SharedPath) for m in part.inner.modules()
    ]
    kinds = {type(m) for m in inner if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    assert kinds == {nn.SyncBatchNorm}
    later = supernet.path(supernet.space.largest()).eval()
    assert later(images()).shape == (4, 5)


def test_settings_reach_paths_made_before_and_after() -> None:
    """Binarization and precision, and their copies."""
    torch.manual_seed(0)
    supernet = wide().eval()
    space, x = supernet.space, images()
    first = supernet.path(space.largest())
    supernet.set_precision("bf16")
    supernet.set_binarization(Binarization(scaled=False))
    low = supernet.extract(space.largest())
    assert torch.equal(low(x), supernet(x, space.largest()))
    set_precision(low, "fp32")
    assert not torch.equal(low(x), supernet(x, space.largest()))
    assert not torch.equal(first(x), supernet(x, space.largest()))  # its setting is its own


def test_weights_put_in_place_of_others_are_read() -> None:
    supernet, other = wide().eval(), wide().eval()
    path = supernet.path(supernet.space.first())
    supernet.load_state_dict(other.state_dict(), assign=True)
    assert torch.equal(path(images()), other(images(), supernet.space.first()))
    held = set(supernet.parameters())
    assert set(partial_regions([path])) <= held


def test_the_largest_of_a_kind_need_not_come_first() -> None:
    space = space_from_description(SMALL_SPACES["wide-binary"])
    name = "stage2_block1_spatial"
    alternatives = space.block_candidates()[name]
    largest = space.decode(space.largest())
    expected = largest.blocks[largest.block_names.index(name)]
    for found in (alternatives, alternatives[::-1]):
        (kind,) = SlicedKinds(space, found, "sliced").kinds
        assert isinstance(kind, SlicedBlock) and kind.largest == expected
