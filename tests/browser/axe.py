"""axe-core, the accessibility checker: one pinned version from npm, checked by its hash, and cached."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "4.10.3"
SHA512 = "Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg=="
"""Base64, as npm writes it in `dist.integrity`."""
CACHE = Path(__file__).parent.parent.parent / ".cache" / "axe-core"


class MissingError(Exception):
    """Why axe-core cannot be had here."""


def source() -> str:
    """Return axe-core's script. Raises MissingError, and AssertionError where it is not the pinned one."""
    packed = CACHE / f"axe-core-{VERSION}.tgz"
    if not packed.is_file():
        _fetch(packed)
    content = packed.read_bytes()
    found = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != SHA512:
        packed.unlink()
        raise AssertionError(f"axe-core {VERSION} from npm is not what was pinned: sha512-{found}")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode("utf-8")


def _fetch(packed: Path) -> None:
    """Bring the package; it has its name when all of it is there."""
    npm = shutil.which("npm")
    if npm is None:
        raise MissingError("npm is not installed: apt-get install npm")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        asked = [npm, "pack", f"axe-core@{VERSION}", "--silent", "--pack-destination", folder]
        try:
            ran = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False, cwd=folder)
        except subprocess.TimeoutExpired as error:
            raise MissingError("npm did not bring axe-core within a minute") from error
        if ran.returncode:
            said = (ran.stderr.strip().splitlines() or ["no reason given"])[0]
            raise MissingError(f"npm could not bring axe-core: {said}")
        (Path(folder) / packed.name).replace(packed)
