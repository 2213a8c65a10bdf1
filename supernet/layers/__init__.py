"""Binary layers, one file a layer; each states its forward and its gradient formula.

`sign` and `binary_input` make an input binary, `rsign` with a learned threshold. `binary_weight`
makes a weight binary and `binary_conv` convolves with it; `nested_conv` shares one weight among
numbers of groups; `dorefa` and `pact` are weights and activations of more bits. `rprelu` and
`shift_norm` follow a convolution, `small_map_conv` is a faster one on a CPU. `initialisation` draws
latent weights; `layer` is what a layer says of its own numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.lazy import lazily

if TYPE_CHECKING:
    from supernet.layers.binary_conv import BinaryConv2d as BinaryConv2d
    from supernet.layers.rprelu import RPReLU as RPReLU
    from supernet.layers.rsign import RSign as RSign
    from supernet.layers.sign import approx_sign as approx_sign
    from supernet.layers.sign import ste_sign as ste_sign
    from supernet.layers.sign import swish_sign as swish_sign

_HOME = {
    "BinaryConv2d": "supernet.layers.binary_conv",
    "RPReLU": "supernet.layers.rprelu",
    "RSign": "supernet.layers.rsign",
    "approx_sign": "supernet.layers.sign",
    "ste_sign": "supernet.layers.sign",
    "swish_sign": "supernet.layers.sign",
}
__getattr__ = lazily(__name__, _HOME)
