"""XNOR-Net: AlexNet with scaled binary weights between a real stem and a real classifier.

"XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks" (Rastegari et al.,
ECCV 2016, arXiv 1603.05279), in larq zoo's form, which "Latent Weights Do Not Exist" (arXiv
1906.02107) trains with Bop. The weights have a scale, the inputs have none.
Differs from larq zoo: padding is symmetric, where TensorFlow's `same` pads 3 and 4 pixels, and no
training here clips latent weights to [-1, 1] as its `weight_clip` does.
"""

from __future__ import annotations

from supernet.spec import BinaryLayerSpec, HeadSpec, NetworkSpec, PoolSpec, StemSpec
from supernet.spec.building import Chain, Image, Stem

STEM_CHANNELS = 96
# Output channels, kernel, window of the pool.
CONVOLUTIONS = ((256, 5, 3), (384, 3, 0), (384, 3, 0), (256, 3, 3))
FEATURES = 4096
NORM_EPS = 1e-4


def xnor_net(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """At 224 pixels the maps have 56 -> 27, 27 -> 13, 13, 13, 13 -> 6 pixels a side."""
    chain = Chain(image)
    before = STEM_CHANNELS
    first = StemSpec(image.channels, before, 11, 4, image.size, relu=True, norm_factor=False)
    chain.add("stem", first)
    chain.add("pool", PoolSpec(before, 3, 2, 0, chain.size, norm=True, norm_eps=NORM_EPS))
    for number, (channels, kernel_size, pool) in enumerate(CONVOLUTIONS, start=2):
        layer = BinaryLayerSpec(
            before,
            channels,
            kernel_size,
            kernel_size // 2,
            chain.size,
            pool_size=pool,
            scaled=True,
            norm_eps=NORM_EPS,
        )
        chain.add(f"conv{number}", layer)
        before = channels
    for number, eps in enumerate((NORM_EPS, 1e-3), start=1):
        dense = BinaryLayerSpec(
            before,
            FEATURES,
            chain.size,
            0,
            chain.size,
            relu=number == 2,
            scaled=True,
            norm_eps=eps,
        )
        chain.add(f"dense{number}", dense)
        before = FEATURES
    chain.add("head", HeadSpec(before, classes, chain.size, bias=False))
    return chain.network(name, classes)
