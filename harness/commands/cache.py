"""`harness cache`: what the Artifact cache holds."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from harness.artifacts.cache import Cache
from harness.errors import ExitCode
from harness.units import say_bytes


def show_cache(*, as_json: bool) -> ExitCode:
    """Print every Artifact with its size, largest first."""
    cache = Cache()
    entries = cache.entries()
    if as_json:
        content = {"folder": str(cache.folder), "artifacts": [asdict(entry) for entry in entries]}
        sys.stdout.write(json.dumps(content, indent=1) + "\n")
        return ExitCode.OK
    for entry in entries:
        size = say_bytes(entry.payload_bytes)
        sys.stdout.write(f"{entry.key}  {size:>9}  {entry.format:<13} {entry.last_step or 'as given'}\n")
    total = sum(entry.payload_bytes for entry in entries)
    sys.stdout.write(f"{len(entries)} Artifacts, {say_bytes(total)}, in {cache.folder}\n")
    return ExitCode.OK


def clear_cache() -> ExitCode:
    """Remove every Artifact."""
    cache = Cache()
    sys.stdout.write(f"freed {say_bytes(cache.clear())}\n")
    return ExitCode.OK
