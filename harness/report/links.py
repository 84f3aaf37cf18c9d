"""Where each page of the site lies, relative to its folder. Names become file names that no other has."""

from __future__ import annotations

import hashlib
import re


def slugged(text: str) -> str:
    """Return what is left of a name for a file or an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]


def unique(*names: str) -> str:
    """Return a file's stem for names: readable where they are plain, with a hash where they are not."""
    slug = ".".join(filter(None, (slugged(name) for name in names)))
    if slug and slug == ".".join(names):
        return slug
    digest = hashlib.sha256("\0".join(names).encode(errors="replace")).hexdigest()[:8]
    return f"{slug}-{digest}" if slug else digest


def board_path(run: str, workload: str, hardware: str) -> str:
    """The leaderboard of one workload on one hardware of the Run whose key is `run`."""
    return f"boards/{unique(workload, hardware)}-{run}.html"


def cell_path(run: str, cell_id: str) -> str:
    """The page of one Cell."""
    return f"cells/{unique(cell_id)}-{run}.html"


def model_path(model: str) -> str:
    """The page of one model, all machines."""
    return f"models/{unique(model)}.html"


def family_path(family: str) -> str:
    """The page of one technique family."""
    return f"families/{unique(family)}.html"


def root_of(path: str) -> str:
    """What leads from a page back to the site's folder."""
    return "../" * path.count("/")
