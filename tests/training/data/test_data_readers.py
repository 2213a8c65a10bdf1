"""Readers on tiny files of exactly the right format, and on damaged ones."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from supernet.files import UserError
from training.data import DataConfig, fashion_mnist, open_training_data
from training.data.fashion_mnist import read_idx
from training.data.readers import open_part
from training.data.test_part import open_test_part


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_fashion_mnist(folder: Path, per_class: int = 3, compressed: bool = True) -> np.ndarray:
    """Write the four files and return the training images."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(10), per_class)
    images = rng.integers(0, 256, (len(labels), 28, 28))
    for prefix in ("train", "t10k"):
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx_bytes(array)
            if compressed:
                (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
            else:
                (folder / f"{prefix}-{name}-ubyte").write_bytes(content)
    return images


def write_cifar(folder: Path, num_label_bytes: int, num_classes: int) -> np.ndarray:
    """Write every file of CIFAR-10 (1 label byte) or CIFAR-100 (2); return the first one's rows."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    files = (
        [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
        if num_label_bytes == 1
        else ["train.bin", "test.bin"]
    )
    records = rng.integers(0, 256, (2 * num_classes, num_label_bytes + 3072)).astype(np.uint8)
    records[:, num_label_bytes - 1] = np.tile(np.arange(num_classes), 2)
    for name in files:
        (folder / name).write_bytes(records.tobytes())
    names_file = "batches.meta.txt" if num_label_bytes == 1 else "fine_label_names.txt"
    names = "".join(f"class_{number}\n" for number in range(num_classes))
    (folder / names_file).write_text(names + "\n")
    return records


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Hide every place where a data set could be found, and forbid the download."""
    monkeypatch.delenv("EVOBIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")

    def no_network(*arguments, **options):
        raise RuntimeError("no network")

    monkeypatch.setattr("torchvision.datasets.FashionMNIST", no_network)
    return tmp_path


def test_embedded_set_is_complete_and_balanced():
    config = DataConfig(name="fashion-mnist-mini")
    train, test = open_part(config, "train"), open_test_part(config)
    assert (len(train), len(test)) == (10_000, 2_000)
    assert set(train.num_per_class().values()) == {1000}
    assert set(test.num_per_class().values()) == {200}
    assert (train.channels, train.size) == (1, 32)
    assert train.class_names[9] == "Ankle boot"


def test_embedded_set_stays_below_6_mb_and_is_exactly_28x28():
    files = list(fashion_mnist.EMBEDDED_FOLDER.iterdir())
    assert sum(path.stat().st_size for path in files) < 6_000_000
    assert {"README.md", "LICENSE"} <= {path.name for path in files}
    raw = read_idx(fashion_mnist.EMBEDDED_FOLDER / "t10k-images-idx3-ubyte.gz")
    images, _ = open_test_part(DataConfig(name="fashion-mnist-mini")).read(torch.arange(2000))
    assert raw.shape == (2000, 28, 28)
    assert (images[:, 0, 2:30, 2:30].numpy() == raw).all()
    assert images.sum() == raw.sum()  # the border is black


@pytest.mark.skipif(
    not fashion_mnist.DEBIAN_FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is missing"
)
def test_embedded_set_is_the_start_of_the_real_one():
    name = "t10k-{}-ubyte.gz"
    labels = read_idx(fashion_mnist.DEBIAN_FOLDER / name.format("labels-idx1"))
    images = read_idx(fashion_mnist.DEBIAN_FOLDER / name.format("images-idx3"))
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == c)[:200] for c in range(10)]))
    embedded = fashion_mnist.EMBEDDED_FOLDER
    assert (read_idx(embedded / name.format("images-idx3")) == images[chosen]).all()
    assert (read_idx(embedded / name.format("labels-idx1")) == labels[chosen]).all()


@pytest.mark.parametrize("compressed", [True, False])
def test_fashion_mnist_from_root(nowhere, compressed):
    raw = write_fashion_mnist(nowhere / "set", compressed=compressed)
    config = DataConfig(name="fashion-mnist", root=nowhere / "set")
    for part in ("train", "test"):
        images, labels = open_part(config, part).read(torch.arange(30))
        assert images.shape == (30, 1, 32, 32) and images.dtype == torch.uint8
        assert (images[:, 0, 2:30, 2:30].numpy() == raw).all()
        assert labels.tolist() == list(range(10)) * 3


def test_fashion_mnist_is_searched_in_order(nowhere, monkeypatch):
    config = DataConfig(name="fashion-mnist", root=nowhere / "root")
    places = {
        "debian": fashion_mnist.DEBIAN_FOLDER,
        "environment itself": nowhere / "data",
        "environment": nowhere / "data" / "fashion-mnist",
        "root": nowhere / "root" / "FashionMNIST" / "raw",
    }
    monkeypatch.setenv("EVOBIT_DATA", str(nowhere / "data"))
    for per_class, place in enumerate(places.values(), start=2):  # later places win
        write_fashion_mnist(place, per_class)
        assert len(open_part(config, "train")) == 10 * per_class


