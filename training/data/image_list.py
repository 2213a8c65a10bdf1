"""Images listed in a CSV file: a path and a label a line, perhaps the part that it belongs to."""

from __future__ import annotations

import csv
import os
import posixpath
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from supernet.files import UserError
from supernet.files.image_formats import has_image_name, is_hidden
from supernet.files.image_listing import composed
from training.data.file_list import PART_NAMES, SEARCH, TEST, TRAIN, FileList, with_roles

PATH, LABEL, SPLIT = "path", "label", "split"
COLUMNS = f"'{PATH}', '{LABEL}' and, if there is one, '{SPLIT}'"
SPLITS = "train, val or test"


@dataclass(frozen=True)
class _Row:
    line: int
    name: str
    size: int  # bytes
    label: str
    part: str | None
    called: str


def read_list(labels: Path, root: Path | None = None) -> dict[str, FileList]:
    """List the images of a CSV file by parts, as `list_parts` does of a folder.

    The first line names the columns; others than `COLUMNS` are not read. Without a column 'split'
    all is "all". The order of the lines does not count.

    Args:
        labels: the CSV file, UTF-8, with commas.
        root: what relative paths begin at; by default the file's folder.

    Raises:
        UserError: what is wrong with the file, or a line of it, by its number.
    """
    folder = labels.parent if root is None else root
    rows = sorted(_rows(labels, folder), key=lambda row: composed(row.name))
    for row, following in zip(rows, rows[1:], strict=False):
        if row.name == following.name:
            first, second = sorted((row.line, following.line))
            raise UserError(f"{labels}: line {second}: {row.name} stands in line {first} already")
    class_names = tuple(sorted({row.label for row in rows}))
    if len(class_names) < 2:
        raise UserError(
            f"{labels}: holds {len(class_names)} different label(s), expected two or more"
        )
    parts = {part: [row for row in rows if row.part == part] for part in (TRAIN, SEARCH, TEST)}
    if all(row.part is None for row in rows):
        return {"all": _files(folder, rows, class_names)}
    parts = {part: held for part, held in parts.items() if held}
    if TRAIN not in parts:
        raise UserError(f"{labels}: no line is of split 'train'")
    called = {part: held[0].called for part, held in parts.items()}
    for part, held in parts.items():
        if absent := sorted(set(class_names) - {row.label for row in held}):
            raise UserError(
                f"{labels}: no line of split '{called[part]}' has label '{absent[0]}'; expected "
                f"every label in every split"
            )
    lists = {part: _files(folder, held, class_names) for part, held in parts.items()}
    return with_roles(folder, lists, called)


def _files(root: Path, rows: list[_Row], class_names: tuple[str, ...]) -> FileList:
    number = {name: index for index, name in enumerate(class_names)}
    return FileList(
        root,
        tuple(row.name for row in rows),
        tuple(row.size for row in rows),
        class_names,
        given_labels=tuple(number[row.label] for row in rows),
    )


def _rows(labels: Path, root: Path) -> Iterator[_Row]:
    try:
        with labels.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            try:
                yield from _read(reader, labels, root)
            except csv.Error as error:
                raise UserError(f"{labels}: line {reader.line_num}: no CSV ({error})") from error
    except OSError as error:
        raise UserError(
            f"{labels}: cannot be read ({error.strerror}), expected a CSV file of images"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{labels}: not UTF-8 text, expected a CSV file of images") from error


def _read(reader: Iterator[list[str]], labels: Path, root: Path) -> Iterator[_Row]:
    heads = [head.strip().lower() for head in next(reader, [])]
    for name in (PATH, LABEL):
        if heads.count(name) != 1:
            raise UserError(
                f"{labels}: line 1: expected the columns {COLUMNS}, between commas; found "
                f"{', '.join(heads) or 'nothing'}"
            )
    for fields in reader:
        if not fields:
            continue
        line: int = reader.line_num  # type: ignore[attr-defined]  # of a csv.reader
        where = f"{labels}: line {line}"
        if len(fields) != len(heads):
            raise UserError(f"{where}: holds {len(fields)} field(s), expected {len(heads)}")
        row = {head: field.strip() for head, field in zip(heads, fields, strict=True)}
        if not row[PATH] or not row[LABEL]:
            raise UserError(f"{where}: has no {PATH if not row[PATH] else LABEL}")
        name, size = _file(row[PATH], root, where)
        part = _part_of(row[SPLIT], where) if SPLIT in row else None
        yield _Row(line, name, size, composed(row[LABEL]), part, row.get(SPLIT, ""))


def _part_of(called: str, where: str) -> str:
    for part, names in PART_NAMES.items():
        if called.lower() in names:
            return part
    raise UserError(f"{where}: split is {called!r}, expected {SPLITS}")


def _file(written: str, root: Path, where: str) -> tuple[str, int]:
    """The image's name below `root`, however a system writes accents, and its bytes."""
    name = posixpath.normpath(written)
    if is_hidden(posixpath.basename(name)) or not has_image_name(name):
        raise UserError(f"{where}: {written} is no image by its name, expected .jpg, .png, ...")
    for form in (name, composed(name), unicodedata.normalize("NFD", name)):
        path = root / form
        if path.is_file():
            return form, path.stat().st_size
    state = "is a link to nothing" if os.path.islink(root / name) else "is not there"
    raise UserError(f"{where}: {root / name} {state}, expected an image")
