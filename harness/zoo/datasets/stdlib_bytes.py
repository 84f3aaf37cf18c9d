"""Python's standard library as bytes, for training and evaluating a small language model.

The test split is an excerpt in the project (suites/data/stdlib-bytes: CPython 3.11.7, PSF license), so that
all machines evaluate on the same text; every load verifies it. The training split is the top-level modules of
the running interpreter, without the files of the excerpt.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import sysconfig
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.zoo.assets import unpack_verified
from harness.zoo.registry import DATASETS, Data, Dataset, Split

WINDOW = 256
"""Bytes of a sample; the label of each is the byte after it."""
HELD_OUT = (
    *("csv.py", "fractions.py", "graphlib.py", "heapq.py"),
    *("json/decoder.py", "queue.py", "shlex.py", "textwrap.py"),
)
"""Files of the excerpt, in its order; they are never trained on."""
GENERATED = "_sysconfigdata"
"""Prefix of the names of modules that differ between machines."""
EXCERPT = "held-out.bin.gz"
MD5 = {"held-out.bin": "5741eed2c7dbb73fdad53b18806a3522"}


def load(split: Split, root: Path) -> Data:
    """Return windows int64 (samples, 256) of bytes and, as labels of the same shape, the byte after each.

    `root`/stdlib-bytes holds the excerpt (split ``test``). Raises DataError for an excerpt that is missing
    or damaged, or an interpreter without the sources of its library.
    """
    return windows(read_excerpt(root / "stdlib-bytes") if split == "test" else training_text())


def windows(text: bytes) -> Data:
    """Cut `text` into windows that do not overlap; an incomplete one at the end is left out."""
    count = (len(text) - 1) // WINDOW
    values: NDArray[np.int64] = np.frombuffer(text, np.uint8)[: count * WINDOW + 1].astype(np.int64)
    return Data((values[:-1].reshape(count, WINDOW),), values[1:].reshape(count, WINDOW))


def read_excerpt(folder: Path) -> bytes:
    """Unpack the excerpt and verify its MD5. Raises DataError."""
    return unpack_verified(folder / EXCERPT, MD5["held-out.bin"], "use the project's file in suites/data")


def training_text() -> bytes:
    """Return the top-level modules of this interpreter's library, by name, without `HELD_OUT`.

    Raises DataError for a library without sources.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    files = [
        path
        for path in sorted(folder.glob("*.py"))
        if path.name not in HELD_OUT and not path.name.startswith(GENERATED)
    ]
    if not files:
        raise DataError(f"{folder} has no sources of the standard library to train on")
    return join(files)


def join(files: list[Path]) -> bytes:
    """Concatenate files, each after a zero byte; line ends are one byte on all systems."""
    try:
        return b"".join(b"\0" + path.read_bytes().replace(b"\r\n", b"\n") for path in files)
    except OSError as error:
        raise DataError(f"the standard library cannot be read: {error}") from error


def provenance() -> dict[str, str]:
    """Return which library was trained on, for a checkpoint's card."""
    text = training_text()
    return {
        "python": platform.python_version(),
        "text_bytes": str(len(text)),
        "text_sha256": hashlib.sha256(text).hexdigest(),
    }


DATASETS.add(
    "stdlib-bytes",
    Dataset(
        "stdlib-bytes",
        "Python's standard library as bytes: windows of 256, labeled with the byte after each",
        load,
        MD5,
        provenance,
        training_version=lambda: sys.version,
    ),
)
