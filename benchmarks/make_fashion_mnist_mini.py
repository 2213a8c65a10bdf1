"""Make the embedded subset of Fashion-MNIST: the first images of each class, in original order.

Usage: python -m benchmarks.make_fashion_mnist_mini SOURCE_FOLDER OUTPUT_FOLDER
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np

from training.data.fashion_mnist import find_idx, read_idx

NUM_CLASSES = 10
IMAGES_PER_CLASS = {"train": 1000, "t10k": 200}


def first_of_each_class(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Return the ascending indices of the first `per_class` images of every class."""
    firsts = [np.flatnonzero(labels == label)[:per_class] for label in range(NUM_CLASSES)]
    return np.sort(np.concatenate(firsts))


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array as a gzip IDX file; modification time 0 keeps the bytes reproducible."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    with open(path, "wb") as raw:
        with gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as file:
            file.write(header + array.tobytes())


def main(source: Path, output: Path) -> None:
    """Read the full set below `source` and write the four files of the subset into `output`."""
    output.mkdir(parents=True, exist_ok=True)
    for prefix, per_class in IMAGES_PER_CLASS.items():
        names = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
        paths = [find_idx(source, name) for name in names]
        assert paths[0] is not None and paths[1] is not None, f"{names} not found in {source}"
        images, labels = read_idx(paths[0]), read_idx(paths[1])
        chosen = first_of_each_class(labels, per_class)
        write_idx(output / f"{names[0]}.gz", images[chosen])
        write_idx(output / f"{names[1]}.gz", labels[chosen])
        print(f"{prefix}: {len(chosen)} images")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
