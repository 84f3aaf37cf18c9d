"""Data and checkpoints that come with a suite or with the project: find them, and verify what is read."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

from harness.errors import DataError

SHIPPED = Path(__file__).resolve().parent / "shipped"
"""Where a built package has them (setup.py); a checkout has them in `suites/`."""
PROJECT_ASSETS = SHIPPED if SHIPPED.is_dir() else SHIPPED.parents[2] / "suites"


def locate_asset(relative: str, folder: Path) -> Path:
    """Return `relative` below the suite's folder, or among the project's own if it is not there."""
    own = folder / relative
    return own if own.exists() else PROJECT_ASSETS / relative


def unpack_verified(path: Path, md5: str, remedy: str) -> bytes:
    """Return the unpacked content of the gzip file `path`, whose MD5 must be `md5`.

    Raises DataError for a missing, damaged or different file, with the MD5 expected and found, and `remedy`.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing (md5 {md5} unpacked): {remedy}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be unpacked ({error}); expected md5 {md5} unpacked: {remedy}"
        ) from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(f"{path} has md5 {found} unpacked instead of {md5}: {remedy}")
    return content
