"""BinaryNet for CIFAR: six binary convolutions and three binary fully connected layers.

"Binarized Neural Networks" (Hubara et al., NIPS 2016, arXiv 1602.02830), in the form of
"Latent Weights Do Not Exist" (Helwegen et al., NeurIPS 2019, arXiv 1906.02107): no biases,
BatchNorm without a factor, an unpadded first convolution with binary weights on the real image.
Differs from that code (plumerai/rethinking-bnn-optimization): latent weights, where there are any,
are not clipped to [-1, 1].
"""

from __future__ import annotations

from supernet.spec import BinaryLayerSpec, LogitsSpec, NetworkSpec
from supernet.spec.building import Chain, Image, Stem

# Keras' momentum of 0.99 keeps 0.99 of the old statistics; torch's is the share of the new.
MOMENTUM = 0.01


def binarynet(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """At 32 pixels the maps have 30, 30 -> 15, 15 -> 7, 7 -> 3 pixels a side."""
    chain = Chain(image)
    before = image.channels
    # Output channels, padding, window of the pool.
    convolutions = ((128, 0, 0), (128, 1, 2), (256, 1, 0), (256, 1, 2), (512, 1, 0), (512, 1, 2))
    for number, (channels, padding, pool) in enumerate(convolutions, start=1):
        layer = BinaryLayerSpec(
            before,
            channels,
            3,
            padding,
            chain.size,
            input="real" if number == 1 else "sign",
            pool_size=pool,
            norm_momentum=MOMENTUM,
        )
        chain.add(f"conv{number}", layer)
        before = channels
    for number, features in enumerate((1024, 1024, classes), start=1):
        # The first reads the whole 3x3 map: 512 x 3 x 3 = 4608 features.
        dense = BinaryLayerSpec(before, features, chain.size, 0, chain.size, norm_momentum=MOMENTUM)
        chain.add(f"dense{number}", dense)
        before = features
    chain.add("logits", LogitsSpec(classes))
    return chain.network(name, classes)
