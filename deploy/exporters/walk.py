"""A plan, operation by operation, into the graph of another program."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from deploy.kernels.bits import weights_from_bytes
from deploy.kernels.shapes import Floats
from deploy.plan.parameters import Parameters, operation_parameters
from deploy.plan.plan import MapShape, Operation, Plan

Value = TypeVar("Value")
"""How a program names the result of a node."""


@dataclass(frozen=True)
class Window:
    """Of a convolution or a pool; padding as (top, left, bottom, right) pixels."""

    kernel_size: int
    stride: int
    padding: tuple[int, int, int, int]


class Graph(ABC, Generic[Value]):
    """What a program offers; maps are (N, C, H, W), numbers of each channel (C,).

    `name` is the operation of the plan that a node belongs to.
    """

    @abstractmethod
    def conv(
        self, name: str, x: Value, weight: Floats, bias: Floats, window: Window, groups: int
    ) -> Value:
        """A real convolution; `weight` is (Cout, Cin/groups, k, k)."""

    @abstractmethod
    def counts(
        self,
        name: str,
        x: Value,
        thresholds: Floats | None,
        negative: NDArray[np.bool_],
        window: Window,
        groups: int,
        pad_value: int,
    ) -> Value:
        """The convolution of signs with signs, a whole number: +1 where x >= threshold (or 0).

        `negative` says which weights are -1, (Cout, Cin/groups, k, k).
        """

    @abstractmethod
    def multiply(self, name: str, x: Value, factor: Floats) -> Value:
        """By a number of each channel."""

    @abstractmethod
    def shift(self, name: str, x: Value, numbers: Floats) -> Value:
        """Add a number of each channel."""

    @abstractmethod
    def add(self, name: str, x: Value, y: Value) -> Value:
        """Of two maps of one shape."""

    @abstractmethod
    def cycled(self, name: str, x: Value, channels: int, result: int) -> Value:
        """`result` channels, channel c being channel c mod `channels` of x."""

    @abstractmethod
    def prelu(self, name: str, x: Value, slope: Floats) -> Value:
        """x where x > 0, else x * slope."""

    @abstractmethod
    def average(self, name: str, x: Value, window: Window) -> Value:
        """Over the pixels of each window that are not padding."""

    @abstractmethod
    def maximum(self, name: str, x: Value, window: Window) -> Value:
        """Over the pixels of each window that are not padding."""

    @abstractmethod
    def mean(self, name: str, x: Value) -> Value:
        """Over all pixels; a map of one."""


def walk(plan: Plan, parameters: Parameters, graph: Graph[Value], images: Value) -> list[Value]:
    """Add all operations to a graph; gives every value of the plan, the images first."""
    shapes, values = plan.shapes(), [images]
    for number, own in enumerate(operation_parameters(plan, parameters)):
        operation = plan.operations[number]
        source = shapes[operation.source]
        y = _computed(graph, operation, source, own, values[operation.source])
        if operation.add is not None:
            added, channels = values[operation.add], shapes[operation.add].channels
            if channels != operation.channels:
                added = graph.cycled(operation.name, added, channels, operation.channels)
            y = graph.add(operation.name, y, added)
        values.append(_activated(graph, operation, own, y))
    return values


def _computed(
    graph: Graph[Value],
    operation: Operation,
    source: MapShape,
    own: dict[str, np.ndarray],
    x: Value,
) -> Value:
    """An operation's value before the addition and the activation."""
    name, window = operation.name, window_of(operation, source)
    match operation.kind:
        case "conv":
            return graph.conv(name, x, own["weight"], own["bias"], window, operation.groups)
        case "linear":
            return graph.conv(name, x, own["weight"][:, :, None, None], own["bias"], window, 1)
        case "binary_conv":
            negative = weights_from_bytes(
                np.ascontiguousarray(own["bits"]), operation.conv_shape(source)
            )
            groups, pad_value = operation.groups, operation.pad_value
            thresholds = own.get("thresholds")
            y = graph.counts(name, x, thresholds, negative, window, groups, pad_value)
            return graph.shift(name, graph.multiply(name, y, own["scale"]), own["bias"])
        case "avg_pool":
            return graph.average(name, x, window)
        case "max_pool" | "max_pool_inside":
            return graph.maximum(name, x, window)
        case "global_avg_pool":
            return graph.mean(name, x)


def _activated(
    graph: Graph[Value], operation: Operation, own: dict[str, np.ndarray], y: Value
) -> Value:
    name = operation.name
    if operation.activation == "prelu":
        return graph.prelu(name, y, own["slope"])
    if operation.activation == "rprelu":
        bent = graph.prelu(name, graph.shift(name, y, -own["gamma"]), own["beta"])
        return graph.shift(name, bent, own["zeta"])
    return y


def window_of(operation: Operation, source: MapShape) -> Window:
    """An operation's window, padded below and to the right as far as its last one reaches.

    So that no program needs a rule for windows that end outside: 7 pixels in windows of 2 are 4
    windows, (4 - 1) * 2 + 2 - 7 = 1 pixel more than there are. Pixels that no window reads stay.
    """
    k, stride, padding = operation.kernel_size, operation.stride, operation.padding
    if operation.kind in ("conv", "binary_conv"):
        return Window(k, stride, (padding,) * 4)
    result = operation.result_shape(source)
    bottom, right = (
        max(0, (windows - 1) * stride + k - side - padding)
        for windows, side in zip(result.sides, source.sides, strict=True)
    )
    return Window(k, stride, (padding, padding, bottom, right))
