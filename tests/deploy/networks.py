"""Networks for the tests of packing: random weights, settled BatchNorm statistics."""

import torch

from supernet.network import Network, build
from supernet.spaces import space_from_description

SMALL = {"image_size": 32, "classes": 10, "in_channels": 1, "width": 0.25}
COLOUR = {"image_size": 32, "classes": 7, "in_channels": 3, "width": 0.5, "stem_stride": 1}
FORMS = {
    "duplicate, prelu": SMALL,
    "conv, rprelu": {**SMALL, "shortcut": "conv", "activation": "rprelu"},
    "no activation": {**SMALL, "activation": "none"},
    "colour": COLOUR,
    "odd sides": {**SMALL, "image_size": 45, "shortcut": "conv"},
}


def random_network(options: dict, groups: int = 8, seed: int = 0) -> Network:
    """A network of the group space in evaluation mode, each number of it drawn."""
    generator = torch.Generator().manual_seed(seed)
    space = space_from_description({"name": "mobilenet-groups", **options})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(space.decode(space.uniform(groups)))
    for parameter in network.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data.add_(0.2 * noise * parameter.abs().mean())
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(random_images(network, 16, generator))
    return network.eval()


def random_images(network: Network, count: int, generator: torch.Generator) -> torch.Tensor:
    """Normalised images (count, C, S, S)."""
    spec = network.spec
    shape = (count, spec.in_channels, spec.image_size, spec.image_size)
    return torch.randn(shape, generator=generator)
