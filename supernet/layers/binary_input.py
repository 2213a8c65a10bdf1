"""What a binary convolution reads of its input: signs, or in a phase of training something real.

The real ones are Bi-Real Net's staged initialisation (Liu et al., ECCV 2018, arXiv 1808.00278;
steps in its repository's README): ReLU, then leaky clip, then clip, then signs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from supernet.binarization import Activations, Binarization, SignOfZero, Surrogate
from supernet.layers.sign import approx_sign, ste_sign, swish_sign

OUTER_SLOPE = 0.1


def leaky_clip(x: Tensor) -> Tensor:
    """x in [-1, 1], outside of it with a slope of 0.1.

    Forward:   y = clip(x, -1, 1) + 0.1 (x - clip(x, -1, 1)).
    Backward:  dy/dx = 1 where |x| < 1, else 0.1: also at exactly -1 and 1, as in the layer of the
               authors' Caffe code (leaky_clip_layer.cpp).
    """
    # Not the gradient of `clamp`, which at its ends is 0 or 1 by the version of torch.
    outside = torch.lerp(x.detach().clamp(-1, 1), x, OUTER_SLOPE)
    return torch.where(x.abs() < 1, x, outside)


@dataclass(frozen=True)
class BinaryInput:
    """A function of the input without parameters: x -> f(x), in a dtype (default: x's).

    Forward:   binary: sign(x), sign(0) being `zero`; relu: max(0, x); leaky-clip: `leaky_clip`;
               clip: min(max(x, -1), 1); identity: x.
    Backward:  binary: the surrogate's; else autograd's; at exactly -1 and 1 that of clip is 0 under
               torch 2.14.
    """

    kind: Activations = "binary"
    surrogate: Surrogate = "approx"
    zero: SignOfZero = 1

    def under(self, setting: Binarization) -> BinaryInput:
        """This layer's own value under a network's setting."""
        return replace(
            self,
            kind=setting.activations,
            surrogate=self.surrogate if setting.sign is None else setting.sign,
            zero=self.zero if setting.sign_of_zero is None else setting.sign_of_zero,
        )

    def __call__(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        if self.kind == "binary":
            return self._signs(x, dtype or x.dtype)
        return self._real(x).to(dtype or x.dtype)

    def _signs(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        match self.surrogate:
            case "approx":
                return approx_sign(x, dtype, self.zero)
            case "ste":
                return ste_sign(x, dtype, self.zero)
            case "swish":
                return swish_sign(x, dtype, zero=self.zero)

    def _real(self, x: Tensor) -> Tensor:
        match self.kind:
            case "relu":
                return F.relu(x)
            case "leaky-clip":
                return leaky_clip(x)
            case "clip":
                return x.clamp(-1, 1)
        return x
