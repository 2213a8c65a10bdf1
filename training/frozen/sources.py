"""Where frozen networks come from: torchvision, a network trained here, a user's function."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from supernet.files import UserError, check_names_and_shapes, sha256_file
from supernet.plugins import own_code
from supernet.spec import NetworkSpec
from training.data.normalisation import Normalisation
from training.frozen.config import NamedNetwork
from training.frozen.state_file import read_state
from training.network_file import load_network

TORCHVISION_CHANNELS = 3


@dataclass(frozen=True)
class Source:
    """A module and what it was trained to see; `spec`: of a network trained here."""

    module: nn.Module
    seen: Normalisation
    spec: NetworkSpec | None = None


def read_source(network: NamedNetwork, given: Normalisation, num_classes: int) -> Source:
    """The network that a config names, to be fed with images that are normalised as `given`.

    A network trained here holds its own normalisation. A user's own is taken to be trained with
    `given`, and so are a file's weights of a model of torchvision, unless they are torchvision's.

    Raises:
        UserError: it cannot be made, read or downloaded, or a file's weights do not fit.
    """
    match network.kind:
        case "network":
            trained = load_network(Path(network.name))
            return Source(trained.network, trained.normalisation, trained.network.spec)
        case "own":
            return Source(_own_module(network, num_classes, given.channels), given)
        case "torchvision":
            return _read_torchvision(network, given, num_classes)


def _read_torchvision(network: NamedNetwork, given: Normalisation, num_classes: int) -> Source:
    from torchvision.models import get_model

    name, weights = network.name, network.weights
    if weights is None:
        pretrained = _pretrained(name).DEFAULT
        section = "distillation" if network.role == "teacher" else "attention"
        try:
            module = get_model(name, weights=pretrained)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{network.role} {name}: downloading {pretrained.url} failed ({error}); "
                f"expected a network connection, or that file in {section}.weights"
            ) from error
    else:
        module = get_model(name, num_classes=num_classes)
        load_strictly(module, weights)
        pretrained = _published_as(name, weights)
        if pretrained is not None and hasattr(module, "transform_input"):
            module.transform_input = True  # googlenet, inception_v3: part of those weights
    if pretrained is None:
        return Source(module, Normalisation(_three(given.mean), _three(given.std), given.size))
    own = pretrained.transforms()
    return Source(module, Normalisation(tuple(own.mean), tuple(own.std), given.size))


def _three(values: tuple[float, ...]) -> tuple[float, ...]:
    """A value for each channel of torchvision's models, of grey images the one for all."""
    return values * TORCHVISION_CHANNELS if len(values) == 1 else values


def check_torchvision(network: NamedNetwork, *, num_classes: int, in_channels: int) -> None:
    """Compare a teacher's name, channels and pretrained classes, reading no weights.

    Raises:
        UserError: names both sides.
    """
    name = network.name
    check_torchvision_name(name)
    if in_channels != TORCHVISION_CHANNELS:
        raise UserError(
            f"teacher {name} has {TORCHVISION_CHANNELS} channels, the student {in_channels}; "
            "a 'file.py:function' of your own can take others"
        )
    pretrained_classes = len(_pretrained(name).DEFAULT.meta["categories"])
    if network.weights is None and num_classes != pretrained_classes:
        raise UserError(
            f"teacher {name}: its pretrained weights have {pretrained_classes} classes, the "
            f"student {num_classes}; give distillation.weights, trained on the student's classes"
        )


def check_torchvision_name(name: str) -> None:
    """Demand a classification model of torchvision.

    Raises:
        UserError: there is none of that name.
    """
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise UserError(
            f"no classification model '{name}' in torchvision"
            + (f", did you mean '{near[0]}'" if near else "")
            + "; or name a network.safetensors trained here, or 'module:function' or "
            "'file.py:function' of your own"
        )


def own_function(network: NamedNetwork) -> Callable[..., Any]:
    """The function 'module:function' or 'file.py:function'.

    Raises:
        UserError: no such module, file or function.
    """
    what = f"{network.role} '{network.name}'"
    where, _, function_name = network.name.rpartition(":")
    function = own_code(network.name, what)
    if not callable(function):
        raise UserError(f"{what}: there is no function {function_name} in {where}")
    return function


def _own_module(network: NamedNetwork, num_classes: int, in_channels: int) -> nn.Module:
    """What the user's function makes, with the weights of a file where one is given."""
    function, what = own_function(network), f"{network.role} '{network.name}'"
    try:
        module = function(num_classes=num_classes, in_channels=in_channels)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{what} failed ({type(error).__name__}: {error}); it is called with "
            "num_classes and in_channels. EVOBIT_DEBUG=1 shows where"
        ) from error
    if not isinstance(module, nn.Module):
        raise UserError(f"{what} returned a {type(module).__name__}, expected a torch.nn.Module")
    if network.weights is not None:
        load_strictly(module, network.weights)
    return module


def load_strictly(module: nn.Module, path: Path) -> None:
    """Load a state_dict of exactly `module`'s names and shapes.

    Raises:
        UserError: unreadable, or lists missing and extra names and wrong shapes.
    """
    state = read_state(path)
    check_names_and_shapes(state, module.state_dict(), path)
    module.load_state_dict(state)


def _pretrained(name: str) -> Any:
    """The enumeration of torchvision's weights for a model."""
    from torchvision.models import get_model_weights

    return get_model_weights(name)


def _published_as(name: str, path: Path) -> Any | None:
    """Which of torchvision's weights the file is; None for any other file.

    Their addresses end in the first digits of the SHA-256: .../resnet34-b627a593.pth.
    """
    digest = sha256_file(path)
    stems = ((weights, Path(weights.url).stem) for weights in _pretrained(name))
    return next(
        (weights for weights, stem in stems if digest.startswith(stem.split("-")[-1])), None
    )
