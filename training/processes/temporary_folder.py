"""The folder for temporary files, where other programs than this one use it.

Sockets have short paths, and commands that are written as text take a space, a quote or an accent
for something else.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from supernet.files import UserError

MAX_SOCKET_FOLDER = 27
"""Bytes. A socket's path may have 107; ours and Ray's folders below take 107 - 27 = 80 of them:
`/evobit-12345678` 16, `/session_2026-01-01_00-00-00_123456_1234567` 43, `/sockets/plasma_store` 21.
"""


def is_plain(path: str) -> bool:
    """Whether a path means itself wherever it is written."""
    return re.fullmatch(r"[A-Za-z0-9_./+-]+", path) is not None


def socket_folder() -> Path:
    """Where a Ray's folder may be: the folder for temporary files, or else /tmp.

    Raises:
        UserError: neither is short, plain and there to be written.
    """
    wanted = tempfile.gettempdir()
    for place in (wanted, "/tmp"):
        if is_plain(place) and len(place) <= MAX_SOCKET_FOLDER and os.access(place, os.W_OK):
            return Path(place)
    raise UserError(
        f"Ray's sockets need a folder with a path of at most {MAX_SOCKET_FOLDER} plain characters: "
        f"TMPDIR gives {wanted!r}, and /tmp cannot be written; set TMPDIR to one, or workers to 0"
    )
