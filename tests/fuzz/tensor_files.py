"""Damage to files of tensors whose other parts stay right: headers, metadata, pickles."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from random import Random
from typing import Any

from tests.fuzz import damage
from tests.fuzz.documents import changed_document, json_text

DTYPES = (
    *("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "U16", "U64", "BOOL"),
    *("F8_E4M3", "F8_E5M2", "F4", "C64", "X", "", None, 1),
)
NUMBERS = (0, 1, -1, 3, 2**31, 2**32, 2**62, 2**63, 2**64, 0.5, "1", None)
KEY = "evobit"
SHA256 = "sha256"


def in_header(rng: Random, content: bytes) -> bytes:
    """A tensor of another dtype, shape, place or name in the header; its length may be wrong."""
    length, header, data = split(content)
    names = [name for name in header if name != "__metadata__"]
    for name in rng.sample(names, min(rng.choice((1, 1, 2)), len(names))):
        tensor = header.get(name, {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})
        what = rng.randrange(7)
        if what == 0:
            tensor["dtype"] = rng.choice(DTYPES)
        elif what == 1:
            shape = list(tensor["shape"])
            tensor["shape"] = rng.choice(
                (shape[::-1], [*shape, 1], shape[1:], [rng.choice(NUMBERS), *shape[1:]], None)
            )
        elif what == 2:
            start, end = tensor["data_offsets"]
            number = rng.choice(NUMBERS)
            tensor["data_offsets"] = rng.choice(
                ([end, start], [start, number], [number, end], [start], [start + 4, end + 4])
            )
        elif what == 3:
            header[rng.choice((name + "x", name[:-1], "", "ä", "\ud800", "a" * 9000))] = tensor
            header.pop(name, None)
        elif what == 4:
            header.pop(name, None)
        elif what == 5:
            # The same bytes as numbers of another width: dtype and shape fit each other.
            header[name] = {**tensor, "dtype": "U8", "shape": [_num_bytes(tensor)]}
        else:
            length_now = rng.choice((0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1))
            return length_now.to_bytes(8, "little") + content[8:]
    return joined(header, data)


def in_header_text(rng: Random, content: bytes) -> bytes:
    """The header as a document changed anywhere."""
    _, header, data = split(content)
    text = json_text(rng, header).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + data


def in_metadata(rng: Random, content: bytes) -> bytes:
    """Another description in the metadata; a packed file's with a hash that fits."""
    _, header, data = split(content)
    metadata = header.setdefault("__metadata__", {})
    key = rng.choice(list(metadata) or ["sharing"])
    try:
        description = json.loads(metadata[key])
    except (KeyError, ValueError):
        description = metadata.get(key, "")
    if isinstance(description, dict) and SHA256 in description and rng.random() < 0.8:
        del description[SHA256]
        changed = changed_document(rng, description)
        if isinstance(changed, dict):
            text = json.dumps(changed, separators=(",", ":"), sort_keys=True)
            parts = [data[slice(*header[name]["data_offsets"])] for name in ("bits", "reals")]
            changed[SHA256] = hashlib.sha256(text.encode() + b"".join(parts)).hexdigest()
        metadata[key] = json.dumps(changed, separators=(",", ":"), sort_keys=True)
    else:
        metadata[key] = json_text(rng, description)
    return joined(header, data)


def in_numbers(rng: Random, content: bytes) -> bytes:
    """Other numbers in the tensors."""
    length, header, data = split(content)
    if not data:
        return content
    return content[: 8 + length] + damage.replaced(rng, data)[: len(data)]


def split(content: bytes) -> tuple[int, dict[str, Any], bytes]:
    """Length of the header, the header, and the bytes of the tensors."""
    length = int.from_bytes(content[:8], "little")
    return length, json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: dict[str, Any], data: bytes) -> bytes:
    """A safetensors file of this header, whatever it says."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _num_bytes(tensor: dict[str, Any]) -> int:
    start, end = tensor["data_offsets"]
    return end - start if isinstance(start, int) and isinstance(end, int) else 0


def in_archive(rng: Random, content: bytes) -> bytes:
    """A member of torch's archive damaged, under a checksum that fits."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        names = old.namelist()
        chosen = rng.choice([name for name in names if name.endswith(".pkl")] * 4 + names)
        for name in names:
            inner = old.read(name)
            if name == chosen:
                if rng.random() < 0.1:
                    continue
                inner = rng.choice(list(damage.BYTES.values()))(rng, inner) if inner else b"x"
            new.writestr(name, inner)
    return made.getvalue()


def in_state(rng: Random, content: bytes) -> bytes:
    """A training state of the same form whose values are others."""
    import torch

    state = torch.load(io.BytesIO(content), weights_only=True)
    for _ in range(rng.choice((1, 1, 2))):
        _change(rng, state)
    made = io.BytesIO()
    torch.save(state, made)
    return made.getvalue()


def _change(rng: Random, state: dict[Any, Any]) -> None:
    """Another value, name or shape somewhere below."""
    import torch

    key = rng.choice(list(state) or [""])
    value = state.get(key)
    if isinstance(value, dict) and value and rng.random() < 0.8:
        return _change(rng, value)
    if isinstance(value, list) and value and isinstance(value[0], dict) and rng.random() < 0.8:
        return _change(rng, value[0])
    others: list[Any] = [None, -1, 2**62, 0.5, float("nan"), "x", [], {}, [1], {"x": 1}]
    if isinstance(value, torch.Tensor):
        others += [value[..., None], value.double(), value.bool(), value * float("nan")]
        others += [value.flatten()[:1], value.to_sparse(), torch.tensor(1j), value.bfloat16()]
    if rng.random() < 0.2:
        del state[key]
    elif rng.random() < 0.1:
        state[rng.choice((0, "x", None, 1.5))] = value
    else:
        state[key] = rng.choice(others)
