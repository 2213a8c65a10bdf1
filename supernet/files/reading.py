"""JSON documents and their format headers, read with what is wrong in words."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from supernet.files.user_error import UserError, reason_of


def read_json(path: str | Path, *, what: str = "JSON file") -> Any:
    """Read one JSON document.

    Raises:
        UserError: the file is missing, unreadable or not JSON; the message names it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{what} {path}: cannot be read ({reason_of(error)})") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{what} {path}: not complete, valid JSON ({error})") from error


def check_header(
    document: Any, path: str | Path, *, format: str, version: int, what: str = ""
) -> dict[str, Any]:
    """Return `document` if it carries the `format` and a readable `version`.

    `what` the file has to be is said in words: "a latency table".

    Raises:
        UserError: another format, another version, or no header at all.
    """
    if not isinstance(document, dict) or document.get("format") != format:
        name = document.get("format") if isinstance(document, dict) else None
        found = "none" if name is None else repr(name)
        is_none = f"is not {what}: " if what else ""
        raise UserError(f"{path}: {is_none}expected format '{format}', found {found}")
    if document.get("version") != version:
        raise UserError(
            f"{path}: format '{format}' version {document.get('version')!r}; "
            f"this program reads version {version}"
        )
    return document


def sha256_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
