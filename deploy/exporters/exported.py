"""A network in another program's format, before it is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deploy.engine.packed_network import PackedNetwork
from deploy.kernels.shapes import Floats
from deploy.plan.parameters import Parameters
from deploy.plan.plan import Plan
from supernet.files.image_view import View

INPUT, OUTPUT = "images", "logits"
"""The names of a network's input and output in every format."""


@dataclass(frozen=True)
class Exported:
    """A plan as another program's file, and that program ready to run it."""

    plan: Plan
    parameters: Parameters
    content: bytes
    """Of the file itself."""
    runtime: str
    """The program that runs it here, with its version."""
    run: Callable[[Floats], Floats]
    """Logits of normalised images (N, C, S, S)."""
    run_all: Callable[[Floats], list[Floats]]
    """Every value of the plan, the images first, as (N, C, H, W)."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Further files of the same name, by suffix."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What else is to be said of it, JSON-able."""

    def __call__(self, images: Floats) -> Floats:
        """As `run`."""
        return self.run(images)

    def values(self, images: Floats) -> list[Floats]:
        """As `PackedNetwork.values`: (N, H, W, C)."""
        return [np.ascontiguousarray(v.transpose(0, 2, 3, 1)) for v in self.run_all(images)]


def describe(
    size: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    class_names: Sequence[str],
    view: View | None,
) -> dict[str, str]:
    """What a file says of its input and its classes; the lists are JSON. `size` is (C, S, S)."""
    channels, height, width = size
    return {
        "input": f"float32 (N, {channels}, {height}, {width}): (level / 255 - mean) / std of each "
        "channel, levels from 0 to 255",
        "mean": json.dumps(list(mean)),
        "std": json.dumps(list(std)),
        "class_names": json.dumps(list(class_names)),
        **({} if view is None else {"view": json.dumps(view.describe())}),
    }


def describe_packed(packed: PackedNetwork) -> dict[str, str]:
    """As `describe`."""
    plan, seen = packed.plan, packed.preprocessing
    size = (plan.channels, plan.size, plan.size)
    return describe(size, seen.mean, seen.std, packed.class_names, packed.view)
