"""Parts: arms that do not fit into memory together are measured one part after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from harness.devices.cpu import free_memory_bytes
from harness.devices.host import Host
from harness.devices.probes import open_probe
from harness.runner.experiment.measurements import ArmHistory
from harness.runner.experiment.trial import Arm

MEMORY_SHARE = 0.8
"""Of the free memory, the most that live workers may be expected to take."""


@dataclass(frozen=True)
class Room:
    """Memory for workers alive together: bytes that they may take, and what an Arm's worker needs."""

    free_bytes: float
    needs: Callable[[Arm], int]


def rooms(arms: Sequence[Arm], seen: Callable[[Arm], ArmHistory], host: Host | None = None) -> list[Room]:
    """Return the rooms that the workers of `arms` share: the machine's memory, and that of each device.

    A worker needs what it was `seen` to need in an earlier Trial, else what is expected. Where free memory is
    unknown, there is no room to heed.
    """
    free = {"": free_memory_bytes(host or Host())}
    free |= {name: open_probe(name).free_bytes() for name in sorted({arm.target.device for arm in arms})}

    def needs(arm: Arm, device: str) -> int:
        if not device:
            return seen(arm).peak_bytes or arm.expected_bytes
        if device != arm.target.device:
            return 0
        return seen(arm).device_bytes or arm.expected_device_bytes

    return [
        Room(bytes_ * MEMORY_SHARE, partial(needs, device=name))
        for name, bytes_ in free.items()
        if bytes_ is not None
    ]


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
