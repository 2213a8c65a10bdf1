"""The packed file: 1 bit a binary weight, the plan, preprocessing and class names; one file.

safetensors with two tensors, `bits` (uint8) and `reals` (float32), each holding the parameters of
all operations in the plan's order. The metadata entry `evobit` is JSON.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from deploy.engine.packed_network import PackedNetwork
from deploy.kernels import library
from deploy.plan.parameters import Parameters
from deploy.plan.preprocessing import Preprocessing
from deploy.plan.text import describe_plan, plan_from_description
from supernet.files import UserError, atomic_write, check_header
from supernet.files.image_view import View
from supernet.files.names import check_names

FORMAT = "evobit/packed"
VERSION = 1
SUFFIX = ".evobit"
ZOO = Path(__file__).resolve().parent / "zoo"
_ZOO_PREFIX = "zoo:"
MAX_HEADER_BYTES = 1 << 24
_KEY = "evobit"  # where safetensors' metadata holds the description


def save(path: str | Path, network: PackedNetwork) -> None:
    """Write a packed file, atomically."""
    from safetensors.numpy import save as to_bytes

    parameters, description = network.parameters, _description(network)
    description["sha256"] = _digest(description, parameters)
    tensors: dict[str, np.ndarray] = {"bits": parameters.bits, "reals": parameters.reals}
    with atomic_write(path) as file:
        file.write(to_bytes(tensors, {_KEY: _compact(description)}))


def model_hash(network: PackedNetwork) -> str:
    """The SHA-256 that a network's packed file carries: of its description and its numbers."""
    return _digest(_description(network), network.parameters)


def load(path: str | Path) -> PackedNetwork:
    """Read a packed file, or `zoo:NAME`, and make it ready to run.

    Raises:
        UserError: missing, truncated, altered, another format or version, or a plan that this
            program cannot run; the message names the file.
    """
    path = find_model(path)
    library.load()  # a wrong EVOBIT_ISA is no fault of the file
    description, parameters = _read(path)
    try:
        plan = plan_from_description(description.get("plan"))
        preprocessing = Preprocessing(
            _numbers(description, "mean"),
            _numbers(description, "std"),
        )
        names = description.get("class_names")
        if not isinstance(names, list) or len(names) != plan.num_classes:
            raise UserError(f"expected {plan.num_classes} class names")
        if not all(isinstance(name, str) for name in names):
            raise UserError("a class name is no text")
        check_names(names, "class")
        view = description.get("view")
        view = None if view is None else View.from_description(view)
        return PackedNetwork(plan, parameters, preprocessing, tuple(names), view)
    except UserError as error:
        raise UserError(f"packed model {path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"packed model {path}: its view is damaged ({error})") from error


def find_model(name: str | Path) -> Path:
    """The file of a model: a path, or `zoo:NAME` of one that comes with evobit.

    Raises:
        UserError: the zoo has no such model; names those it has. Or its prefix was left out.
    """
    text = str(name)
    names = sorted(path.stem for path in ZOO.glob(f"*{SUFFIX}"))
    if not text.startswith(_ZOO_PREFIX):
        if text in names and not Path(name).exists():
            raise UserError(f"{text}: no such file; did you mean '{_ZOO_PREFIX}{text}'?")
        return Path(name)
    if (wanted := text.removeprefix(_ZOO_PREFIX)) not in names:
        raise UserError(f"{text}: the zoo has no such model; it has {', '.join(names) or 'none'}")
    return ZOO / f"{wanted}{SUFFIX}"


def is_in_zoo(path: Path) -> bool:
    """Whether a model comes with evobit."""
    return path.resolve().parent == ZOO


def is_packed(path: Path) -> bool:
    """Whether a file says that it is a packed model, or is named as one."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, MAX_HEADER_BYTES)))
        return bool(json.loads(header["__metadata__"][_KEY])["format"] == FORMAT)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return path.suffix.lower() == SUFFIX


def _read(path: str | Path) -> tuple[dict[str, Any], Parameters]:
    """The description and the parameters, once header and hash are found right."""
    from safetensors import SafetensorError, safe_open

    if Path(path).is_dir():
        raise UserError(f"packed model {path}: is a folder, expected a file")
    try:
        with safe_open(str(path), framework="np") as file:
            metadata = file.metadata() or {}
            names = set(file.keys())
            description = _parse(metadata.get(_KEY, "null"), path)
            if names != {"bits", "reals"}:
                raise UserError(f"packed model {path}: expected the tensors bits and reals")
            parameters = Parameters(file.get_tensor("bits"), file.get_tensor("reals"))
    except SafetensorError as error:
        raise UserError(
            f"packed model {path}: cannot be read (not safetensors, or damaged); expected what "
            f"'evobit pack' writes"
        ) from error
    # AttributeError: numbers of a type that NumPy does not have, as F8_E5M2
    except (OSError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"packed model {path}: cannot be read ({reason})") from error
    if description.pop("sha256", None) != _digest(description, parameters):
        raise UserError(f"packed model {path}: is damaged (its hash does not fit its content)")
    return description, parameters


def _description(network: PackedNetwork) -> dict[str, Any]:
    view = {} if network.view is None else {"view": network.view.describe()}
    return {
        **view,
        "format": FORMAT,
        "version": VERSION,
        "plan": describe_plan(network.plan),
        "mean": list(network.preprocessing.mean),
        "std": list(network.preprocessing.std),
        "class_names": list(network.class_names),
    }


def _parse(text: str, path: str | Path) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"packed model {path}: its description is not JSON") from error
    return check_header(document, path, format=FORMAT, version=VERSION)


def _digest(description: dict[str, Any], parameters: Parameters) -> str:
    """SHA-256 of the description without its hash, the bits and the reals."""
    digest = hashlib.sha256(_compact(description).encode())
    digest.update(parameters.bits.tobytes())
    digest.update(parameters.reals.tobytes())
    return digest.hexdigest()


def _compact(document: dict[str, Any]) -> str:
    """JSON without spaces and with sorted names: a small network's description counts."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True)


def _numbers(description: dict[str, Any], name: str) -> tuple[float, ...]:
    values = description.get(name)
    if not isinstance(values, list) or not all(isinstance(v, (int, float)) for v in values):
        raise UserError(f"{name} is {values!r}, expected a list of numbers")
    try:
        return tuple(float(value) for value in values)
    except OverflowError as error:
        raise UserError(f"{name} holds a number that is too large") from error
