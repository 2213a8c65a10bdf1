"""Score architectures after a few steps of their own training from a supernet's weights.

Among networks of equal cost, shared weights as they are hardly rank; a few steps of each path's own
training with the rate falling to 0 within them do (docs/scoring.md has the figures). All candidates
see the same images in the same order, so that their scores can be compared in pairs. The images are
as in evaluation, not varied. Related: NSGANetV2 (arXiv 2007.10396) trains candidates on for epochs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from supernet.architecture import Architecture
from supernet.blocks.building import set_precision
from supernet.network import Network, stand_alone_copy
from training.loop.losses import LabelLoss
from training.loop.supervised import training_step
from training.optim import build_optimiser, set_rates
from training.scoring.answers import Answers
from training.scoring.calibration import calibrate_batch_norm
from training.scoring.scorer import BatchNormMode, Scorer, ScoringConfig


class AdaptedScorer(Scorer):
    """As `Scorer`, of networks that were trained on a little with what `adapting_arrays` gives.

    The shared weights are never written: each candidate is trained on its own copy of them.
    """

    def __init__(
        self,
        space_description: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        config: ScoringConfig,
    ) -> None:
        super().__init__(space_description, arrays, config)
        assert config.adapt is not None
        self._adapt = config.adapt
        self._training = {
            name: torch.from_numpy(np.array(arrays[f"adapting/{name}"]))
            for name in ("images", "labels", "order")
        }

    def answers(
        self,
        architecture: Architecture,
        batch_norm: BatchNormMode = "recalibrated",
        calibration_images: int | None = None,
    ) -> Answers:
        """As `Scorer.answers`, with recalibrated statistics only: the others are of no use here."""
        if batch_norm != "recalibrated":
            raise ValueError(f"adapted scores recalibrate; there is no batch_norm '{batch_norm}'")
        return self._answers_of(self.calibrated(architecture, calibration_images))

    def answer(
        self, architectures: Sequence[Architecture], num_blocks: int = 1, max_bytes: int = 1 << 30
    ) -> Iterator[tuple[int, Iterator[Answers]]]:
        """As `Scorer.answer`, one architecture after another: trained on, they share nothing."""
        if num_blocks != 1:
            raise ValueError(f"adapted networks answer to all images at once, not {num_blocks}")
        for number, architecture in enumerate(architectures):
            yield number, iter([self.answers(architecture)])

    def calibrated(
        self, architecture: Architecture, calibration_images: int | None = None
    ) -> Network:
        """The path's own copy, trained on, with recalibrated statistics, as it is scored."""
        network = stand_alone_copy(self.supernet.path(architecture))
        network = network.to(memory_format=torch.channels_last)
        set_precision(network, self.precision)
        self._train(network)
        batches = self._calibration[:calibration_images].split(self.config.calibration_batch)
        calibrate_batch_norm(network, (self._prepare(batch) for batch in batches))
        return network

    def _train(self, network: Network) -> None:
        adapt, order = self._adapt, self._training["order"]
        network.requires_grad_(True).train()
        optimiser = build_optimiser(network, adapt.optimiser, adapt.learning_rate, 0.0)
        per_epoch = max(len(self._training["images"]) // adapt.batch_size, 1)
        for step, drawn in enumerate(order.split(adapt.batch_size)):
            set_rates(optimiser, adapt.optimiser, adapt.learning_rate, step, per_epoch, adapt.steps)
            x = self._prepare(self._training["images"][drawn])
            labels = self._training["labels"][drawn].to(self.device)
            training_step([network], network, optimiser, x, labels, LabelLoss())
        network.requires_grad_(False)
