"""Which images each part of a data set held: recorded once, and compared before a test is opened.

A run folder keeps the hash of each part in its manifest and the files themselves in `FILE`; a
network file keeps both, the files up to `MOST_IN_NETWORK` of them. An image's identity is its name
and its bytes, of sets in memory the pixels of the whole part.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from supernet.files import UserError, atomic_write, check_header
from supernet.files.plain_data import plain

if TYPE_CHECKING:
    from training.run_files.folder import RunFolder

FILE = "splits.json.gz"
FORMAT = "evobit/splits"
VERSION = 1
MOST_IN_NETWORK = 20_000
"""Files that a network file lists itself; about 16 bytes each, compressed."""
MOST_NAMED = 3
TRAINED_ON = ("train", "search")
MAX_UNPACKED = 1 << 30
"""Bytes of a list of files: above what ten times ImageNet's take."""
OTHERS = ("name", "image_size", "stored_size", "channels", "view", "class_names", "split_seed")
"""What else of a manifest's data may not change; older runs have recorded some of it."""

Entry = Sequence[Any]
"""A file's place in the data set, its bytes, and its class where the place does not say it."""


@dataclass(frozen=True)
class PartFacts:
    """`entries`: of the part's files; None where they are not known, or are no files."""

    num_images: int
    sha256: str
    entries: tuple[Entry, ...] | None = None


