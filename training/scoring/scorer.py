"""Score architectures with a supernet's weights: recompute BatchNorm statistics, then top-1.

Single Path One-Shot (arXiv 1904.00420), section 3.4; on a copy of the path. The shared weights are
never written.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from supernet.architecture import Architecture
from supernet.binarization import Binarization
from supernet.blocks.building import set_precision
from supernet.files import UserError
from supernet.finite import demand_finite
from supernet.network import Network, stand_alone_copy
from supernet.spaces import space_from_description
from supernet.supernet import Supernet
from training.bounds import MAX_IMAGES, MAX_THREADS
from training.data.config import DataConfig
from training.data.normalisation import Normalisation
from training.data.training_data import TrainingData
from training.device import DeviceName, PrecisionName, choose_device, choose_precision
from training.scoring.adapting import AdaptConfig, adapting_arrays
from training.scoring.answers import Answers
from training.scoring.calibration import calibrate_batch_norm, use_batch_statistics
from training.scoring.segments import TorchSegment, part_of
from training.scoring.shared_prefixes import Segment, SharedPrefixes
from training.section import Section
from training.seeds import torch_stream

BatchNormMode = Literal["recalibrated", "running", "batch"]
"""Statistics of a scored path: recomputed on training images; the averages of supernet training;
or those of each scored batch itself."""


class ScoringConfig(Section):
    """`search_images`: score on the first so many images of the search split (None: on all).

    `adapt`: score after a few steps of a network's own training from the supernet's weights; None
    scores the weights as they are.
    """

    calibration_images: int = Field(2048, ge=2, le=MAX_IMAGES)
    calibration_batch: int = Field(512, ge=2, le=MAX_IMAGES)
    batch_size: int = Field(512, ge=1, le=MAX_IMAGES)
    search_images: int | None = Field(None, ge=1, le=MAX_IMAGES)
    threads: int = Field(1, ge=1, le=MAX_THREADS)
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    adapt: AdaptConfig | None = None


class Scorer:
    """Callable from an architecture to its top-1 on the search split, in percent.

    A pure function of the architecture: the same architecture has the same score in any process
    with the same number of threads. `arrays` (see `scoring_arrays`) may be read-only memory that
    other processes share; it is only read.
    """

    def __init__(
        self,
        space_description: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        config: ScoringConfig,
    ) -> None:
        torch.set_num_threads(config.threads)
        self.config = config
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device, compiled=False)
        tensors = {name: _view(array) for name, array in arrays.items()}
        sharing: Any = arrays["sharing"].tobytes().decode()
        with torch.device("meta"):
            self.supernet = Supernet(space_from_description(space_description), sharing)
        weights = {
            name.removeprefix("weights/"): tensor.to(self.device)
            for name, tensor in tensors.items()
            if name.startswith("weights/")
        }
        self.supernet.load_state_dict(weights, assign=True)
        setting = json.loads(arrays["binarization"].tobytes())
        self.supernet.set_binarization(Binarization.from_description(setting))
        self._calibration = tensors["calibration"]
        self._images, self._labels = tensors["images"], tensors["labels"]
        space = self.supernet.space
        mean, std = (tuple(tensors[name].tolist()) for name in ("mean", "std"))
        self._seen = Normalisation(mean, std, space.decode(space.first()).image_size)

    def __call__(self, architecture: Architecture) -> float:
        return self.score(architecture)

    def score(
        self,
        architecture: Architecture,
        batch_norm: BatchNormMode = "recalibrated",
        calibration_images: int | None = None,
    ) -> float:
        """Top-1 in percent, with `calibration_images` (None: all) the first of those drawn."""
        return self.answers(architecture, batch_norm, calibration_images).top1

    def answers(
        self,
        architecture: Architecture,
        batch_norm: BatchNormMode = "recalibrated",
        calibration_images: int | None = None,
    ) -> Answers:
        """What the architecture answers to the search images, in their order; as `score`."""
        if batch_norm == "recalibrated":
            network = self.calibrated(architecture, calibration_images)
        else:
            network = self._blocks_of(architecture)
            if batch_norm == "batch":
                use_batch_statistics(network)
        return self._answers_of(network)

    def _answers_of(self, network: Network) -> Answers:
        """What a network that is ready answers to the search images."""
        images = self._images.split(self.config.batch_size)
        labels = self._labels.numpy()
        network.eval()
        with torch.inference_mode():
            logits = [network(self._prepare(batch)) for batch in images]
        return self._answers(logits, labels)

    def _answers(self, logits: Iterable[Any], labels: NDArray[np.integer]) -> Answers:
        """Of the logits of consecutive batches."""
        start, parts = 0, []
        for batch in logits:
            found, numbers = self._classes_of(batch)
            parts.append(Answers.of(found, numbers, labels[start : start + len(found)]))
            start += len(found)
        return Answers.joined(parts)

    def calibrated(
        self, architecture: Architecture, calibration_images: int | None = None
    ) -> Network:
        """A copy of the path with recalibrated statistics, as it is scored."""
        network = self._blocks_of(architecture)
        batches = self._calibration[:calibration_images].split(self.config.calibration_batch)
        calibrate_batch_norm(network, (self._prepare(batch) for batch in batches))
        return network

    @property
    def num_images(self) -> int:
        """Of the search split, those that are scored."""
        return len(self._labels)

    def answer(
        self, architectures: Sequence[Architecture], num_blocks: int = 1, max_bytes: int = 1 << 30
    ) -> Iterator[tuple[int, Iterator[Answers]]]:
        """What each architecture answers to each block of search images.

        In an order of its own: the number in `architectures` and, lazily, the blocks, of use until
        the next pair is taken; what of them is not taken is not computed. Block b of B holds images
        b, b + B, b + 2B, ... What architectures have in common is computed once, as
        `SharedPrefixes` says, with the same results as for each by itself. For one block the mean
        is that of `score`.

        Args:
            architectures: any number; one by itself is scored as `score` does.
            num_blocks: B.
            max_bytes: of activations that are kept at a time, on the scorer's device.
        """
        specs = [self.supernet.space.decode(architecture) for architecture in architectures]
        networks = [tuple(zip(spec.block_names, spec.blocks, strict=True)) for spec in specs]
        batch = _Batch(self, architectures, num_blocks)
        return iter(SharedPrefixes(batch, networks, num_blocks, max_bytes))

    def _segment(self, architecture: Architecture, first: int, last: int) -> Segment[Any]:
        """The blocks from `first` up to `last`, which is not among them."""
        return TorchSegment(self._blocks_of(architecture, first, last))

    def _ready(self, pixels: Tensor) -> Any:
        """Images to be scored as the first segment takes them."""
        return self._prepare(pixels)

    def _classes_of(self, logits: Any) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
        """The class of each image of a batch, and its logits, from what the last segment gives."""
        demand_finite(logits)
        return logits.argmax(dim=1).cpu().numpy(), logits.float().cpu().numpy()

    def _blocks_of(
        self, architecture: Architecture, first: int = 0, last: int | None = None
    ) -> Network:
        """A copy of some blocks of a path, as it is scored."""
        path = part_of(self.supernet.path(architecture), first, last)
        network = stand_alone_copy(path).to(memory_format=torch.channels_last)
        set_precision(network, self.precision)
        return network

    def _prepare(self, pixels: Tensor) -> Tensor:
        x = self._seen.apply(pixels.to(self.device))
        return x.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class _Batch:
    """Architectures that are scored together: the engine of `SharedPrefixes`."""

    scorer: Scorer
    architectures: Sequence[Architecture]
    num_blocks: int

    @property
    def num_images(self) -> int:
        return len(self.scorer._calibration) + len(self.scorer._images)

    def segment(self, number: int, first: int, last: int) -> Segment[Any]:
        return self.scorer._segment(self.architectures[number], first, last)

    def calibration(self) -> Iterable[Any]:
        scorer = self.scorer
        batches = scorer._calibration.split(scorer.config.calibration_batch)
        return map(scorer._prepare, batches)

    def images(self, block: int) -> Iterable[Any]:
        scorer = self.scorer
        batches = scorer._images[block :: self.num_blocks].split(scorer.config.batch_size)
        return map(scorer._ready, batches)

    def answers(self, block: int, logits: Iterable[Any]) -> Answers:
        return self.scorer._answers(logits, self.scorer._labels[block :: self.num_blocks].numpy())


def check_scoring(data: TrainingData, config: ScoringConfig) -> int:
    """The number of calibration images: whole batches of equal size.

    Raises:
        UserError: less than one batch, or more than there are training images.
    """
    wanted = config.calibration_images // config.calibration_batch * config.calibration_batch
    if wanted == 0 or wanted > len(data.train):
        raise UserError(
            f"search.scoring: calibration_images {config.calibration_images} must be at least "
            f"calibration_batch {config.calibration_batch} and at most the {len(data.train)} "
            f"training images"
        )
    return wanted


def num_scored(data: TrainingData, config: ScoringConfig) -> int:
    """Of the search split, how many images networks are scored on."""
    return min(len(data.search), config.search_images or len(data.search))


def search_order(data: TrainingData, config: ScoringConfig, seed: int) -> Tensor:
    """The images of the search split by number, those first that networks are scored on."""
    if config.search_images is None:
        return torch.arange(len(data.search))
    # The split is ordered by class in some data sets; a part of it must not be.
    return torch.randperm(len(data.search), generator=torch_stream(seed, "search images"))


def scoring_arrays(
    supernet_run: Path, data_config: DataConfig, config: ScoringConfig, seed: int
) -> dict[str, np.ndarray]:
    """What every worker needs: the supernet's weights and uint8 images of two splits.

    With `adapt` the images that networks are trained on with, too. Calibration images are drawn
    once, by seed, from the training split; candidates are ranked on the search split. The test
    split is not opened.

    Raises:
        UserError: the run is not a finished supernet, or there are too few training images.
    """
    from training.data.training_data import open_for
    from training.supernet_file import load_supernet

    supernet = load_supernet(supernet_run)
    data = open_for(supernet.space, data_config)
    wanted = check_scoring(data, config)
    drawn = torch.randperm(len(data.train), generator=torch_stream(seed, "calibration"))[:wanted]
    calibration, _ = data.train.read(drawn)
    shown = search_order(data, config, seed)[: num_scored(data, config)]
    images, labels = data.search.read(shown)
    setting = json.dumps(supernet.binarization.describe())
    arrays = {f"weights/{name}": value.numpy() for name, value in supernet.state_dict().items()}
    if config.adapt is not None:
        arrays |= adapting_arrays(data.train, config.adapt, seed)
    return {
        **arrays,
        "calibration": calibration.numpy(),
        "images": images.numpy(),
        "labels": labels.numpy(),
        "mean": np.array(data.mean),
        "std": np.array(data.std),
        "binarization": np.frombuffer(setting.encode(), np.uint8),
        "sharing": np.frombuffer(supernet.sharing.encode(), np.uint8),
    }


def _view(array: np.ndarray) -> Tensor:
    """A tensor over `array`'s memory, which may be read-only and then must not be written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # says that writing would be undefined
        return torch.from_numpy(array)
