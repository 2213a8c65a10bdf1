"""What a name is: of a class, an operation, a network. Any text; a file's name may be more.

A file's name is bytes. Where they are no UTF-8, Python has halves of characters in their place,
which no file of text, and no format that a network is exported to, can hold. Paths are carried
through as they are, and shown by `printable` and `encodable`; for a name they are refused, before
any work is done for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from supernet.files.user_error import UserError

LONGEST_BLOCK = 100
"""Characters of a block's name."""

_BLOCK = re.compile(rf"[^\W\d_][\w-]{{0,{LONGEST_BLOCK - 1}}}")


def is_text(name: str) -> bool:
    """Whether a name is text: has no halves of characters."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def check_names(names: Iterable[str], what: str) -> None:
    """Demand that each of `names` is text, and stands once; line breaks and quotes are text.

    Raises:
        UserError: one is not, or comes twice; `what` says what it names: "class".
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{what} {name!r:.200}: two have this name, expected one each")
        seen.add(name)
        if not is_text(name):
            raise UserError(f"{what} {name!r:.200}: its name is not UTF-8; give it another")


@lru_cache(maxsize=1024)
def check_block_names(names: tuple[str, ...]) -> None:
    """Demand names that blocks can have in a module, a packed model and every other format.

    Raises:
        UserError: one cannot, or two blocks have the same.
    """
    for name in names:
        if not (isinstance(name, str) and _BLOCK.fullmatch(name)):
            raise UserError(
                f"block {name!r:.200}: expected a name of letters, digits, '_' and '-' that begins "
                f"with a letter and has at most {LONGEST_BLOCK} of them"
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"block {twice!r}: two blocks have this name, expected one each")
