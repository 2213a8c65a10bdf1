"""A program as one file that another machine can load: its memory, and where pointers stand."""

import struct
from collections.abc import Iterator
from ctypes import Array, Structure, addressof, c_void_p, sizeof, string_at
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from deploy.engine.program import Program


def program_image(program: Program) -> bytes:
    """The bytes that tests/deploy/run_image.cpp reads.

    Regions of memory (size, whether zero, content), then pointers (region, offset, region it
    points into, offset there); the first region is the plan's struct.
    """
    structs, arrays = [program._struct], {}
    for found in _walk([program._kept, program._steps, program._levels]):
        if isinstance(found, np.ndarray):
            if not _inside(found.ctypes.data, program._arena):
                arrays[found.ctypes.data] = max(arrays.get(found.ctypes.data, 0), found.nbytes)
        else:
            structs.append(found)
    regions = [(addressof(one), sizeof(one), False) for one in structs]
    regions.append((program._arena.ctypes.data, program._arena.nbytes, True))
    regions += [(address, size, False) for address, size in arrays.items()]
    image = struct.pack("<q", len(regions))
    for address, size, is_zero in regions:
        image += struct.pack("<qq", size, is_zero) + (b"" if is_zero else string_at(address, size))
    pointers = [one for number, s in enumerate(structs) for one in _pointers(s, number, regions)]
    return image + struct.pack("<q", len(pointers)) + b"".join(pointers)


def _walk(found: Any) -> Iterator[Any]:
    """Every array and struct that an object holds."""
    if isinstance(found, (np.ndarray, Structure, Array)):
        yield found
    elif isinstance(found, (list, tuple)):
        for one in found:
            yield from _walk(one)
    elif is_dataclass(found):
        for field in fields(found):
            yield from _walk(getattr(found, field.name))
    elif type(found).__module__.startswith("deploy."):
        for one in vars(found).values():
            yield from _walk(one)


def _inside(address: int, array: np.ndarray) -> bool:
    return 0 <= address - array.ctypes.data < array.nbytes


def _pointers(holder: Any, number: int, regions: list) -> Iterator[bytes]:
    parts = [holder] if isinstance(holder, Structure) else list(holder)
    for index, part in enumerate(parts):
        for name, kind in part._fields_:
            target = getattr(part, name)
            if kind is not c_void_p or target is None:
                continue
            at = index * sizeof(part) + getattr(type(part), name).offset
            place = [
                (i, target - address)
                for i, (address, size, _) in enumerate(regions)
                if 0 <= target - address < max(size, 1)
            ]
            assert place, f"{type(part).__name__}.{name} points nowhere"
            yield struct.pack("<qqqq", number, at, *place[0])
