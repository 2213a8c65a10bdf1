"""Convolutions of bits and numbers, in compiled code or numpy.

`library` loads the compiled kernels and chooses an instruction set; `packed_conv` and `real_conv`
are the convolutions, on `shapes` that are checked, `layouts` of weights, `signs` and `bits` as
words; `moments` are a channel's mean and variance; `reference` computes it in numpy. `processor` is
what Linux says of the machine's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.lazy import lazily

if TYPE_CHECKING:
    from deploy.kernels.library import BackendInfo as BackendInfo
    from deploy.kernels.library import backend_info as backend_info
    from deploy.kernels.library import select_isa as select_isa
    from deploy.kernels.library import set_threads as set_threads
    from deploy.kernels.packed_conv import BinaryConv as BinaryConv
    from deploy.kernels.packed_conv import peak_macs as peak_macs
    from deploy.kernels.signs import binarize as binarize
    from deploy.kernels.signs import prepare_binarize as prepare_binarize

__getattr__ = lazily(
    __name__,
    {
        "BackendInfo": "deploy.kernels.library",
        "BinaryConv": "deploy.kernels.packed_conv",
        "backend_info": "deploy.kernels.library",
        "peak_macs": "deploy.kernels.packed_conv",
        "binarize": "deploy.kernels.signs",
        "prepare_binarize": "deploy.kernels.signs",
        "select_isa": "deploy.kernels.library",
        "set_threads": "deploy.kernels.library",
    },
)
