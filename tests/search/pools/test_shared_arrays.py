"""Arrays through a folder that all nodes reach: the same bits, one copy a node, damage noticed."""

import threading
from pathlib import Path

import numpy as np
import pytest

from search.pools import shared_arrays
from search.pools.shared_arrays import SharedArrays, node_folder, share
from supernet.files import UserError

ARRAYS = {
    "weights/a": np.arange(12, dtype=np.float32).reshape(3, 4).T,  # not in one piece
    "weights/tracked": np.array(7),
    "half": np.array([1.5, -2.0], np.float16),
    "mean": np.array([0.1, 0.2]),
    "images": np.arange(5, dtype=np.uint8),
    "none": np.empty((0, 3), np.float32),
    "mask": np.array([True, False]),
}


def check(arrays):
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        assert np.array_equal(arrays[name], array)
        assert array.size == 0 or not arrays[name].flags.writeable


@pytest.mark.parametrize("is_local", [True, False])
def test_a_node_has_the_arrays_that_were_shared(tmp_path, is_local):
    shared = share(ARRAYS, str(tmp_path / "share") if is_local else "memory://share/d")
    node = tmp_path / "node"
    check(shared.open(node))
    (copy,) = node.glob("*.safetensors")
    assert copy.stem == shared.sha256
    assert shared.url.endswith(copy.name)
    shared.remove(node)
    assert not node.exists()
    shared.remove(node)


def test_what_is_there_is_not_written_again(tmp_path):
    first = share(ARRAYS, str(tmp_path))
    (file,) = tmp_path.iterdir()
    before = file.stat()
    assert share(dict(reversed(ARRAYS.items())), str(tmp_path)) == first
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    file.write_bytes(file.read_bytes()[:-1])
    assert share(ARRAYS, str(tmp_path)) == first
    check(first.open(tmp_path / "node"))
    assert share({"a": np.zeros(1)}, str(tmp_path)) != first


def test_a_stale_copy_does_no_harm(tmp_path):
    shared = share(ARRAYS, str(tmp_path / "share"))
    node = tmp_path / "node"
    node.mkdir()
    (node / f".{shared.sha256}.safetensors.x.partial").write_bytes(b"torn")
    copy = node / f"{shared.sha256}.safetensors"
    copy.write_bytes(b"\0" * 1000)
    check(shared.open(node))
    assert set(node.iterdir()) == {copy, node / ".lock"}
    before = copy.stat().st_ino
    check(shared.open(node))
    assert copy.stat().st_ino == before


def test_a_removed_copy_stays_mapped(tmp_path):
    shared = share(ARRAYS, "memory://share/e")
    arrays = shared.open(tmp_path / "node")
    shared.remove(tmp_path / "node")
    check(arrays)


def test_damage_is_refused(tmp_path):
    shared = share(ARRAYS, str(tmp_path / "share"))
    (file,) = (tmp_path / "share").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="is damaged, its SHA-256 is not its name"):
        shared.open(tmp_path / "node")
    file.unlink()
    with pytest.raises(UserError, match="search.arrays_at: .* cannot be read"):
        shared.open(tmp_path / "node")
    assert not list((tmp_path / "node").glob("*safetensors*"))


def test_two_workers_of_a_node_copy_once(tmp_path, monkeypatch):
    shared = share(ARRAYS, "memory://share/f")
    fetched, mapped = [], []
    fetch = SharedArrays._fetch

    def counted(self, copy):
        fetched.append(copy)
        fetch(self, copy)

    monkeypatch.setattr(SharedArrays, "_fetch", counted)
    workers = [
        threading.Thread(target=lambda: mapped.append(shared.open(tmp_path / "node")))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (len(fetched), len(mapped)) == (1, 4)


@pytest.mark.parametrize("place", ["nosuch://bucket/x", "{file}/x", "{file}"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="nosuch|file"):
        share(ARRAYS, place.format(file=tmp_path / "file"))


def test_the_folder_of_a_node_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_arrays.tempfile, "tempdir", str(tmp_path))
    folder = node_folder("abcdef" * 9)
    assert folder == node_folder("abcdef" * 9) != node_folder("b" * 54)
    assert folder.parent == Path(tmp_path) and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(UserError, match="only this user may open"):
        node_folder("abcdef" * 9)
