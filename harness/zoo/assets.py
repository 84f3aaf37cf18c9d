"""Where data and checkpoints lie: beside the suite, or in the project's own `suites/`."""

from __future__ import annotations

from pathlib import Path

PROJECT_SUITES = Path(__file__).resolve().parents[2] / "suites"


def locate_asset(relative: str, folder: Path) -> Path:
    """Return `relative` below the suite's folder, or below the project's own suites where it is not there."""
    own = folder / relative
    return own if own.exists() else PROJECT_SUITES / relative
