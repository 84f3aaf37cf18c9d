"""How far a Group has come."""

from __future__ import annotations

from dataclasses import dataclass, field

Key = tuple[str, str]
"""An arm of a Group: cell_id, and cell, baseline or shadow."""


@dataclass
class GroupProgress:
    """What has been done of a Group: Trials finished, the next Trial's number, Cells that were timed, that
    answered the quality set, that failed.
    """

    finished: int = 0
    next_trial: int = 0
    timed: set[str] = field(default_factory=set)
    evaluated: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
