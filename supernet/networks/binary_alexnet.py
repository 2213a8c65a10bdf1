"""Binary AlexNet: every layer has binary weights, the first reads the real image.

"Binarized Neural Networks" (Hubara et al., NIPS 2016, arXiv 1602.02830), in larq zoo's form, which
"Latent Weights Do Not Exist" (arXiv 1906.02107) trains with Bop.
Differs from larq zoo: padding is symmetric, where TensorFlow's `same` pads 3 and 4 pixels, and no
training here clips latent weights to [-1, 1] as its `weight_clip` does.
"""

from __future__ import annotations

from supernet.spec import BinaryLayerSpec, LogitsSpec, NetworkSpec
from supernet.spec.building import Chain, Image, Stem

# Output channels, kernel, stride, window of the pool.
CONVOLUTIONS = (
    (64, 11, 4, 3),
    (192, 5, 1, 3),
    (384, 3, 1, 0),
    (384, 3, 1, 0),
    (256, 3, 1, 3),
)
FEATURES = 4096


def binary_alexnet(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """At 224 pixels the maps have 56 -> 27, 27 -> 13, 13, 13, 13 -> 6 pixels a side."""
    chain = Chain(image)
    before = image.channels
    for number, (channels, kernel_size, stride, pool) in enumerate(CONVOLUTIONS, start=1):
        layer = BinaryLayerSpec(
            before,
            channels,
            kernel_size,
            kernel_size // 2,
            chain.size,
            stride,
            input="real" if number == 1 else "sign",
            pool_size=pool,
        )
        chain.add(f"conv{number}", layer)
        before = channels
    for number, features in enumerate((FEATURES, FEATURES, classes), start=1):
        chain.add(f"dense{number}", BinaryLayerSpec(before, features, chain.size, 0, chain.size))
        before = features
    chain.add("logits", LogitsSpec(classes))
    return chain.network(name, classes)
