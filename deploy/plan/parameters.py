"""The numbers of a packed network, as a file holds them, and which operation owns which."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.plan.plan import Plan
from supernet.files import UserError


@dataclass(frozen=True, eq=False)
class Parameters:
    """All binary weights and all real parameters of a plan, operation after operation.

    `bits` holds each binary convolution's weights (`deploy.kernels.bits.weights_to_bytes`), from a
    whole byte on; `reals` each operation's `real_sizes` in that order, flattened in C order.
    """

    bits: NDArray[np.uint8]
    reals: NDArray[np.float32]


def operation_parameters(plan: Plan, parameters: Parameters) -> list[dict[str, np.ndarray]]:
    """Views of each operation's parameters: "bits" of a binary convolution, and its reals by name.

    Raises:
        UserError: there are more or fewer than the plan needs, or a real is NaN or infinite.
    """
    bits, reals = parameters.bits, parameters.reals
    for name, array, dtype in (("binary weights", bits, np.uint8), ("reals", reals, np.float32)):
        if array.ndim != 1 or array.dtype != dtype:
            raise UserError(
                f"the network's {name}: expected a flat {np.dtype(dtype).name} array, "
                f"found {array.dtype.name} of shape {array.shape}"
            )
    shapes, slices = plan.shapes(), []
    bit_at = real_at = 0
    for operation in plan.operations:
        source = shapes[operation.source]
        own: dict[str, np.ndarray] = {}
        if num_bytes := operation.num_bit_bytes(source):
            own["bits"] = bits[bit_at : bit_at + num_bytes]
            bit_at += num_bytes
        for name, shape in operation.real_sizes(source).items():
            size = math.prod(shape)
            part = reals[real_at : real_at + size]
            if part.size == size:  # else the sizes do not add up, as is said below
                own[name] = part.reshape(shape)
                if not np.isfinite(part).all():
                    raise UserError(f"{operation.name}: its {name} is not finite")
            real_at += size
        slices.append(own)
    if (bit_at, real_at) != (bits.size, reals.size):
        raise UserError(
            f"the plan needs {bit_at} bytes of binary weights and {real_at} reals, "
            f"found {bits.size} and {reals.size}"
        )
    return slices
