"""Processes that decode images into memory which they share with this one.

torch's DataLoader sends tensors as files of /dev/shm, of which containers have 64 MiB, announced by
sockets in the temporary folder: what fails there is lost with its batch, for which the training
then waits without end. Here the memory is anonymous, which no file system bounds, and each process
has a socket pair of its own: it ends when the process does, whatever ended it.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from supernet.files import RunFailed, UserError
from supernet.files.telling import tell_once

Pixels = NDArray[np.uint8]
Decode = Callable[[int], Pixels]
"""The image of a number, or a UserError."""

AHEAD = 3
"""Batches in memory at once: the one that is used, and those that are decoded meanwhile."""

END_S = 5.0
"""How long a process whose socket has ended may take to be gone."""

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
"""What ends a process that an image is to blame for."""


class _LostError(Exception):
    """A process is gone, for want of memory perhaps; the message says how."""


class Images(NamedTuple):
    """What is decoded: images by number, uint8 (*shape), and how each is named."""

    decode: Decode
    shape: tuple[int, ...]
    name_of: Callable[[int], object]


def decode_batches(
    images: Images, batches: Sequence[list[int]], num_workers: int
) -> Iterator[Pixels | list[str]]:
    """Yield the images of each batch, uint8 (B, *shape), or what is wrong with some of them.

    They are decoded by `num_workers` processes, and by this one where that is 0, where none can be
    started, and from where one was killed.

    Raises:
        RunFailed: an image crashed the process that decoded it; it is named.
    """
    done = 0
    if num_workers and batches:
        try:
            for found in _by_processes(images, batches, num_workers):
                yield found
                done += 1
        except (_LostError, OSError) as error:
            tell_once(
                f"images are decoded in this process alone: {_reason(error)}; data.loader_workers "
                f"is {num_workers}, and 0 starts none"
            )
    for batch in batches[done:]:
        errors: list[str] = []
        pixels = np.empty((len(batch), *images.shape), np.uint8)
        for place, index in enumerate(batch):
            try:
                pixels[place] = images.decode(index)
            except UserError as error:
                errors.append(str(error))
        yield errors or pixels


def _by_processes(
    images: Images, batches: Sequence[list[int]], num_workers: int
) -> Iterator[Pixels | list[str]]:
    """As `decode_batches`, in order: a process takes every `num_workers`-th image of a batch."""
    largest = max(map(len, batches))
    num_workers = min(num_workers, largest)
    slots = _shared((min(AHEAD, len(batches)), largest, *images.shape), np.uint8)
    at = _shared((num_workers,), np.int64)
    asked = 0
    with ExitStack() as stack:
        workers = [
            stack.enter_context(_worker(images.decode, slots, at[number : number + 1]))
            for number in range(num_workers)
        ]

        def lost(process: Any, number: int) -> Exception:
            process.join(END_S)
            return _lost(process.exitcode, images.name_of(int(at[number])))

        for number, batch in enumerate(batches):
            for later in range(asked, min(number + len(slots), len(batches))):
                for start, (process, connection) in enumerate(workers):
                    share = batches[later][start::num_workers]
                    try:
                        connection.send((later % len(slots), start, num_workers, share))
                    except OSError:
                        raise lost(process, start) from None
                asked = later + 1
            errors: list[tuple[int, str]] = []
            for start, (process, connection) in enumerate(workers):
                try:
                    found = connection.recv()
                except (EOFError, OSError):
                    raise lost(process, start) from None
                if found is None:
                    raise _LostError(
                        f"a process that decodes them failed at {images.name_of(at[start])}"
                    )
                errors += found
            yield (
                [text for _, text in sorted(errors)]
                or slots[number % len(slots)][: len(batch)].copy()
            )


@contextmanager
def _worker(decode: Decode, slots: Pixels, at: NDArray[np.int64]) -> Iterator[Any]:
    """A process and the connection to it; it is killed at the end, for it holds nothing."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_work, args=(ours, theirs, decode, slots, at), daemon=True
    )
    with ours:
        with theirs, warnings.catch_warnings():
            # Python 3.12 warns about forking a process with threads. This one runs PIL alone.
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            # Until it has its own handlers: ours would leave a traceback.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            yield process, ours
        finally:
            process.kill()
            process.join(END_S)


def _work(
    parents: Connection,
    connection: Connection,
    decode: Decode,
    slots: Pixels,
    at: NDArray[np.int64],
) -> None:
    """Decode what is asked for until the other end closes; answer with what is wrong, by place.

    None is an error that no image is to blame for: who asked comes upon it, too.
    """
    parents.close()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # Ctrl-C is for the training
    try:
        while True:
            slot, start, step, indices = connection.recv()
            errors: list[tuple[int, str]] = []
            failed = False
            for place, index in enumerate(indices):
                at[0] = index
                try:
                    slots[slot, start + place * step] = decode(index)
                except UserError as error:
                    errors.append((start + place * step, str(error)))
                except Exception:
                    failed = True
                    break
            connection.send(None if failed else errors)
    except (EOFError, OSError):
        os._exit(0)  # the training is gone


def _shared(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros that processes forked from this one share with it.

    Raises:
        OSError: there is not so much memory.
    """
    memory = mmap.mmap(-1, prod(shape) * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype).reshape(shape)


def _lost(exitcode: int | None, image: object) -> Exception:
    """What became of a process that is gone, which was decoding `image`."""
    if exitcode is not None and (-exitcode in CRASHES or exitcode >= 0):
        how = signal.Signals(-exitcode).name if exitcode < 0 else f"exit code {exitcode}"
        return RunFailed(
            f"{image}: crashed the process that decoded it ({how}); remove it, or save it in "
            f"another format"
        )
    how = f"signal {-exitcode}" if exitcode is not None else "it does not answer"
    return _LostError(
        f"a process that decodes them was killed ({how}) at {image}, for want of memory perhaps"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"no processes can be started for it ({error.strerror or error})"
    return str(error)