def test_fashion_mnist_is_downloaded_where_it_is_nowhere(nowhere, monkeypatch):
    def download(root, download):
        assert download
        write_fashion_mnist(Path(root) / "FashionMNIST" / "raw", compressed=False)

    monkeypatch.setattr("torchvision.datasets.FashionMNIST", download)
    assert len(open_part(DataConfig(name="fashion-mnist"), "train")) == 30
    assert (nowhere / "user-cache/evobit/fashion-mnist/FashionMNIST/raw").is_dir()


def test_missing_fashion_mnist_names_the_places(nowhere):
    with pytest.raises(UserError, match="no network") as error:
        open_training_data(DataConfig(name="fashion-mnist", root=nowhere / "root"))
    assert str(nowhere / "root") in str(error.value) and str(nowhere / "debian") in str(error.value)


def test_incomplete_fashion_mnist_names_the_missing_file(nowhere):
    write_fashion_mnist(nowhere)
    (nowhere / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match="train-labels-idx1-ubyte is missing"):
        open_part(DataConfig(name="fashion-mnist", root=nowhere), "train")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x03\0\0\0\x05",  # header ends early
        idx_bytes(np.zeros((30, 28, 28)))[:-1],
        idx_bytes(np.zeros((30, 28, 28))) + b"x",
        b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0",  # float32
        idx_bytes(np.zeros((30, 28))),
        idx_bytes(np.zeros((29, 28, 28))),  # 30 labels
        b"<html>not found</html>",
    ],
)
def test_damaged_idx_names_the_file(nowhere, content):
    write_fashion_mnist(nowhere, compressed=False)
    (nowhere / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(UserError, match="train-(images|labels)-idx._?.*-ubyte.*expected"):
        open_part(DataConfig(name="fashion-mnist", root=nowhere), "train")


@pytest.mark.parametrize("damage", ["cut", "flipped", "no gzip"])
def test_damaged_gzip_names_the_file(nowhere, damage):
    write_fashion_mnist(nowhere)
    path = nowhere / "train-images-idx3-ubyte.gz"
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:middle],
            "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
            "no gzip": b"hello",
        }[damage]
    )
    with pytest.raises(UserError, match="train-images-idx3-ubyte.gz: damaged"):
        open_part(DataConfig(name="fashion-mnist", root=nowhere), "train")


@pytest.mark.parametrize("form", [("cifar10", 1, 10), ("cifar100", 2, 100)])
@pytest.mark.parametrize("place", ["root", "folder", "environment"])
def test_cifar_binary(nowhere, monkeypatch, form, place):
    name, num_label_bytes, num_classes = form
    folder = nowhere / {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}[name]
    records = write_cifar(folder, num_label_bytes, num_classes)
    root = {"root": folder, "folder": nowhere, "environment": None}[place]
    monkeypatch.setenv("EVOBIT_DATA", str(nowhere))
    config = DataConfig(name=name, root=root)
    train, test = open_part(config, "train"), open_test_part(config)
    assert len(train) == (5 if name == "cifar10" else 1) * len(records)
    images, labels = test.read(torch.arange(len(test)))
    assert (images.flatten(1).numpy() == records[:, num_label_bytes:]).all()
    assert (labels.numpy() == records[:, num_label_bytes - 1]).all()
    assert test.class_names[3] == "class_3" and test.channels == 3


def test_damaged_cifar_names_the_file(nowhere):
    folder = nowhere / "cifar-10-batches-bin"
    records = write_cifar(folder, 1, 10)
    config = DataConfig(name="cifar10", root=nowhere)
    (folder / "data_batch_3.bin").write_bytes(records.tobytes()[:-1])
    with pytest.raises(UserError, match=r"data_batch_3.bin: damaged.*expected"):
        open_part(config, "train")
    records[4, 0] = 10
    (folder / "data_batch_3.bin").write_bytes(records.tobytes())
    with pytest.raises(UserError, match=r"data_batch_3.bin: holds the label 10, expected 0 to 9"):
        open_part(config, "train")
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(UserError, match=r"data_batch_3.bin: cannot be read"):
        open_part(config, "train")
    (folder / "batches.meta.txt").write_text("airplane\n")
    with pytest.raises(UserError, match=r"batches.meta.txt: holds 1 names, expected 10"):
        open_part(config, "train")


def test_pickled_cifar_is_not_read(nowhere):
    (nowhere / "cifar-10-batches-py").mkdir()
    (nowhere / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match="binary version"):
        open_part(DataConfig(name="cifar10", root=nowhere), "train")


def test_other_sizes_are_resized_once(nowhere):
    train = open_part(DataConfig(name="fashion-mnist-mini", image_size=16), "train")
    images, _ = train.read(torch.arange(100))
    full, _ = open_part(DataConfig(name="fashion-mnist-mini", image_size=28), "train").read(
        torch.arange(100)
    )
    assert images.shape[2:] == (16, 16) and full.shape[2:] == (28, 28)
    assert abs(images.float().mean() - full.float().mean()) < 2  # levels of 255
