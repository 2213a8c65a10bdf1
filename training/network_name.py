"""How a config names a network that is not being trained: a teacher, an extractor."""

from __future__ import annotations

from typing import Literal

NAME_IN_WORDS = (
    "a torchvision classification model such as resnet34; or the network.safetensors of a network "
    "trained here; or 'module:function' or 'file.py:function' that makes your own from num_classes "
    "and in_channels"
)


def check_network_name(name: str) -> str:
    """Return `name` if it is a torchvision model, a file or a function, in form.

    Raises:
        ValueError: it is none of them.
    """
    module, separator, function = name.rpartition(":")
    is_function = separator and not name.endswith(".safetensors")
    if not name or (is_function and not (module and function.isidentifier())):
        raise ValueError(
            f"is {name!r}, expected a torchvision model, a network.safetensors, or "
            "'module:function' or 'file.py:function' of your own"
        )
    return name


def network_kind(name: str) -> Literal["network", "own", "torchvision"]:
    """A network trained here, the user's own function, or a name of torchvision."""
    if name.endswith(".safetensors"):
        return "network"
    return "own" if ":" in name else "torchvision"
