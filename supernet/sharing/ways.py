"""The ways in which the networks of a supernet share weights, by the names that a config gives."""

from typing import Literal

Sharing = Literal["independent", "nested", "sliced", "generated"]
"""independent: every choice of a block has its own weights.
nested: one weight for all group numbers, stored in rings (`NestedBinaryConv2d`).
sliced: every block is cut from the largest network's; see `supernet.sharing.slices`.
generated: a network makes the weights of each channel number (MetaPruning's PruningNet)."""

FROM_LARGEST = ("sliced", "generated")
"""Those whose paths have shapes of their own, and may have a binarization of their own."""
