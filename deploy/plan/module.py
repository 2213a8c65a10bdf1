"""A plan as a torch module in fp32: what the packed network is timed against.

Signs and binary weights are +-1 in fp32 and BatchNorm is folded as in the packed network, so that
it is the same network, in its best form for torch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deploy.kernels.bits import weights_from_bytes
from deploy.plan.parameters import Parameters, operation_parameters
from deploy.plan.plan import MapShape, Operation, Plan
from supernet.blocks.binary_unit import cycled


class PlanModule(nn.Module):
    """Images (N, C, S, S), fp32 and normalised, to logits (N, classes)."""

    def __init__(self, plan: Plan, parameters: Parameters) -> None:
        super().__init__()
        self.plan = plan
        shapes = plan.shapes()
        self.steps = nn.ModuleList(
            _Step(operation, shapes[operation.source], arrays)
            for operation, arrays in zip(
                plan.operations, operation_parameters(plan, parameters), strict=True
            )
        )
        readers = [[operation.source, operation.add] for operation in plan.operations]
        # A value is dropped after its last reader, as torch does in a chain of modules.
        self._last = {value: i for i, both in enumerate(readers) for value in both}

    def forward(self, images: Tensor) -> Tensor:
        values: dict[int | None, Tensor] = {0: images}
        for number, operation in enumerate(self.plan.operations):
            source, added = values[operation.source], values.get(operation.add)
            result = self.steps[number](source, added)
            for value in {operation.source, operation.add}:
                if self._last[value] == number:
                    values.pop(value, None)
            values[number + 1] = result
        return values[len(self.plan.operations)].flatten(1)


class _Step(nn.Module):
    """One operation."""

    weight: Tensor
    bias: Tensor
    thresholds: Tensor
    slope: Tensor
    gamma: Tensor
    beta: Tensor
    zeta: Tensor

    def __init__(
        self, operation: Operation, source: MapShape, arrays: dict[str, np.ndarray]
    ) -> None:
        super().__init__()
        self.operation = operation
        tensors = {
            name: torch.from_numpy(np.array(array))
            for name, array in arrays.items()
            if name != "bits"
        }
        if operation.kind == "binary_conv":
            negative = weights_from_bytes(arrays["bits"], operation.conv_shape(source))
            signs = torch.from_numpy(1 - 2 * negative.astype(np.float32))
            tensors["weight"] = signs * tensors.pop("scale").view(-1, 1, 1, 1)
        for name in ("thresholds", "gamma", "zeta"):
            if name in tensors:
                tensors[name] = tensors[name].view(1, -1, 1, 1)
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, x: Tensor, added: Tensor | None) -> Tensor:
        operation = self.operation
        k, stride, padding = operation.kernel_size, operation.stride, operation.padding
        match operation.kind:
            case "avg_pool":
                return F.avg_pool2d(x, k, stride, ceil_mode=True)
            case "max_pool" | "max_pool_inside":
                ceil_mode = operation.kind == "max_pool"
                return F.max_pool2d(x, k, stride, padding, ceil_mode=ceil_mode)
            case "global_avg_pool":
                return x.mean(dim=(2, 3), keepdim=True)
            case "linear":
                return F.linear(x.flatten(1), self.weight, self.bias)[:, :, None, None]
            case "binary_conv":
                limit = self.thresholds if operation.thresholds else 0
                x = (x >= limit).to(x.dtype).mul_(2).sub_(1)
                if padding and operation.pad_value:
                    x = F.pad(x, (padding,) * 4, value=float(operation.pad_value))
                    padding = 0
        y = F.conv2d(x, self.weight, self.bias, stride, padding, 1, operation.groups)
        if added is not None:
            y = y + cycled(added, y.shape[1])
        if operation.activation == "prelu":
            return F.prelu(y, self.slope)
        if operation.activation == "rprelu":
            return F.prelu(y - self.gamma, self.beta) + self.zeta
        return y
