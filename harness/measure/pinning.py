"""Binding a process to cores, so that every runtime has as many as its thread budget."""

from __future__ import annotations

import os
from collections.abc import Sequence


def pin(cores: Sequence[int]) -> bool:
    """Bind this process, and all threads it starts later, to `cores`; False where the system cannot."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, cores)
    return True
