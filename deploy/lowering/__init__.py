"""From a trained torch network to a plan: BatchNorm and scale folded, weights as bits.

`network` lowers a whole network by the table of blocks; each kind of block has its lowering, and
what torch computes for its operations, in `ends`, `units`, `plain` or `bottleneck`. `lowering` is
the plan so far and what these share, `folding` the arithmetic.
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
