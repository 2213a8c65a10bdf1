"""A frozen network that is asked where it looks: the channel mean of a map of its features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from supernet.files import UserError
from training.data.normalisation import Normalisation
from training.frozen.config import NamedNetwork
from training.frozen.frozen_network import FrozenNetwork, feeding
from training.frozen.sources import Source, check_torchvision_name, read_source
from training.frozen.state_file import read_state

TORCHVISION_SIZE = 224


class Extractor(FrozenNetwork):
    """Attention (B, M, M), M >= grid, of images (B, C, H, W) normalised for the trained network.

    The map is that of the last module that still gives `grid` x `grid` features or more: of a
    ResNet-50 at 224 pixels and a grid of 7 the last stage's.
    """

    def __init__(
        self, source: Source, given: Normalisation, grid: int, device: torch.device
    ) -> None:
        super().__init__(source, given, device)
        self._found: list[Tensor] = []
        images = torch.zeros(1, given.channels, self.size, self.size, device=device)
        _last_map(self, grid, images).register_forward_hook(self._keep)

    def __call__(self, x: Tensor) -> Tensor:
        self.feed(x)
        return self._found.pop()

    def _keep(self, module: nn.Module, arguments: object, features: Tensor) -> None:
        self._found = [features.float().mean(1)]


def _last_map(extractor: Extractor, grid: int, images: Tensor) -> nn.Module:
    """The last module, of those called once, that gives features of `grid` x `grid` or more.

    Raises:
        UserError: there is none.
    """
    called: list[tuple[nn.Module, int]] = []

    def note(module: nn.Module, arguments: object, output: object) -> None:
        # Square maps: transformers that lay channels last give (B, H, W, C).
        if (
            isinstance(output, Tensor)
            and output.dim() == 4
            and output.shape[0] == len(images)
            and output.shape[2] == output.shape[3]
        ):
            called.append((module, output.shape[2]))

    hooks = [module.register_forward_hook(note) for module in extractor.module.modules()]
    try:
        extractor.feed(images)
    finally:
        for hook in hooks:
            hook.remove()
    modules = [module for module, _ in called]
    large = [one for one, side in called if side >= grid and modules.count(one) == 1]
    if not large:
        largest = max((side for _, side in called), default=0)
        raise UserError(
            f"the extractor's largest map of {extractor.size}-pixel images is {largest} x "
            f"{largest}, the grid {grid} x {grid}; raise attention.size or lower attention.grid"
        )
    return large[-1]


def open_extractor(
    network: NamedNetwork,
    size: int | None,
    grid: int,
    seen: Normalisation,
    *,
    num_classes: int,
    device: torch.device,
) -> Extractor:
    """The extractor that a config names, for images normalised as `seen`.

    It looks at them `size` pixels a side; None: as torchvision's models or the network were
    trained. An own function is asked for `num_classes`. Draws nothing from torch's random stream.

    Raises:
        UserError: it cannot be found or read, or cannot be fed with such images.
    """
    if network.file is not None and not network.file.is_file():
        raise UserError(f"extractor {network.file}: there is no such file")
    with torch.random.fork_rng(devices=[]):
        # Weights that an own function draws are the same wherever it is asked for them.
        torch.manual_seed(0)
        source = read_source(network, seen, _num_classes(network, num_classes))
    if source.spec is not None and source.spec.in_channels != seen.channels:
        raise UserError(
            f"extractor {network.name} has {source.spec.in_channels} channels, the images "
            f"{seen.channels}"
        )
    usual = TORCHVISION_SIZE if network.kind == "torchvision" else source.seen.size
    source = replace(source, seen=replace(source.seen, size=size or usual))
    with feeding(network, seen.channels, source.seen.size):
        return Extractor(source, seen, grid, device)


def _num_classes(network: NamedNetwork, num_classes: int) -> int:
    """Of a model of torchvision with weights from a file as many as they have, else as given."""
    if network.kind != "torchvision":
        return num_classes
    check_torchvision_name(network.name)
    return num_classes if network.weights is None else _last_bias(network.name, network.weights)


def _last_bias(name: str, weights: Path) -> int:
    """The length of a model's last bias in a file.

    Raises:
        UserError: the file is no state_dict, or has no such bias.
    """
    from torchvision.models import get_model

    with torch.device("meta"):
        last = list(get_model(name).state_dict())[-1]
    state = read_state(weights)
    if last not in state:
        raise UserError(f"extractor {weights}: is not of {name}, there is no {last}")
    return state[last].shape[0]
