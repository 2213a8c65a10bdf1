"""BatchNorm statistics from integer counts, against torch in double precision."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from deploy import kernels
from deploy.kernels import library
from deploy.kernels.moments import moments
from deploy.kernels.shapes import ConvShape
from deploy.parts.recalibration import KeptConvs, Recalibration
from supernet.files import UserError
from supernet.network import Network, build
from supernet.spaces import space_from_description
from tests.supernet.spaces.every_space import SMALL_SPACES
from training.scoring.calibration import calibrate_batch_norm

ISAS = kernels.backend_info()["available_isas"]
RECALIBRATED = ("mobilenet-groups", "mobilenet-groups with widths", "wide-binary")
CASES = {
    **{name: SMALL_SPACES[name] for name in RECALIBRATED},
    "real shortcuts": {
        **SMALL_SPACES["mobilenet-groups"],
        "shortcut": "conv",
        "image_size": 18,  # maps of 9 and 5: windows that begin inside and end outside
    },
}


@given(
    channels=st.sampled_from((1, 3, 8, 16, 24, 64, 70)),
    rows=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_moments_of_counts_are_exact(channels: int, rows: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(-4608, 4609, (rows, 2, 1, channels))
    sums, squares = moments(counts.astype(np.float32))
    assert np.array_equal(sums, counts.sum((0, 1, 2)))
    assert np.array_equal(squares, (counts**2).sum((0, 1, 2)))


def a_network(name: str, seed: int) -> Network:
    """With random norms and activations, and statistics that are none."""
    space = space_from_description(CASES[name])
    torch.manual_seed(seed)
    network = build(space.decode(space.sample(random.Random(seed))))
    for part, parameter in network.named_parameters():
        if "conv" not in part and "linear" not in part:
            parameter.data.uniform_(0.2, 1.3)
            if part.endswith(("bias", "gamma", "zeta", "sign.beta")):
                parameter.data -= 0.7
    return network.eval()


def the_norms(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {n: norm for n, norm in network.named_modules() if isinstance(norm, nn.BatchNorm2d)}


def assert_equal_statistics(found: Network, expected: nn.Module) -> None:
    theirs = the_norms(expected)
    assert theirs
    for name, norm in the_norms(found).items():
        mean, variance = theirs[name].running_mean, theirs[name].running_var
        error = (norm.running_mean - mean).abs() / (mean.abs() + variance.sqrt())
        assert error.max() < 1e-5, name
        assert ((norm.running_var - variance).abs() / variance).max() < 1e-5, name


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_statistics_equal_torchs(name: str, seed: int) -> None:
    network, twin = a_network(name, seed), a_network(name, seed).double()
    size = network.spec.image_size
    batches = torch.randn(3, 16, 3, size, size)
    recalibrate = Recalibration(KeptConvs())
    recalibrate(network, batches[1:])  # leaves memory, and statistics that are to be forgotten
    recalibrate(network, batches)
    calibrate_batch_norm(twin, batches.double())
    assert_equal_statistics(network, twin)


@pytest.mark.parametrize("isa", [*ISAS, "none"])
def test_every_instruction_set_and_thread_count(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = torch.randn(2, 16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    first, second = a_network("mobilenet-groups", 1), a_network("mobilenet-groups", 1)
    Recalibration(KeptConvs())(first, batches)
    before = kernels.backend_info()
    try:
        if isa == "none":
            monkeypatch.setattr(library, "load", lambda: None)
        else:
            kernels.select_isa(isa)
            kernels.set_threads(2)
        Recalibration(KeptConvs())(second, batches)
    finally:
        monkeypatch.undo()
        if before["isa"]:
            kernels.select_isa(before["isa"])
            kernels.set_threads(before["threads"])
    for name, norm in the_norms(first).items():
        other = the_norms(second)[name]
        assert torch.equal(norm.running_mean, other.running_mean), name
        assert torch.equal(norm.running_var, other.running_var), name


def test_other_blocks_are_refused() -> None:
    space = space_from_description(SMALL_SPACES["spos-blocks"])
    network = build(space.decode(space.first()))
    with pytest.raises(UserError, match=r"\(ShuffleBlockSpec\): its BatchNorm statistics"):
        Recalibration(KeptConvs())(network, [torch.zeros(2, 3, 16, 16)])


def test_equal_weights_are_laid_out_once() -> None:
    convs, shape = KeptConvs(), ConvShape(4, 4, 8, 8, 1)
    weights = np.arange(8, dtype=np.uint8)
    assert convs(weights, shape, 0) is convs(weights.copy(), shape, 0)
    assert convs(weights, shape, 0) is not convs(weights + 1, shape, 0)
