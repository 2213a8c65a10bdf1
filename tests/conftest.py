"""Settings for every test: one torch thread a process, so that processes share the cores."""

import pytest
import torch

from supernet.spaces.mobilenet_groups import MobileNetGroups


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """OpenMP threads of several test processes on few cores wait for one another."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny_space() -> MobileNetGroups:
    """Three blocks, 3^3 = 27 architectures, 8x8 grey images of four classes."""
    return MobileNetGroups(
        image_size=8,
        classes=4,
        in_channels=1,
        width=0.25,
        stem_stride=1,
        groups=(1, 2, 4),
        blocks=((64, 1), (64, 2), (128, 1)),
    )
