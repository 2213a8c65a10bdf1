"""Consecutive blocks of a network, as torch computes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch

from supernet.network import Network
from supernet.spec import OwnBlockSpec
from training.scoring.calibration import calibrated_outputs


def part_of(network: Network, first: int, last: int | None) -> Network:
    """The blocks of `network` from `first` up to `last`, which is not among them; the same modules.

    Its input is what the block before gives.
    """
    spec, part = network.spec, slice(first, last)
    spec = replace(spec, block_names=spec.block_names[part], blocks=spec.blocks[part])
    return Network(spec, {name: network.get_submodule(name) for name in spec.block_names})


class TorchSegment:
    """The blocks of `network`, which no one else uses."""

    def __init__(self, network: Network) -> None:
        self._network = network
        # A user's own block may write into its input, which others will read.
        self._copies = isinstance(network.spec.blocks[0], OwnBlockSpec)

    def calibrated(self, batches: Iterable[Any]) -> Iterator[Any]:
        return calibrated_outputs(self._network, map(self._input, batches))

    def __call__(self, batch: Any) -> Any:
        with torch.inference_mode():
            return self._network(self._input(batch))

    def _input(self, batch: Any) -> Any:
        return batch.clone() if self._copies else batch
