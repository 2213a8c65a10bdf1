"""DoReFa-Net's weights of k bits, and the convolution that is made with them.

"DoReFa-Net: Training Low Bitwidth Convolutional Neural Networks with Low Bitwidth Gradients" (Zhou
et al., arXiv 1606.06160), equation 9. Its 1-bit case, a scale times signs, is `BinaryConv2d`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from supernet.layers.binary_conv import ConvOptions, LatentConv2d, binary_conv2d
from supernet.layers.layer import REAL_BITS


def dorefa_weight(latent: Tensor, bits: int) -> Tensor:
    """Weights on 2^k equally far levels from -1 to 1, none of them 0; `bits` is k, from 2 to 8.

    Forward:   t = tanh(W),  m = max |t| over the whole layer,  u = t / (2m) + 1/2  (from 0 to 1),
               w = 2 round((2^k - 1) u) / (2^k - 1) - 1.
    Backward:  round passes its gradient G = dL/dw straight through; all other terms are kept, also
               that of m. With v = t / m, which is w without the rounding,
               dL/dW_i = G_i (1 - t_i^2) / m
                         - 1{|t_i| = m} sign(t_i) (1 - t_i^2) / m * sum_j G_j v_j;
               several weights with |t_i| = m share the second term evenly.
    Shape: any; the output is in the latent weights' dtype. Weights that are all 0 stay finite.
    """
    steps = 2**bits - 1
    t = torch.tanh(latent)
    m = t.abs().amax().clamp(min=torch.finfo(t.dtype).tiny)
    scaled = (t / (2 * m) + 0.5) * steps
    # In value round(scaled); its gradient is that of `scaled`.
    rounded = scaled + (scaled.round() - scaled).detach()
    return rounded * (2 / steps) - 1


class DorefaConv2d(LatentConv2d):
    """Convolution with `dorefa_weight`s of 2 to 8 bits, or of 32: the weights as they are.

    A setting of real weights leaves the quantiser out; no setting of signs concerns it. In fp32,
    whatever `precision` says.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bits: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
    ) -> None:
        super().__init__(ConvOptions(real_input=True), stride, padding, groups)
        if not 2 <= bits <= 8 and bits != REAL_BITS:
            raise ValueError(f"bits is {bits}, expected 2 to 8, or {REAL_BITS}")
        self.bits = bits
        self.weight = self.hold_weight(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, H, W) -> (N, Cout, H', W')."""
        is_real = self.options.real_weights or self.bits == REAL_BITS
        weight = self.weight if is_real else dorefa_weight(self.weight, self.bits)
        return binary_conv2d(
            x,
            weight,
            self.stride,
            self.padding,
            self.groups,
            pad_value=self.pad_value,
            real_weights=True,
        )
