"""Damage that knows nothing of a format: bytes and lines cut, changed, moved, doubled, put in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

Damage = Callable[[Random, bytes], bytes]
"""A damaged copy of a file's bytes, the same for the same state of the generator."""

INSERTED = (b"\0", b"\xff" * 64, b"\n", b'"', b"{", b"\xef\xbb\xbf", b"\r", b"#", b"0" * 400)


def truncated(rng: Random, content: bytes) -> bytes:
    """The beginning; sometimes nothing at all."""
    return content[: rng.randrange(len(content) + 1)]


def flipped(rng: Random, content: bytes) -> bytes:
    """One to eight bits the other way round."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def replaced(rng: Random, content: bytes) -> bytes:
    """A stretch of other bytes, as a bad block of a disk gives."""
    start, length = rng.randrange(len(content)), rng.choice((1, 2, 4, 8, 512))
    new = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return content[:start] + new + content[start + length :]


def removed(rng: Random, content: bytes) -> bytes:
    """Without a stretch."""
    start, length = rng.randrange(len(content)), rng.choice((1, 2, 4, 8, 512))
    return content[:start] + content[start + length :]


def doubled(rng: Random, content: bytes) -> bytes:
    """A stretch twice."""
    start, length = rng.randrange(len(content)), rng.choice((1, 8, 512, len(content)))
    end = start + length
    return content[:end] + content[start:end] + content[end:]


def swapped(rng: Random, content: bytes) -> bytes:
    """Two stretches of equal length in each other's place."""
    changed = bytearray(content)
    length = min(rng.choice((1, 2, 8, 64)), len(content))
    a, b = (rng.randrange(len(content) - length + 1) for _ in range(2))
    changed[a : a + length], changed[b : b + length] = (
        content[b : b + length],
        content[a : a + length],
    )
    return bytes(changed)


def inserted(rng: Random, content: bytes) -> bytes:
    """Something put in that a parser must not stumble over."""
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(INSERTED) + content[at:]


def extended(rng: Random, content: bytes) -> bytes:
    """Something behind the end."""
    return content + rng.choice((b"\0", b"\n", b"x", rng.randbytes(100), bytes(10_000)))


BYTES: Mapping[str, Damage] = {
    "truncated": truncated,
    "flipped": flipped,
    "replaced": replaced,
    "removed": removed,
    "doubled": doubled,
    "swapped": swapped,
    "inserted": inserted,
    "extended": extended,
}


def lines_removed(rng: Random, content: bytes) -> bytes:
    """Without one to three lines."""
    lines = content.splitlines(keepends=True)
    for _ in range(rng.randint(1, 3)):
        if lines:
            del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def lines_doubled(rng: Random, content: bytes) -> bytes:
    """A line twice, the second anywhere."""
    lines = content.splitlines(keepends=True)
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return b"".join(lines)


def lines_swapped(rng: Random, content: bytes) -> bytes:
    """Two lines in each other's place."""
    lines = content.splitlines(keepends=True)
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


LINES: Mapping[str, Damage] = {
    "lines removed": lines_removed,
    "lines doubled": lines_doubled,
    "lines swapped": lines_swapped,
}
