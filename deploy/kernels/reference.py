"""The kernels' results by torch, exactly, where the compiled kernels are not installed.

torch is imported at the first call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deploy.kernels.bits import binarize_map, signs_of
from deploy.kernels.shapes import ConvShape, Epilogue, Floats, PadValue, SignMap


def conv_counts(
    signs: SignMap, negative: NDArray[np.bool_], shape: ConvShape, pad_value: PadValue
) -> NDArray[np.int32]:
    """The integer convolution of signs, (N, H', W', Cout): fp32 holds every partial sum exactly."""
    import torch
    from torch.nn import functional as F

    pad = shape.padding
    padded = np.pad(
        signs_of(signs).astype(np.float32),
        ((0, 0), (pad, pad), (pad, pad), (0, 0)),
        constant_values=pad_value,
    )
    weights = torch.from_numpy(1 - 2 * negative.astype(np.float32))
    x = torch.from_numpy(padded).permute(0, 3, 1, 2)
    with torch.no_grad():
        counts = F.conv2d(x, weights, None, shape.stride, 0, 1, shape.groups)
    return np.ascontiguousarray(counts.permute(0, 2, 3, 1).numpy().astype(np.int32))


def apply_epilogue(counts: NDArray[np.int32] | Floats, epilogue: Epilogue) -> Floats:
    """The formula of `Epilogue`, every step rounded once as the kernels do.

    A real convolution's sums, with a scale of 1, take the place of counts.
    """
    # A count has 24 bits at most and a scale 24: their product is exact in a double.
    y = (counts.astype(np.float64) * epilogue.scale + epilogue.bias).astype(np.float32)
    if epilogue.residual is not None:
        channels = np.arange(y.shape[-1]) % epilogue.residual.shape[-1]
        y = y + epilogue.residual[..., channels]
    if epilogue.slope is not None:
        return np.where(y > 0, y, y * epilogue.slope)
    if epilogue.rprelu is not None:
        gamma, beta, zeta = epilogue.rprelu
        y = y - gamma
        return np.where(y > 0, y, y * beta) + zeta
    return y


def run_conv(
    signs: SignMap,
    negative: NDArray[np.bool_],
    shape: ConvShape,
    pad_value: PadValue,
    epilogue: Epilogue,
    out: Floats | None,
    bits: SignMap | None,
) -> None:
    """What `BinaryConv` does, into `out`, `bits` or both."""
    y = apply_epilogue(conv_counts(signs, negative, shape, pad_value), epilogue)
    if out is not None:
        out[:] = y
    if bits is not None:
        bits.words[:] = binarize_map(y, epilogue.thresholds, bits.padding).words
