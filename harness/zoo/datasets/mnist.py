"""MNIST: 60,000 and 10,000 handwritten digits (LeCun, Cortes, Burges), read from the gzipped IDX files.

The IDX layout and the MD5 sums of the unpacked files are those published with the data. suites/data/mnist
holds the files; every load verifies them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.zoo.assets import unpack_verified
from harness.zoo.registry import DATASETS, Data, Dataset, Split

MEAN, DEVIATION = 0.1307, 0.3081
"""Mean and standard deviation of the training pixels, as shares of 255."""

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
REMEDY = "put the original file there (see suites/data/mnist/README.md)"
UNSIGNED_BYTE = 0x08


def load(split: Split, root: Path) -> Data:
    """Read a split from `root`/mnist: images float32 (n, 1, 28, 28), normalized, and labels int64 (n,).

    A pixel x of 0..255 becomes (x / 255 - 0.1307) / 0.3081. Raises DataError for a missing, damaged or
    truncated file, with the file, the MD5 expected and found, and the remedy.
    """
    prefix = "t10k" if split == "test" else "train"
    folder = root / "mnist"
    images = read_verified(folder, f"{prefix}-images-idx3-ubyte", dimensions=3)
    labels = read_verified(folder, f"{prefix}-labels-idx1-ubyte", dimensions=1)
    if images.shape != (len(labels), 28, 28):
        raise DataError(f"{folder}: images {images.shape} and labels {labels.shape} do not belong together")
    pixels = images[:, np.newaxis].astype(np.float32)
    pixels /= np.float32(255)
    pixels -= np.float32(MEAN)
    pixels /= np.float32(DEVIATION)
    return Data((pixels,), labels.astype(np.int64))


def read_verified(folder: Path, name: str, dimensions: int) -> NDArray[np.uint8]:
    """Unpack `folder`/`name`.gz, verify its published MD5 and parse it. Raises DataError."""
    raw = unpack_verified(folder / f"{name}.gz", MD5[name], REMEDY)
    return parse_idx(raw, dimensions, f"{name}.gz")


def parse_idx(raw: bytes, dimensions: int, name: str) -> NDArray[np.uint8]:
    """Parse an IDX file of unsigned bytes: two zero bytes, type, rank, big-endian sizes, then the values.

    Raises DataError when the magic number, the number of dimensions or the length is wrong.
    """
    magic = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    if raw[:4] != magic:
        raise DataError(
            f"{name} is not an IDX file of {dimensions} dimensions: it begins with {raw[:4].hex()}, "
            f"not {magic.hex()}"
        )
    start = 4 + 4 * dimensions
    if len(raw) < start:
        raise DataError(f"{name} ends inside its header: {len(raw)} bytes of {start}")
    shape = [int(size) for size in np.frombuffer(raw, ">u4", dimensions, offset=4)]
    length = start + int(np.prod(shape, dtype=object))
    if len(raw) != length:
        raise DataError(f"{name} has {len(raw)} bytes, but its header (sizes {shape}) says {length}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


DATASETS.add("mnist", Dataset("mnist", "60,000 training and 10,000 test digits, 28 × 28, gray", load, MD5))
