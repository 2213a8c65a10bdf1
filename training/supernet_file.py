"""The weights of a trained supernet, read back from its run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from supernet.binarization import Binarization
from supernet.files import as_written, check_names_and_shapes, load_weights
from supernet.spaces import space_from_description
from supernet.supernet import Supernet
from training.run_files.folder import open_finished

STAGE = "supernet"


WEIGHTS = "supernet.safetensors"


def load_supernet(run: Path) -> Supernet:
    """The trained supernet of a finished run folder, on the CPU.

    Raises:
        UserError: not a finished supernet run, or weights that do not fit its space.
    """
    folder = open_finished(run, STAGE)
    tensors, metadata = load_weights(folder.path / WEIGHTS)
    with as_written(folder.manifest_file):
        space = space_from_description(folder.config["space"])
    with torch.device("meta"), as_written(folder.path / WEIGHTS):
        sharing: Any = metadata.get("sharing", "independent")
        described = Binarization.from_description(json.loads(metadata.get("binarization", "{}")))
        supernet = Supernet(space, sharing)
    check_names_and_shapes(tensors, supernet.state_dict(), folder.path / WEIGHTS)
    supernet.load_state_dict(tensors, assign=True)
    supernet.set_binarization(described)
    return supernet
