"""A frozen network that is asked where it looks: the channel mean of a map of its features."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.files import UserError
from training.augment.config import AttentionConfig
from training.data.normalisation import Normalisation
from training.frozen.config import network_kind
from training.frozen.sources import (
    TORCHVISION_CHANNELS,
    Source,
    Student,
    check_torchvision_name,
    read_own,
    read_torchvision,
)
from training.frozen.state_file import read_state
from training.network_file import load_network

TORCHVISION_SIZE = 224


class Extractor:
    """Attention (B, M, M), M >= grid, of images (B, C, H, W) normalised for the trained network.

    The map is that of the last module that still gives `grid` x `grid` features or more: of a
    ResNet-50 at 224 pixels and a grid of 7 the last stage's. In evaluation mode and without
    gradient; under bf16 autocast on a GPU that multiplies bf16, else in fp32.
    """

    def __init__(
        self,
        source: Source,
        size: int,
        grid: int,
        channels: int,
        seen: Normalisation,
        device: torch.device,
    ) -> None:
        module = source.module.eval().requires_grad_(False)
        self.module = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.size, self._device = size, device
        self._bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        # x = (p - mean) / std; the extractor wants (p - m) / s = x * (std / s) + (mean - m) / s.
        # Grey images are repeated for its three channels, by the broadcast.
        mean, std, m, s = (
            torch.tensor(values, device=device).view(-1, 1, 1)
            for values in (seen.mean, seen.std, source.mean, source.std)
        )
        self._scale, self._shift = std / s, (mean - m) / s
        self._seen = (tuple(source.mean), tuple(source.std))
        self._found: list[Tensor] = []
        self._watch(_last_map(self, grid, torch.zeros(1, channels, size, size, device=device)))

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        self.forward(x)
        return self._found.pop()

    def forward(self, x: Tensor) -> object:
        """Feed the module with images, resized and normalised as it was trained."""
        x = x * self._scale + self._shift
        if x.shape[2:] != (self.size, self.size):
            shrinks = x.shape[2] > self.size
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=shrinks)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            return self.module(x)

    def digest(self) -> str:
        """SHA-256 of its weights and of the normalisation of its images."""
        digest = hashlib.sha256(f"{self._seen}".encode())
        for name, tensor in self.module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def _watch(self, module: nn.Module) -> None:
        def keep(module: nn.Module, arguments: object, features: Tensor) -> None:
            self._found = [features.float().mean(1)]

        module.register_forward_hook(keep)


@torch.no_grad()
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
        extractor.forward(images)
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
    config: AttentionConfig,
    seen: Normalisation,
    *,
    num_classes: int,
    in_channels: int,
    device: torch.device,
) -> Extractor:
    """The extractor of a config, for images of `in_channels` normalised as `seen`.

    Draws nothing from torch's random stream.

    Raises:
        UserError: it cannot be found or read, or cannot be fed with such images.
    """
    for path in weights_of(config):
        if not path.is_file():
            raise UserError(f"extractor {path}: there is no such file")
    with torch.random.fork_rng(devices=[]):
        # Weights that an own function draws are the same wherever it is asked for them.
        torch.manual_seed(0)
        source, size = _read(config, seen, num_classes, in_channels)
    try:
        return Extractor(source, config.size or size, config.grid, in_channels, seen, device)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"extractor {config.extractor} cannot be fed with {in_channels} channels of "
            f"{config.size or size} x {config.size or size} pixels "
            f"({type(error).__name__}: {error})"
        ) from error


def weights_of(config: AttentionConfig) -> list[Path]:
    """The files that the extractor is read from."""
    if network_kind(config.extractor) == "network":
        return [Path(config.extractor)]
    return [] if config.weights is None else [config.weights]


def _read(
    config: AttentionConfig, seen: Normalisation, num_classes: int, in_channels: int
) -> tuple[Source, int]:
    """The network and the size of its images, where the config names none."""
    name, weights = config.extractor, config.weights
    match network_kind(name):
        case "network":
            trained = load_network(Path(name))
            own = trained.normalisation
            if trained.network.spec.in_channels != in_channels:
                raise UserError(
                    f"extractor {name} has {trained.network.spec.in_channels} channels, the "
                    f"images {in_channels}"
                )
            return Source(trained.network, own.mean, own.std), own.size
        case "own":
            student = Student(num_classes, in_channels, seen.mean, seen.std, seen.size)
            return read_own(name, weights, student, "extractor"), seen.size
        case "torchvision":
            check_torchvision_name(name)
            student = Student(
                num_classes if weights is None else _num_classes(name, weights),
                TORCHVISION_CHANNELS,
                _three(seen.mean),
                _three(seen.std),
                seen.size,
            )
            return read_torchvision(name, weights, student, "extractor"), TORCHVISION_SIZE


def _num_classes(name: str, weights: Path) -> int:
    """Of a model of torchvision with weights from a file: as its last bias is long.

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


def _three(values: tuple[float, ...]) -> tuple[float, ...]:
    return values * TORCHVISION_CHANNELS if len(values) == 1 else values
