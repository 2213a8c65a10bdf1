"""What --strict asks of the data set that a command opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from supernet.files import UserError
from supernet.files.telling import is_first_process

if TYPE_CHECKING:
    from training.data import DataConfig


def demand(data: DataConfig, *, strict: bool) -> None:
    """If `strict`, demand that no picture is in two of train, search and test.

    Of several processes that train together the first reads them.

    Raises:
        UserError: one is, or an image cannot be read.
    """
    if strict and is_first_process():
        from evaluate.test_split import demand_distinct

        demand_distinct(data)


def demand_of(network: Path, *, strict: bool) -> None:
    """The same of the data set that a trained network's file names.

    Raises:
        UserError: as above, or it is a packed model, which names none.
    """
    if not strict:
        return
    from deploy.packed_file import is_packed
    from evaluate.test_split import open_network

    if is_packed(network):
        raise UserError(f"--strict: {network}: a packed model names no data set")
    demand(open_network(network).data, strict=True)
