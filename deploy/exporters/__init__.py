"""A trained network in the formats of other programs: one file a format."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from supernet.files import UserError


@dataclass(frozen=True)
class Format:
    """A format, and what is needed to write it and to run it once as a check."""

    module: str
    """Has `export`, which gives a `deploy.exporters.exported.Exported` of a packed network."""
    file: str
    """The name of an output file where none is given; its suffix is demanded."""
    packages: tuple[str, ...] = ()
    """Python packages of the extra that has the format's name."""
    beside: tuple[str, ...] = ()
    """Suffixes of further files that are written beside it."""
    of_plan: bool = True
    """Whether it is made of a plan; or of a network itself, and then `export` gives bytes."""


FORMATS = {
    "onnx": Format("deploy.exporters.onnx_model", "network.onnx", ("onnx", "onnxruntime")),
    "qonnx": Format(
        "deploy.exporters.qonnx_model", "network.qonnx.onnx", ("onnx", "onnxruntime", "qonnx")
    ),
    "torch": Format("deploy.exporters.torch_program", "network.pt2", of_plan=False),
    "openvino": Format("deploy.exporters.openvino_model", "network.xml", ("openvino",), (".bin",)),
}


def exporter(name: str) -> Any:
    """The module that writes the format of this name.

    Raises:
        UserError: a package that it needs is not installed.
    """
    for package in FORMATS[name].packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise UserError(
                f"--format {name} needs the package {package} ({error}): "
                f"pip install 'evobit[{name}]'"
            ) from error
    return importlib.import_module(FORMATS[name].module)
