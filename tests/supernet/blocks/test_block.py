"""What is asked of every block is asked of new ones too, and of no module that is none."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from supernet.binarization import Binarization
from supernet.blocks.binary_unit import BinaryUnit
from supernet.blocks.block import BinaryBlock
from supernet.blocks.building import set_binarization, set_precision
from supernet.layers import BinaryConv2d
from supernet.network import Network, binary_parts, build, compile_units, stand_alone_copy
from supernet.spec import BinaryUnitSpec, HeadSpec, LayerSpec, NetworkSpec, OwnBlockSpec, StemSpec

UNIT = BinaryUnitSpec(8, 8, 3, 1, 1, 4, "identity", "prelu")
SETTING = Binarization(scaled=False, pad_value=1)


class NewBlock(BinaryBlock):
    """A kind of binary block of which the house has no list."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = BinaryConv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.is_compiled = False

    def compile_parts(self, compiled: Any) -> None:
        self.is_compiled = True

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(self.function(x)))


class NoBlock(nn.Module):
    """A user's own module around a unit of the house; its methods mean something else."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = BinaryUnit.from_spec(UNIT)

    def _own(self, *_: Any) -> None:
        raise AssertionError("a user's own method of that name is called by nobody")

    set_binarization = set_precision = take_settings = compile_parts = tensors = put = _own

    def forward(self, x: Tensor) -> Tensor:
        return self.unit(x)


@dataclass(frozen=True)
class OwnSpec(OwnBlockSpec):
    is_new: bool

    def layers(self) -> tuple[LayerSpec, ...]:
        return UNIT.layers()

    def build(self) -> nn.Module:
        return NewBlock() if self.is_new else NoBlock()


def network() -> Network:
    blocks = (StemSpec(1, 8, 3, 1, 4), OwnSpec(True), OwnSpec(False), HeadSpec(8, 2, 4))
    return build(NetworkSpec("own", 1, 4, 2, ("stem", "new", "none", "head"), blocks))


def test_settings_reach_a_new_block_and_the_units_in_a_module_that_is_none() -> None:
    made = network()
    set_binarization(made, SETTING)
    set_precision(made, "bf16")
    parts = dict(binary_parts(made))
    assert list(parts) == ["new", "none.unit"]
    assert all(part.binarization == SETTING for part in parts.values())
    assert [part.conv.precision for part in parts.values()] == ["fp32", "bf16"]
    assert made.stem.precision == "bf16"

    copy = stand_alone_copy(made)
    for name, part in binary_parts(copy):
        own = parts[name]
        assert (part.conv.options, part.conv.precision, part.function) == (
            own.conv.options,
            own.conv.precision,
            own.function,
        )
    assert copy.stem.precision == "bf16"
    x = torch.randn(2, 1, 4, 4)
    assert torch.equal(copy(x), made(x))
    assert made.put(copy.state_dict()) == []


def test_what_a_block_says_is_compiled_is() -> None:
    made = network()
    plain = made.none.unit.compute
    compile_units(made)
    assert made.new.is_compiled and made.none.unit.compute is not plain
    assert made.stem._compiled_call_impl is not None
    assert made.none._compiled_call_impl is None
