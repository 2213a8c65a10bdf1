"""From a trained torch network to a plan: BatchNorm and scale folded, weights as bits.

`network` lowers a whole network by the table of blocks, `lowering` is the plan so far and the
lowering of each block, `bottleneck` that of one in a file of its own, `folding` the arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.lazy import lazily

if TYPE_CHECKING:
    from deploy.lowering.network import is_packable as is_packable
    from deploy.lowering.network import pack as pack

__getattr__ = lazily(
    __name__,
    {"is_packable": "deploy.lowering.network", "pack": "deploy.lowering.network"},
)
