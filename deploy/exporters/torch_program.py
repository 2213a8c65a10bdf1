"""torch.export (.pt2): the network itself as a program of torch's own operations.

Nothing is folded, so that the logits are the very same; a network with layers that cannot be packed
can be exported too. The file needs torch alone to be loaded.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from supernet.files import UserError

if TYPE_CHECKING:
    from supernet.network import Network

METADATA = "evobit.json"
"""The file in the archive that says what `deploy.exporters.exported.describe` does, as JSON."""


def export(network: Network, metadata: Mapping[str, str]) -> bytes:
    """The program's file, for any number of images.

    Raises:
        UserError: torch.export cannot express a block, by its name.
    """
    spec = network.spec
    images = torch.zeros(2, spec.in_channels, spec.image_size, spec.image_size)
    batch = {0: torch.export.Dim("batch", min=1)}
    with torch.no_grad(), _block_named(network):
        program = torch.export.export(network, (images,), dynamic_shapes=(batch,))
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={METADATA: json.dumps(dict(metadata), indent=2)})
    return file.getvalue()


def loaded(content: bytes) -> Callable[[Tensor], Tensor]:
    """The program of a file, as a function of normalised images (N, C, S, S)."""
    return torch.export.load(io.BytesIO(content)).module()


@contextmanager
def _block_named(network: Network) -> Iterator[None]:
    """Say in which block an error arises, without torch's own pages about it."""
    entered = "none"

    def entering(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            nonlocal entered
            entered = name

        return hook

    blocks = [(name, network.get_submodule(name)) for name in network.spec.block_names]
    hooks = [block.register_forward_pre_hook(entering(name)) for name, block in blocks]
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    except Exception as error:  # whatever a layer does that cannot be traced
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"block '{entered}': torch.export cannot express it ({line})") from error
    finally:
        logging.disable(disabled)
        for hook in hooks:
            hook.remove()
