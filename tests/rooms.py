"""A tree of Python files as rooms: who imports whom, on which floors, and where in a circle.

The rooms of a folder are its files, and its folders, each taken as one; in a folder there are rooms
again. `__init__.py` is the folder's face and no room. Everything is read from source, {path from
the root: text}; nothing is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

Source = Mapping[str, str]
Rooms = Mapping[str, set[str]]
"""Each room and the rooms that it imports."""

FACE = "__init__.py"


class Import(NamedTuple):
    """One import: the module, its line, and whether it runs when the file is imported."""

    module: str
    line: int
    at_top: bool


class Arrow(NamedTuple):
    """An import of one file by another, `module` as it is written there."""

    source: str
    line: int
    module: str
    target: str


def imports(tree: ast.AST, at_top: bool = True) -> Iterator[Import]:
    """All imports, those under `if TYPE_CHECKING` left out; `from a import b` gives a.b."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (Import(f"{module}.{a.name}", node.lineno, at_top) for a in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imports(ast.Module(node.orelse, []), at_top)
        else:
            inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from imports(node, at_top and not inside)


@cache
def imports_of(text: str) -> tuple[Import, ...]:
    """The imports of a file of this text."""
    return tuple(imports(ast.parse(text)))


def target(module: str, source: Source) -> str | None:
    """The file that has what is imported as `module`; None where it is none of these files."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        stem = "/".join(parts[:end])
        for path in (f"{stem}.py", f"{stem}/{FACE}"):
            if path in source:
                return path
    return None


def arrows(source: Source) -> list[Arrow]:
    """The imports among the files."""
    return [
        Arrow(path, one.line, one.module, found)
        for path, text in source.items()
        for one in imports_of(text)
        if (found := target(one.module, source)) is not None and found != path
    ]


def folders(source: Source) -> list[str]:
    """Every folder with Python files, also those that only have folders with some."""
    return sorted({above for path in source for above in folders_of(path)})


def folders_of(path: str) -> list[str]:
    """The folders in which `path` lies, from its own to the package."""
    return [above.as_posix() for above in Path(path).parents if above.name]


def room(path: str, folder: str) -> str | None:
    """The room of `folder` in which a file is; None for its face, and for files elsewhere."""
    if not path.startswith(f"{folder}/"):
        return None
    name, *inside = path.removeprefix(f"{folder}/").split("/")
    return f"{name}/" if inside else None if name == FACE else name.removesuffix(".py")


def rooms(source: Source, folder: str, between: list[Arrow]) -> dict[str, set[str]]:
    """The rooms of a folder, and which of them each imports."""
    found: dict[str, set[str]] = {
        name: set() for path in source if (name := room(path, folder)) is not None
    }
    for one, other in ((room(a.source, folder), room(a.target, folder)) for a in between):
        if one is not None and other is not None and one != other:
            found[one].add(other)
    return found


def floors(above: Rooms) -> list[list[str]]:
    """Rooms from the ground up: a room stands one floor above the highest that it imports.

    Rooms of a circle have no floor and are left out, and so is what imports one.
    """
    built: list[list[str]] = []
    placed: set[str] = set()
    while ready := sorted(name for name in above.keys() - placed if above[name] <= placed):
        built.append(ready)
        placed.update(ready)
    return built


def circle(above: Rooms) -> list[str]:
    """A shortest circle, its first room once more at its end; empty where there is none."""
    found = [way for name in sorted(above) if (way := way_between(name, name, above))]
    return min(found, key=len, default=[])


def way_between(first: str, last: str, above: Rooms) -> list[str]:
    """A shortest chain of imports from one to the other; empty where there is none."""
    ways = [[first]]
    seen = set()
    for way in ways:
        for name in sorted(above.get(way[-1], set()) - seen):
            if name == last:
                return [*way, name]
            seen.add(name)
            ways.append([*way, name])
    return []


def through_faces(source: Source) -> list[str]:
    """Imports of a folder's face by a room inside: it names the rooms, and none needs it."""
    return [
        f"{a.source}:{a.line}: {a.module} comes from the face of a folder that this file is in; "
        f"expected the room where it is defined"
        for a in arrows(source)
        if a.target.endswith(FACE) and str(Path(a.target).parent) in folders_of(a.source)
    ]


def back_up(source: Source) -> list[str]:
    """For each folder one circle of its rooms, import by import, and the floors that it has."""
    between = arrows(source)
    found = []
    for folder in folders(source):
        above = rooms(source, folder, between)
        ring = circle(above)
        ties = [next(a for a in between if ends(a, folder) == tie) for tie in pairwise(ring)]
        if ties:
            lines = (
                f"{folder}/: {' -> '.join(ring)} is a circle; expected no import back up, so that "
                f"one of these goes:",
                *(
                    f"  {a.source}:{a.line}: {room(a.source, folder)} imports {a.module}"
                    for a in ties
                ),
                "the floors that stand without it, from the top down:",
                *picture(above),
            )
            found.append("\n".join(lines))
    return found


def ends(arrow: Arrow, folder: str) -> tuple[str | None, str | None]:
    """The rooms of a folder that an import ties."""
    return room(arrow.source, folder), room(arrow.target, folder)


def picture(above: Rooms) -> list[str]:
    """The floors of a folder, one a line, from the top down."""
    built = floors(above)
    return [f"  {number}  {'  '.join(built[number - 1])}" for number in range(len(built), 0, -1)]


def loading_torch(source: Source, light: Sequence[str]) -> list[str]:
    """Light modules that load torch when they are imported, with the way by which they do."""
    loads: dict[str, set[str]] = {}
    torch_at: dict[str, int] = {}
    for path, text in source.items():
        at_top = [one for one in imports_of(text) if one.at_top]
        files = {file for one in at_top if (file := target(one.module, source)) is not None}
        faces = {f"{above}/{FACE}" for file in (path, *files) for above in folders_of(file)}
        loads[path] = files | (faces & source.keys()) - {path}
        for one in at_top:
            if one.module.split(".")[0] in ("torch", "torchvision"):
                loads[path].add("torch")
                torch_at.setdefault(path, one.line)
    ways = [
        way
        for path in source
        if any(Path(path).match(pattern) for pattern in light)
        and (way := way_between(path, "torch", loads))
    ]
    return [
        f"{way[-2]}:{torch_at[way[-2]]}: torch is imported at the top, and {way[0]} loads no "
        f"torch: {' -> '.join(way)}; expected in the function that needs it"
        for way in ways
    ]
