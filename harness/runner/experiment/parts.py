"""Parts: arms that do not fit into memory together are measured one part after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.devices.cpu import free_memory_bytes
from harness.devices.host import Host
from harness.runner.experiment.trial import Arm

MEMORY_SHARE = 0.8
"""Of the free memory, the most that live workers may be expected to take."""


@dataclass(frozen=True)
class Room:
    """Memory for workers alive together: bytes that they may take, and what an Arm's worker needs."""

    free_bytes: float
    needs: Callable[[Arm], int]


def host_room(needs: Callable[[Arm], int], host: Host | None = None) -> list[Room]:
    """Return the room in this machine's memory, or in the container's; none where it is unknown."""
    free = free_memory_bytes(host or Host())
    return [] if free is None else [Room(free * MEMORY_SHARE, needs)]


def cut_into_parts(arms: Sequence[Arm], shared: Sequence[Arm], rooms: Sequence[Room]) -> list[list[Arm]]:
    """Split arms that do not fit into all `rooms` together into parts, each with the `shared` arms too.

    A part has at least one arm of its own.
    """
    start = [room.free_bytes - sum(map(room.needs, shared)) for room in rooms]
    parts: list[list[Arm]] = []
    left = start
    for arm in arms:
        left = [free - room.needs(arm) for free, room in zip(left, rooms, strict=True)]
        if not parts or min(left, default=0) < 0:
            parts.append([*shared])
            left = [free - room.needs(arm) for free, room in zip(start, rooms, strict=True)]
        parts[-1].append(arm)
    return parts or ([[*shared]] if shared else [])
