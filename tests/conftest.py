"""Settings for every test, a tiny space, and a tiny data set that a user might have written."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.processes.ray_session import connected

# No test is timed: under a sanitizer, or on a busy machine, an example takes as long as it takes.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

READER = '''
import numpy as np

def read(config, part):
    """Four classes of 8x8 grey images: a bright bar in one of four places, and noise."""
    count = 160 if part == "train" else 40
    rng = np.random.default_rng(0 if part == "train" else 1)
    labels = np.arange(count) % 4
    images = rng.integers(0, 90, (count, 1, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels):
        image[0, 2 * label : 2 * label + 2] += 120
    return images, labels, ["a", "b", "c", "d"]
'''


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that none of them is the last that others wait for."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """OpenMP threads of several test processes on few cores wait for one another."""
    torch.set_num_threads(1)


class SharedRay:
    """A private Ray for all tests of a process; what asks for one of its own joins it."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def start(self) -> Any:
        """The ray module, connected; the process's own streams and signals stay."""
        import ray

        if not ray.is_initialized():
            with _own_streams_and_signals():
                self._stack.enter_context(connected(None, 0))
        return ray

    def stop(self) -> None:
        """End it, before a test that joins another."""
        with _own_streams_and_signals():
            self._stack.close()


@contextmanager
def _own_streams_and_signals() -> Iterator[None]:
    before = sys.stdout, signal.getsignal(signal.SIGTERM)
    yield
    sys.stdout = before[0]
    signal.signal(signal.SIGTERM, before[1])


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[SharedRay]:
    """Started by the first test that asks for `ray`."""
    shared = SharedRay()
    yield shared
    shared.stop()


@pytest.fixture
def ray(shared_ray: SharedRay) -> Any:
    """The ray module, connected to this process's Ray."""
    return shared_ray.start()


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def space(tiny_space: MobileNetGroups) -> MobileNetGroups:
    """The tiny one, unless a file has another."""
    return tiny_space


@pytest.fixture(scope="session")
def wide_space() -> MobileNetGroups:
    """Thirteen positions: 67 million architectures."""
    return MobileNetGroups(
        image_size=32, classes=10, width=0.25, stem_stride=1, groups=(1, 2, 4, 8)
    )


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader file: 160 training and 40 test images that a small network can learn."""
    path = tmp_path_factory.mktemp("data") / "bars.py"
    path.write_text(READER)
    return path


@pytest.fixture
def stages(tiny_space: MobileNetGroups, bars: Path) -> dict:
    """The sections of a config for the tiny space and data."""
    training = {"batch_size": 16, "tensorboard": False, "threads": 1, "checkpoint_seconds": 0}
    scoring = {"calibration_images": 64, "calibration_batch": 32, "batch_size": 16}
    return {
        "space": tiny_space.describe(),
        "data": {"name": f"{bars}:read", "image_size": 8, "search_fraction": 0.2},
        "supernet": {"epochs": 3, **training},
        "search": {
            "population": 4,
            "parents": 2,
            "mutations": 2,
            "crossovers": 1,
            "generations": 2,
            "feasibility_samples": 50,
            "scoring": scoring,
        },
        "retrain": {"epochs": 2, "seeds": 2, "uniform": 1, "random": 1, **training},
        "seed": 3,
    }
