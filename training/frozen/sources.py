"""Where a teacher comes from: torchvision, a network trained here, or the user's own function."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from supernet.files import UserError, check_names_and_shapes, sha256_file
from supernet.plugins import load_module
from training.frozen.state_file import read_state
from training.network_file import load_network

TORCHVISION_CHANNELS = 3


@dataclass(frozen=True)
class Student:
    """What a teacher has to fit: `mean` and `std` are those of the images both are fed with."""

    num_classes: int
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int


@dataclass(frozen=True)
class Source:
    """A teacher's module and the normalisation it was trained with."""

    module: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_network(path: Path, student: Student) -> Source:
    """A network file trained here; it holds its own normalisation.

    Raises:
        UserError: not such a file, or of other classes, channels or image size.
    """
    trained = load_network(path)
    spec, seen = trained.network.spec, trained.normalisation
    for what, found, expected in (
        ("classes", spec.num_classes, student.num_classes),
        ("channels", spec.in_channels, student.in_channels),
        ("pixels a side", seen.size, student.size),
    ):
        if found != expected:
            raise UserError(f"teacher {path} has {found} {what}, the student {expected}")
    return Source(trained.network, seen.mean, seen.std)


def read_torchvision(
    name: str, weights: Path | None, student: Student, role: str = "teacher"
) -> Source:
    """A model of torchvision with pretrained weights, or with those of a file.

    A file is taken to be trained with the student's normalisation, unless it is torchvision's.
    `role` is what messages call the model.

    Raises:
        UserError: the file does not fit, or the download failed.
    """
    from torchvision.models import get_model

    if weights is None:
        pretrained = _pretrained(name).DEFAULT
        section = "distillation" if role == "teacher" else "attention"
        try:
            module = get_model(name, weights=pretrained)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{role} {name}: downloading {pretrained.url} failed ({error}); "
                f"expected a network connection, or that file in {section}.weights"
            ) from error
    else:
        module = get_model(name, num_classes=student.num_classes)
        load_strictly(module, weights)
        pretrained = _published_as(name, weights)
        if pretrained is not None and hasattr(module, "transform_input"):
            module.transform_input = True  # googlenet, inception_v3: part of those weights
    if pretrained is None:
        return Source(module, student.mean, student.std)
    seen = pretrained.transforms()
    return Source(module, tuple(seen.mean), tuple(seen.std))


def check_torchvision(
    name: str, weights: Path | None, *, num_classes: int, in_channels: int
) -> None:
    """Compare the name, channels and pretrained classes, reading no weights.

    Raises:
        UserError: names both sides.
    """
    check_torchvision_name(name)
    if in_channels != TORCHVISION_CHANNELS:
        raise UserError(
            f"teacher {name} has {TORCHVISION_CHANNELS} channels, the student {in_channels}; "
            "a 'file.py:function' of your own can take others"
        )
    pretrained_classes = len(_pretrained(name).DEFAULT.meta["categories"])
    if weights is None and num_classes != pretrained_classes:
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


def own_function(name: str, role: str = "teacher") -> Callable[..., Any]:
    """The function 'module:function' or 'file.py:function'.

    Raises:
        UserError: no such module, file or function.
    """
    where, _, function_name = name.rpartition(":")
    function = getattr(load_module(where, f"{role} '{name}'"), function_name, None)
    if not callable(function):
        raise UserError(f"{role} '{name}': there is no function {function_name} in {where}")
    return function


def read_own(name: str, weights: Path | None, student: Student, role: str = "teacher") -> Source:
    """What the user's function makes, with the weights of a file where one is given.

    Raises:
        UserError: it fails or makes no module, or the file does not fit.
    """
    function = own_function(name, role)
    try:
        module = function(num_classes=student.num_classes, in_channels=student.in_channels)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{role} '{name}' failed ({type(error).__name__}: {error}); it is called with "
            "num_classes and in_channels. EVOBIT_DEBUG=1 shows where"
        ) from error
    if not isinstance(module, nn.Module):
        raise UserError(
            f"{role} '{name}' returned a {type(module).__name__}, expected a torch.nn.Module"
        )
    if weights is not None:
        load_strictly(module, weights)
    return Source(module, student.mean, student.std)


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
