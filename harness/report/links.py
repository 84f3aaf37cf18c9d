"""The paths of the site's pages, and unique file names for names of any kind."""

from __future__ import annotations

import hashlib
import re


def unique(*names: str) -> str:
    """Return a file stem of lower-case letters, digits and hyphens, with a hash if others were replaced."""
    slugs = [re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] for name in names]
    slug = ".".join(filter(None, slugs))
    if slug and slug == ".".join(names):
        return slug
    digest = hashlib.sha256("\0".join(names).encode(errors="replace")).hexdigest()[:8]
    return f"{slug}-{digest}" if slug else digest


def board_path(run: str, workload: str, hardware: str) -> str:
    """Return the path of a leaderboard; `run` is the key of the Run."""
    return f"boards/{unique(workload, hardware)}-{run}.html"


def cell_path(run: str, cell_id: str) -> str:
    """Return the path of a Cell's page."""
    return f"cells/{unique(cell_id)}-{run}.html"


def model_path(model: str) -> str:
    """Return the path of a model's page."""
    return f"models/{unique(model)}.html"


def family_path(family: str) -> str:
    """Return the path of a technique family's page."""
    return f"families/{unique(family)}.html"


def root_of(path: str) -> str:
    """Return the relative path from a page to the site's folder."""
    return "../" * path.count("/")
