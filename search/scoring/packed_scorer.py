"""The scorer of binary supernets on the 1-bit kernels of `deploy`, for CPUs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.engine.packed_network import make_program
from deploy.kernels.library import backend_info, set_threads
from deploy.lowering.network import lower
from deploy.parts.packed_segment import PackedSegment
from deploy.parts.recalibration import KeptConvs, Recalibration, check_recalibrates
from deploy.plan.parameters import operation_parameters
from deploy.plan.plan import MapShape
from deploy.plan.preprocessing import Preprocessing
from supernet.architecture import Architecture
from supernet.binarization import Binarization
from supernet.files import UserError
from supernet.finite import demand_finite
from supernet.network import Network
from supernet.space import SearchSpace
from supernet.spec import BlockSpec
from training.data.normalisation import centre
from training.device import choose_device
from training.scoring.answers import Answers
from training.scoring.scorer import BatchNormMode, Scorer, ScoringConfig
from training.scoring.segments import part_of
from training.scoring.shared_prefixes import Segment

MAX_KEPT_BYTES = 1 << 28
"""Of the latent weights of blocks that were scored: all choices of a small supernet."""


def check_packed(space: SearchSpace, binarization: Binarization, config: ScoringConfig) -> None:
    """Demand what the packed engine can score: binary blocks, on a CPU, in fp32.

    Raises:
        UserError: says what cannot be.
    """
    device = choose_device(config.device)
    if device.type != "cpu":
        raise UserError(
            f"search.scoring.engine 'packed' runs on a CPU, device '{config.device}' is "
            f"{device.type} here; choose device 'cpu' or engine 'torch'"
        )
    if config.precision == "bf16":
        raise UserError(
            "search.scoring.engine 'packed' computes exact counts and fp32; expected precision "
            "'auto', 'fp32' or 'exact', found 'bf16'"
        )
    if not binarization.is_binary or binarization.sign_of_zero not in (None, 1):
        raise UserError(
            f"search.scoring.engine 'packed' needs binary weights and activations with sign(0) = "
            f"1; the supernet was trained with {binarization.describe()}; choose engine 'torch'"
        )
    last = {position.name: position.choices[-1] for position in space.positions}
    for architecture in (space.first(), space.architecture(last)):
        try:
            check_recalibrates(space.decode(architecture))
        except UserError as error:
            raise UserError(
                f"search.scoring.engine 'packed': space '{space.name}': {error}; "
                f"choose engine 'torch'"
            ) from error


def kernels_in_use() -> str:
    """The kernels' instruction set, or what runs where they are not compiled."""
    info = backend_info()
    return info["isa"] or f"not compiled: {info['backend']}, slow"


class PackedScorer(Scorer):
    """As `Scorer`, with statistics of exact integer counts and the network that would be shipped.

    The same protocol: the numbers differ by roundings, and by signs of values nearer to 0 than
    those. They do not depend on the number of threads.

    Raises:
        UserError: at a call, for a block that has no form on the kernels.
    """

    def __init__(
        self,
        space_description: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        config: ScoringConfig,
    ) -> None:
        super().__init__(space_description, arrays, config)
        set_threads(config.threads)
        self._preprocessing = Preprocessing(self._seen.mean, self._seen.std)
        self._convs = KeptConvs()
        self._recalibrate = Recalibration(self._convs)
        self._blocks: OrderedDict[tuple[str, BlockSpec], nn.Module] = OrderedDict()

    def answers(
        self,
        architecture: Architecture,
        batch_norm: BatchNormMode = "recalibrated",
        calibration_images: int | None = None,
    ) -> Answers:
        """As `Scorer.answers`, with recalibrated statistics only."""
        if batch_norm != "recalibrated":
            raise ValueError(f"the packed engine recalibrates; it has no batch_norm '{batch_norm}'")
        logits = self._logits(architecture, calibration_images)
        return self._answers(logits, self._labels.numpy())

    def classes(
        self, architecture: Architecture, calibration_images: int | None = None
    ) -> NDArray[np.int64]:
        """The class of each image of the search split, (N,)."""
        logits = self._logits(architecture, calibration_images)
        return np.concatenate([self._classes_of(batch)[0] for batch in logits])

    def _logits(self, architecture: Architecture, calibration_images: int | None) -> Iterator[Any]:
        """Of each batch of search images; valid until the next is taken."""
        plan, parameters = lower(self.calibrated(architecture, calibration_images))
        program = make_program(
            plan,
            operation_parameters(plan, parameters),
            self._preprocessing,
            make_conv=self._convs,
        )
        for images in self._images.split(self.config.batch_size):
            yield program.run(self._ready(images))

    def calibrated(
        self, architecture: Architecture, calibration_images: int | None = None
    ) -> Network:
        """The network with its recalibrated statistics, which the next call overwrites."""
        network = self._network(architecture)
        batches = self._calibration[:calibration_images].split(self.config.calibration_batch)
        self._recalibrate(network, (self._prepare(batch) for batch in batches))
        return network

    def _segment(self, architecture: Architecture, first: int, last: int) -> Segment[Any]:
        part = part_of(self._network(architecture), first, last)
        return _Segment(
            part, self._recalibrate, self._convs, None if first else self._preprocessing
        )

    def _ready(self, pixels: Tensor) -> Any:
        return np.ascontiguousarray(centre(pixels, self._seen.size).numpy())

    def _classes_of(self, logits: Any) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
        demand_finite(logits)
        numbers = logits.reshape(len(logits), -1)
        return numbers.argmax(1), numbers

    def _network(self, architecture: Architecture) -> Network:
        """Made of blocks that were extracted before, where they were."""
        spec = self.supernet.space.decode(architecture)
        keys = list(zip(spec.block_names, spec.blocks, strict=True))
        if any(key not in self._blocks for key in keys):
            extracted = self.supernet.extract(architecture).eval()
            for name, block in keys:
                self._blocks[name, block] = extracted.get_submodule(name)
        for key in keys:
            self._blocks.move_to_end(key)
        network = Network(spec, {key[0]: self._blocks[key] for key in keys})
        while len(self._blocks) > len(keys) and self._num_bytes() > MAX_KEPT_BYTES:
            self._blocks.popitem(last=False)
        return network.eval()

    def _num_bytes(self) -> int:
        return sum(p.nbytes for block in self._blocks.values() for p in block.parameters())


class _Segment:
    """Consecutive blocks of a network, which others may hold as well: used up once calibrated."""

    def __init__(
        self,
        network: Network,
        recalibrate: Recalibration,
        convs: KeptConvs,
        preprocessing: Preprocessing | None,
    ) -> None:
        self._network, self._recalibrate, self._convs = network, recalibrate, convs
        self._preprocessing = preprocessing

    def calibrated(self, batches: Iterable[Any]) -> Iterator[Any]:
        shape: tuple[int, ...] = ()

        def noted() -> Iterator[Any]:
            nonlocal shape
            for batch in batches:
                shape = batch.shape
                yield batch

        yield from self._recalibrate.outputs(self._network, noted())
        # Now: the next that hold these blocks overwrite their statistics.
        channels, side = (shape[3], shape[1]) if self._preprocessing is None else shape[1:3]
        source = MapShape(side, side, channels)
        self._packed = PackedSegment(self._network, source, self._preprocessing, self._convs)

    def __call__(self, batch: Any) -> Any:
        return self._packed(batch)
