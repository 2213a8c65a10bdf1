"""How the networks of a supernet share weights."""

from typing import Literal

Sharing = Literal["independent", "nested", "sliced"]
"""independent: every choice of a block has its own weights.
nested: one weight for all group numbers, stored in rings (`NestedBinaryConv2d`).
sliced: every block is cut from the largest network's; see `supernet.sharing.slices`."""
