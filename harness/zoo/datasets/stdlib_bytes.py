"""Python's standard library as bytes: what a small language model learns from, and is judged by.

Judged is an excerpt that the project carries (suites/data/stdlib-bytes: CPython 3.11.7, PSF licence), so
that all machines judge by the same text; every load verifies it. Training takes the top-level modules of the
interpreter that runs, without the files that the excerpt is made of.
"""

from __future__ import annotations

import gzip
import hashlib
import platform
import sys
import sysconfig
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.zoo.registry import DATASETS, Data, Dataset, Split

WINDOW = 256
"""Bytes of an item; each is scored on the byte after it."""
HELD_OUT = (
    *("csv.py", "fractions.py", "graphlib.py", "heapq.py"),
    *("json/decoder.py", "queue.py", "shlex.py", "textwrap.py"),
)
"""Files of the excerpt, in its order: never trained on."""
GENERATED = "_sysconfigdata"
"""Begin of the names of modules that differ from machine to machine."""
EXCERPT = "held-out.bin.gz"
MD5 = {"held-out.bin": "5741eed2c7dbb73fdad53b18806a3522"}


def load(split: Split, root: Path) -> Data:
    """Return windows int64 (items, 256) of bytes and, as labels of the same shape, the byte after each.

    `root`/stdlib-bytes holds the excerpt (split ``test``). Raises DataError for an excerpt that is missing
    or damaged, or an interpreter without the sources of its library.
    """
    return windows(read_excerpt(root / "stdlib-bytes") if split == "test" else training_text())


def windows(text: bytes) -> Data:
    """Cut `text` into windows that do not overlap; the rest at the end is left out."""
    count = (len(text) - 1) // WINDOW
    values: NDArray[np.int64] = np.frombuffer(text, np.uint8)[: count * WINDOW + 1].astype(np.int64)
    return Data((values[:-1].reshape(count, WINDOW),), values[1:].reshape(count, WINDOW))


def read_excerpt(folder: Path) -> bytes:
    """Unpack the excerpt and verify its MD5. Raises DataError."""
    path, expected = folder / EXCERPT, MD5["held-out.bin"]
    try:
        text = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): the project carries it in suites/data") from error
    found = hashlib.md5(text, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DataError(f"{path} has md5 {found} unpacked instead of {expected}: take the project's own")
    return text


def training_text() -> bytes:
    """Top-level modules of this interpreter's library, by name, without `HELD_OUT`. Raises DataError."""
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
    """Put files one after the other, a zero byte before each; ends of lines are one byte everywhere."""
    try:
        return b"".join(b"\0" + path.read_bytes().replace(b"\r\n", b"\n") for path in files)
    except OSError as error:
        raise DataError(f"the standard library cannot be read: {error}") from error


def provenance() -> dict[str, str]:
    """Whose library was trained on, for a checkpoint's card."""
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
        "Python's standard library as bytes: windows of 256, labelled with the byte after each",
        load,
        MD5,
        provenance,
        training_version=lambda: sys.version,
    ),
)
