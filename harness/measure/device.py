"""What a device besides the processor tells about noise and memory: devices/probes.py reads it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

MEMORY_SOURCES = {
    "driver": "as the driver counts it for its processes",
    "difference": "the growth of the device's used memory, since the driver does not list its processes",
    "unknown": "unknown, since the driver tells neither that of its processes nor that of the device",
}
"""Where figures of device memory come from; the second holds only if no other process uses the device."""


@dataclass(frozen=True, slots=True)
class DeviceEvidence:
    """State of a device around one Block. None: this device or its driver does not tell.

    Clocks are in MHz, at the start and the end. `slowdowns`: reasons for which the clock was lower than set,
    at the start or the end. `heat_limited_s`, `power_limited_s`: time within the Block in which heat or the
    power limit lowered the clock. `foreign_processes`: processes of others that hold the device.
    `foreign_utilization`: share of the time in which one of them used it, if the driver took a sample within
    the Block. Temperature, power and used memory (of all processes) are those at the end.
    """

    device: str
    clock_mhz_start: int | None = None
    clock_mhz_end: int | None = None
    memory_clock_mhz_start: int | None = None
    memory_clock_mhz_end: int | None = None
    slowdowns: tuple[str, ...] | None = None
    heat_limited_s: float | None = None
    power_limited_s: float | None = None
    foreign_processes: int | None = None
    foreign_utilization: float | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    used_memory_bytes: int | None = None

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> DeviceEvidence:
        """Read what JSON made of it: fields that are missing become None, unknown ones are ignored."""
        known: dict[str, Any] = {name: fields.get(name) for name in cls.__dataclass_fields__}
        slowdowns = known["slowdowns"]
        return cls(**known | {"slowdowns": None if slowdowns is None else tuple(slowdowns)})


class DeviceProbe:
    """Reads a device. This base is for the processor, about which /proc tells: it has nothing to add.

    Use it between calls and never during one.
    """

    def read(self) -> Any:
        """Read the device's state now; None where there is nothing to read."""
        return None

    def between(self, _before: Any, _after: Any) -> DeviceEvidence | None:
        """Return the evidence of a Block from the readings around it."""
        return None

    def resume(self) -> None:
        """From now until `pause`, this process alone uses the device: growth of its memory is its own."""

    def pause(self) -> None:
        """End what `resume` began."""

    def memory(self, _pids: Collection[int]) -> tuple[int | None, str | None]:
        """Return the device memory of processes in bytes, and its source; two None without such memory."""
        return None, None

    def free_bytes(self) -> int | None:
        """Return the device's free memory in bytes; None if it is unknown, or if it has none of its own."""
        return None
