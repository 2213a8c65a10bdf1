"""The largest numbers that a config takes, far above what anybody needs.

What is beyond them is a mistyped number, or a trap: memory that no machine has, threads of which
the system ends the process, work without an end.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MAX_EPOCHS = 10**6
MAX_IMAGES = 10**9
"""Of a data set, or a part of one."""
MAX_SIDE = 1024
"""Pixels, as `data.image_size`."""
MAX_COUNT = 10**6
"""Of candidates, networks, samples, neighbours: of what a run makes or looks at."""
MAX_REPEATS = 1000
"""Of what is done over for each image, step or network."""
MAX_WORKERS = 10_000
MAX_THREADS = 256
"""Of a process; as of the kernels."""
MAX_SECONDS = 10**8
"""Three years."""
MAX_FLOAT = 1e38
"""Beyond lies what single precision takes for infinite."""

Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""Any whole number of 64 bits."""
