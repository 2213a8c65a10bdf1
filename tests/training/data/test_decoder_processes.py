"""Processes that decode images die, crash and find no room; nothing waits for them without end."""

import ctypes
import faulthandler
import gc
import os
import resource
import signal
from contextlib import contextmanager
from multiprocessing import active_children

import numpy as np
import pytest
import torch
from PIL import Image

from supernet.files import RunFailed, telling
from supernet.files.image_view import View
from training.data.test_part import open_labelled_folder

CLASSES = ("ant", "bee")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """16 images, and this test the first to say a thing."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for number in range(8):
            pixels = rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    monkeypatch.setattr(telling, "_told", set())
    return tmp_path


@contextmanager
def at_most(what, number):
    """This process's limit of `what`, lowered."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def read(folder, num_workers, batch_size=3):
    images = open_labelled_folder(folder, View.usual(32, 3), CLASSES, num_workers)
    return torch.cat([batch for batch, _ in images.batches(torch.arange(16), batch_size)])


def when_reading(name, what, monkeypatch):
    """Have a process do `what` at the image `name`; the one that runs the test only decodes it."""
    test = os.getpid()

    read_square = View.read_square

    def decode(view, path):
        if path.name == name and os.getpid() != test:
            faulthandler.disable()
            what()
        return read_square(view, path)

    monkeypatch.setattr(View, "read_square", decode)


@pytest.mark.parametrize("num_workers", [1, 3, 40])
def test_batches_need_no_file_and_so_no_room_in_shared_memory(photos, num_workers):
    # Of /dev/shm too: a file there is a file.
    with at_most(resource.RLIMIT_FSIZE, 0):
        images = read(photos, num_workers)
    assert torch.equal(images, read(photos, 0))


def test_where_no_process_can_be_started_this_one_decodes(photos, capfd):
    gc.collect()  # what it would close later would make room
    free = os.dup(0), os.dup(0)  # the two lowest numbers: one is for the image that is read
    for number in free:
        os.close(number)
    with at_most(resource.RLIMIT_NOFILE, max(free)):
        images = read(photos, 2)
    assert torch.equal(images, read(photos, 0))
    (line,) = capfd.readouterr().err.splitlines()
    assert line == (
        "images are decoded in this process alone: no processes can be started for it (Too many "
        "open files); data.loader_workers is 2, and 0 starts none"
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_ends_no_training(photos, number, monkeypatch, capfd):
    when_reading("5.png", lambda: os.kill(os.getpid(), number), monkeypatch)
    images = read(photos, 2)
    assert torch.equal(images, read(photos, 0))
    (line,) = capfd.readouterr().err.splitlines()
    assert f"was killed (signal {int(number)}) at {photos / 'ant' / '5.png'}, for want" in line
    assert line.endswith("; data.loader_workers is 2, and 0 starts none")


def test_one_that_is_killed_between_two_batches_ends_no_training(photos, capfd):
    images = open_labelled_folder(photos, View.usual(32, 3), CLASSES, 2)
    found = []
    for number, (batch, _) in enumerate(images.batches(torch.arange(16), 2)):
        found.append(batch)
        if number == 0:
            active_children()[0].kill()
    assert torch.equal(torch.cat(found), read(photos, 0))
    assert "images are decoded in this process alone" in capfd.readouterr().err
    assert not active_children()


@pytest.mark.parametrize("how", [lambda: ctypes.string_at(0), lambda: os._exit(3), os.abort])
def test_an_image_that_crashes_its_decoder_is_named(photos, how, monkeypatch, capfd):
    when_reading("5.png", how, monkeypatch)
    with pytest.raises(RunFailed, match=r"ant/5.png: crashed the process .*; remove it, or save"):
        read(photos, 2)
    assert capfd.readouterr().err == ""
    assert not active_children()


def test_an_error_that_is_no_image_s_is_raised_as_itself(photos, monkeypatch, capfd):
    def decode(view, path):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(View, "read_square", decode)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        read(photos, 2)
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_reading_that_is_given_up_leaves_no_process(photos):
    batches = open_labelled_folder(photos, View.usual(32, 3), CLASSES, 2).batches(
        torch.arange(16), 2
    )
    next(batches)
    assert len(active_children()) == 2
    del batches
    assert not active_children()
