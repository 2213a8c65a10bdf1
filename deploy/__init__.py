"""How it ships: packed model, kernels, runtime, exporters.

From a torch network to a number: `lowering/` makes a plan of it, `plan/` is plain data (operations
and parameters), `engine/` turns a plan into a program and runs it, on `kernels/`, whose C++ is in
`native/`. `parts/` run pieces of a network, packed or in torch. `packed_file` and `card_file` are
what is written, `checking` compares with torch, `bench` times; `exporters/` and `c_export/` write
other programs' formats; `zoo_models` finds the models that come with evobit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.lazy import keep_former_paths, lazily

if TYPE_CHECKING:
    from deploy.engine.packed_network import PackedNetwork as PackedNetwork

_HOME = {
    "PackedNetwork": "deploy.engine.packed_network",
    "load": "deploy.packed_file",
    "pack": "deploy.lowering.network",
}
__getattr__ = lazily(__name__, _HOME)
keep_former_paths({"deploy.runtime": "deploy.engine.packed_network"})
