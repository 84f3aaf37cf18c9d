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
class DeviceState:
    """State of a device at one moment. None: this device or its driver does not tell.

    `slowdowns` are reasons for which the clock is now lower than set; `heat_limited_s` and `power_limited_s`
    count the time in which heat or the power limit lowered it. `foreign_processes` are those of others that
    hold the device; `foreign_utilization` is the share of the time in which one of them used it, by samples
    of the driver since the reading before. Memory is that of all processes.
    """

    clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    slowdowns: tuple[str, ...] | None = None
    heat_limited_s: float | None = None
    power_limited_s: float | None = None
    foreign_processes: int | None = None
    foreign_utilization: float | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    used_memory_bytes: int | None = None
    free_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceEvidence:
    """State of a device before and after a Block."""

    device: str
    before: DeviceState = DeviceState()
    after: DeviceState = DeviceState()

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> DeviceEvidence:
        """Read what JSON made of it; unknown fields are ignored."""
        names = DeviceState.__dataclass_fields__
        states = [{k: v for k, v in fields[end].items() if k in names} for end in ("before", "after")]
        return cls(fields["device"], *(DeviceState(**state) for state in states))


class DeviceProbe:
    """Reads a device, never during a call. This base is for the processor, about which /proc tells."""

    def read(self) -> DeviceState | None:
        """Read the device's state now; None where there is nothing to read."""
        return None

    def between(self, _before: DeviceState | None, _after: DeviceState | None) -> DeviceEvidence | None:
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
