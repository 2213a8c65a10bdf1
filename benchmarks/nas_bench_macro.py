"""NAS-Bench-Macro as a table of evobit's: 6,561 networks, 8 positions of 3 blocks, 3 trainings.

Source: Su et al., arXiv 2103.11922, `nas-bench-macro_cifar10.json` of
github.com/xiusu/NAS-Bench-Macro. Top-1 in percent on CIFAR-10; FLOPs are multiply-adds.

    python -m benchmarks.nas_bench_macro nas-bench-macro_cifar10.json macro.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from search.scoring.known_table import KnownTable, Row, TableSpace, save_table
from supernet.space import Position

NAME = "nas-bench-macro"
BLOCKS = (0, 1, 2)
"""Identity; inverted bottleneck of kernel 3, expansion 3; of kernel 5, expansion 6."""


def read(path: str | Path) -> KnownTable:
    """The table out of the authors' file."""
    space = TableSpace(NAME, tuple(Position(f"layer{n}", BLOCKS) for n in range(1, 9)))
    names = [position.name for position in space.positions]
    rows = {}
    for digits, network in json.loads(Path(path).read_text()).items():
        choices = dict(zip(names, map(int, digits), strict=True))
        costs = {"flops": network["flops"], "parameters": network["params"]}
        rows[space.architecture(choices)] = Row(tuple(network["test_acc"]), costs)
    return KnownTable(space, rows)


if __name__ == "__main__":
    save_table(sys.argv[2], read(sys.argv[1]))
