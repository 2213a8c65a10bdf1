"""Published networks by name, as plain data: one file a paper."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast, get_args

from supernet.files import UserError
from supernet.networks import binary_alexnet, binarynet, bireal, reactnet, xnor_net
from supernet.spec import NetworkSpec
from supernet.spec.building import Image, Stem, demand_whole, demand_width


@dataclass(frozen=True)
class PublishedNetwork:
    """How to make its spec, and the images and classes of its paper.

    `stems`: whether it has the small stem besides that of its paper. `widths`: whether its numbers
    of channels can be multiplied.
    """

    make: Callable[[str, Image, int, Stem, float], NetworkSpec]
    image_size: int = 224
    classes: int = 1000
    stems: bool = True
    widths: bool = True


NETWORKS: dict[str, PublishedNetwork] = {
    "reactnet-a": PublishedNetwork(reactnet.reactnet_a),
    "reactnet-b": PublishedNetwork(reactnet.reactnet_b),
    "reactnet-c": PublishedNetwork(reactnet.reactnet_c),
    "react-resnet-18": PublishedNetwork(reactnet.react_resnet_18),
    "react-resnet-34": PublishedNetwork(reactnet.react_resnet_34),
    "bireal-18": PublishedNetwork(bireal.bireal_18),
    "bireal-34": PublishedNetwork(bireal.bireal_34),
    "bireal-50": PublishedNetwork(bireal.bireal_50),
    "bireal-152": PublishedNetwork(bireal.bireal_152),
    "binarynet": PublishedNetwork(binarynet.binarynet, 32, 10, stems=False, widths=False),
    "binary-alexnet": PublishedNetwork(binary_alexnet.binary_alexnet, stems=False, widths=False),
    "xnor-net": PublishedNetwork(xnor_net.xnor_net, stems=False, widths=False),
}


def network_spec(
    name: str,
    image_size: int | None = None,
    classes: int | None = None,
    in_channels: int = 3,
    stem: str = "published",
    width: float = 1.0,
) -> NetworkSpec:
    """The network of that name, for its paper's images and classes unless said.

    Args:
        name: a key of `NETWORKS`.
        image_size: pixels a side.
        classes: number of logits.
        in_channels: of an image.
        stem: `published`, or `small`: 3x3 with stride 1 and no pool, for images of about 32 pixels.
        width: factor on all numbers of channels but the image's; 1 is the paper's.

    Raises:
        UserError: no such network, stem or width, a number below 1, or images too small for the
            network.
    """
    if name not in NETWORKS:
        (nearest,) = difflib.get_close_matches(name, NETWORKS, n=1, cutoff=0.0)
        raise UserError(
            f"no network '{name}'; did you mean '{nearest}'? There are {', '.join(NETWORKS)}"
        )
    found = NETWORKS[name]
    image_size = found.image_size if image_size is None else image_size
    classes = found.classes if classes is None else classes
    where = f"network '{name}'"
    demand_whole(where, image_size=image_size, classes=classes, in_channels=in_channels)
    stems = get_args(Stem)
    if stem not in stems:
        raise UserError(f"{where}: no stem '{stem}'; there are {', '.join(stems)}")
    if stem != "published" and not found.stems:
        raise UserError(f"{where} has no stem but its published one")
    demand_width(where, width)
    if width != 1 and not found.widths:
        raise UserError(f"{where} has no width but 1")
    image = Image(in_channels, image_size)
    try:
        return found.make(name, image, classes, cast(Stem, stem), width)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except ValueError as error:
        raise UserError(f"{where}: images of {image_size} pixels: {error}") from error