@dataclass(frozen=True)
class SplitFacts:
    """What the parts of a data set held, by name: "train", "search", of files "test" too."""

    parts: Mapping[str, PartFacts]

    @classmethod
    def of(cls, splits: Mapping[str, Any], files: Mapping[str, Iterable[Entry]]) -> SplitFacts:
        """From a manifest's `splits`, and the files of each part where they are known.

        Raises:
            KeyError, TypeError, ValueError: not a manifest's.
        """
        return cls(
            {
                name: PartFacts(
                    _whole(one["num_images"]),
                    str(one.get("sha256") or one["sha256_of_names_and_sizes"]),
                    _entries(files[name]) if name in files else None,
                )
                for name, one in splits.items()
            }
        )

    @cached_property
    def is_listed(self) -> bool:
        """Whether the files of every part are known."""
        return all(part.entries is not None for part in self.parts.values())

    @property
    def num_images(self) -> int:
        """Of all parts."""
        return sum(part.num_images for part in self.parts.values())

    def without_files(self) -> SplitFacts:
        """The hashes alone."""
        return SplitFacts({n: replace(part, entries=None) for n, part in self.parts.items()})

    def with_files_of(self, other: SplitFacts | None) -> SplitFacts:
        """With the files that `other` knows, if it is of the same images."""
        if other is None or self.is_listed or self.changed(other):
            return self
        return replace(self, parts={**self.parts, **other.parts})

    def changed(self, now: SplitFacts, parts: Iterable[str] | None = None) -> list[str]:
        """Which of the parts (all of both) hold other images now."""
        names = [name for name in (parts or self.parts) if name in self.parts and name in now.parts]
        return [name for name in names if self.parts[name].sha256 != now.parts[name].sha256]

    def changes(self, now: SplitFacts) -> str:
        """In words, what is another now: files added, removed and changed, the first by name."""
        changed = self.changed(now)
        if not (self.is_listed and now.is_listed):
            return ", ".join(
                f"its {name} split of {self.parts[name].num_images:,} images is another now, of "
                f"{now.parts[name].num_images:,}"
                for name in changed
            )
        then_files, now_files = self._files(self.parts), now._files(now.parts)
        said = [
            _count(what, sorted(names))
            for what, names in (
                ("added", [name for name in now_files if name not in then_files]),
                ("removed", [name for name in then_files if name not in now_files]),
                (
                    "of another size or label",
                    [
                        name
                        for name, rest in now_files.items()
                        if name in then_files and not _is_same(then_files[name], rest)
                    ],
                ),
            )
            if names
        ]
        if not said:
            return f"the same images are split another way ({' and '.join(changed)})"
        if seen := self._trained_on_in_test(now):
            said.append(
                f"{len(seen):,} of the {now.parts['test'].num_images:,} images that would be its "
                f"test split now were trained on{_named(seen)}"
            )
        return ", ".join(said)

    def trained_on(self, entries: Sequence[Entry]) -> Tensor:
        """Which of some files were in the train or search split, by their numbers.

        A picture is the same one under another label.
        """
        known = {name: size for name, (size, *_) in self._files(TRAINED_ON).items()}
        rows = [i for i, (name, size, *_) in enumerate(entries) if known.get(name) == size]
        return torch.tensor(rows).long()

    def _trained_on_in_test(self, now: SplitFacts) -> list[str]:
        part = now.parts.get("test")
        entries = () if part is None or part.entries is None else part.entries
        return [entries[row][0] for row in self.trained_on(entries).tolist()]

    def _files(self, parts: Iterable[str]) -> dict[str, tuple[Any, ...]]:
        return {
            str(entry[0]): tuple(entry[1:])
            for name in parts
            if name in self.parts
            for entry in self.parts[name].entries or ()
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: hashes and numbers, and the files compressed unless they are too many."""
        document: dict[str, Any] = {
            name: {"num_images": part.num_images, "sha256": part.sha256}
            for name, part in self.parts.items()
        }
        if self.is_listed and self.num_images <= MOST_IN_NETWORK:
            packed = zlib.compress(_listed(self), 9)
            document["files"] = base64.b64encode(packed).decode()
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> SplitFacts:
        """Undo `as_dict`.

        Raises:
            KeyError, TypeError, ValueError, zlib.error: damaged.
        """
        packed = document.get("files")
        splits = {name: part for name, part in document.items() if name != "files"}
        files: Mapping[str, Any] = {}
        if packed is not None:
            files = json.loads(_unpacked(base64.b64decode(packed)))
        return cls.of(splits, files)


def _is_same(then: Sequence[Any], now: Sequence[Any]) -> bool:
    """Of bytes and label; the latter counts where both have one."""
    return all(one == other for one, other in zip(then, now, strict=False))


def _unpacked(packed: bytes) -> bytes:
    reader = zlib.decompressobj(zlib.MAX_WBITS | 32)  # of zlib and of gzip
    content = reader.decompress(packed, MAX_UNPACKED)
    if not reader.eof:
        raise ValueError(f"a list of files that is cut, or longer than {MAX_UNPACKED:,} bytes")
    return content


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"a number of images of {value!r}")
    return value


def _entries(found: Iterable[Any]) -> tuple[Entry, ...]:
    entries = tuple(found)
    for entry in entries:
        name, size, *label = entry
        if not isinstance(name, str) or not isinstance(size, int) or len(label) > 1:
            raise ValueError(f"a list of files holds {entry!r}")
    return entries


def _listed(facts: SplitFacts) -> bytes:
    """The files of every part as JSON; ASCII, so that names of any bytes come back."""
    files = {name: part.entries for name, part in facts.parts.items()}
    return json.dumps(files, separators=(",", ":")).encode()


def _count(what: str, names: Sequence[str]) -> str:
    return f"{len(names):,} {'image' if len(names) == 1 else 'images'} {what}{_named(names)}"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return f" ({shown}{', ...' if len(names) > MOST_NAMED else ''})"


def record_data(folder: RunFolder, manifest: Mapping[str, Any], facts: SplitFacts) -> bool:
    """Put the data into the run's manifest at its first start; compare at a resume.

    Returns whether it is the first start.

    Raises:
        UserError: the data set has changed since, with what changed.
    """
    recorded = data_of(folder)
    if not recorded:
        if facts.is_listed:
            with atomic_write(folder.path / FILE) as file:
                header = {"format": FORMAT, "version": VERSION}
                parts = {name: part.entries for name, part in facts.parts.items()}
                # No time in it: equal runs have equal files.
                content = json.dumps({**header, "parts": parts}, separators=(",", ":")).encode()
                file.write(gzip.compress(content, compresslevel=1, mtime=0))
        folder.record("data", dict(manifest))
        return True
    if changed := _changed(folder, manifest, facts):
        raise UserError(
            f"{folder.path}: the data set '{recorded.get('name')}' has changed since the run was "
            f"started: {changed}; restore it, or choose another --run folder"
        )
    return False


def check_images(
    folder: RunFolder, manifest: Callable[[], Mapping[str, Any]], facts: Callable[[], SplitFacts]
) -> None:
    """Demand of images that lie elsewhere than the run says that they are the same.

    `manifest` and `facts` are of `TrainingData`, and are not asked where the images have not moved.
    The run then says where they lie now, for whoever reads it next.

    Raises:
        UserError: they are others, with what differs.
    """
    if not (moved := folder.moved_images()):
        return
    if data_of(folder) and (changed := _changed(folder, manifest(), facts())):
        where = ", ".join(f"data.{name}={place}" for name, place in moved.items())
        raise UserError(
            f"{folder.path}: the images of {where} are not those that the run was started with: "
            f"{changed}; give the same images, or another --run folder"
        )
    folder.record_places(moved)


def _changed(folder: RunFolder, manifest: Mapping[str, Any], facts: SplitFacts) -> str:
    """In what the data are not as the run recorded them, in words; "" where in nothing."""
    then, recorded, now = facts_of_run(folder), data_of(folder), plain(manifest)
    if then is not None and then.changed(facts):
        return then.changes(facts)
    return ", ".join(
        name for name in OTHERS if name in recorded and recorded[name] != now.get(name)
    )


def check_same(
    then: SplitFacts, now: SplitFacts, where: str, since: str, advice: str = "restore it"
) -> None:
    """Demand that a data set is what it was.

    Raises:
        UserError: it has changed, with what changed.
    """
    if then.changed(now):
        raise UserError(f"{where} has changed since {since}: {then.changes(now)}; {advice}")


def data_of(folder: RunFolder) -> Mapping[str, Any]:
    """What a run's manifest says of its data; nothing of one that has not begun.

    Raises:
        UserError: damaged.
    """
    recorded = folder.manifest.get("data") or {}
    if not isinstance(recorded, dict):
        raise UserError(f"{folder.manifest_file}: field 'data' is {recorded!r}: damaged")
    return recorded


def facts_of_run(folder: RunFolder) -> SplitFacts | None:
    """What the run recorded of its data; None where it recorded none.

    Raises:
        UserError: damaged.
    """
    splits = data_of(folder).get("splits")
    if splits is None:
        return None
    try:
        return SplitFacts.of(splits, _files_of_run(folder.path / FILE))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder.manifest_file}: field 'data.splits': damaged ({error!r})"
        ) from None


def _files_of_run(path: Path) -> Mapping[str, Any]:
    """The files of each part; none of a run whose images are no files, or that is older."""
    if not path.exists():
        return {}
    try:
        document = json.loads(_unpacked(path.read_bytes()))
    except (OSError, ValueError, RecursionError, zlib.error) as error:
        raise UserError(f"{path}: damaged ({error})") from error
    return check_header(document, path, format=FORMAT, version=VERSION)["parts"]
