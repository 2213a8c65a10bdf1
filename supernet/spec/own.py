"""A kind of block of a user's own, which any space may use without a change to the checkout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from supernet.files import UserError
from supernet.spec.layers import LayerSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class OwnBlockSpec(ABC):
    """A block that takes one tensor and gives one; subclasses are frozen dataclasses.

    Equal fields mean one block: it has one set of weights and one row in a latency table.
    """

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Demand a dataclass: equality would see no field of anything else.

        Raises:
            UserError: it is none.
        """
        if "__dataclass_fields__" not in vars(cls):
            raise UserError(f"block {cls.__name__}: expected @dataclass(frozen=True) before it")
        return super().__new__(cls)

    @abstractmethod
    def layers(self) -> tuple[LayerSpec, ...]:
        """Its layers in the order of execution: what costs count and sharing 'sliced' cuts."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Its module with fresh weights, (N, C, H, W) -> (N, C', H', W').

        The parameters of a layer stand in the submodule of the layer's name.
        """
