"""Checks of what determines the cores' speed: governor, turbo, heat, battery; and of the timer."""

from __future__ import annotations

import psutil

from harness.devices import settings
from harness.devices.cores import cores
from harness.devices.doctor import Seen, check
from harness.devices.host import Host

_HOT_C = 85.0


@check(
    "governor",
    "A governor that follows the load makes the first calls after a pause slow and the others uneven.",
)
def governor(host: Host) -> Seen:
    """Only `performance` keeps the frequency high."""
    name = settings.governor(host)
    if name is None:
        return "unknown", "this system reports no frequency governor (usual in virtual machines)"
    if name == "performance":
        return "ok", name
    return "warn", name, "sudo cpupower frequency-set -g performance"


@check("frequency", "If a core may run at many frequencies, each call may run at a different one.")
def frequency(host: Host) -> Seen:
    """The lowest and the highest frequency allowed on the first available core."""
    span = settings.frequency_mhz(host, cores(host).ids[0])
    if span is None:
        return "unknown", "this system reports no frequency limits"
    low, high = span
    if low == high:
        return "ok", f"fixed at {high} MHz"
    remedy = f"sudo cpupower frequency-set -d {low}MHz -u {low}MHz  # or another fixed one"
    return "note", f"{low}-{high} MHz", remedy


@check("turbo", "Turbo depends on heat and on how many cores are busy, so speed drifts within a Run.")
def turbo(host: Host) -> Seen:
    """On is usual, and it is the largest source of slow drift on bare metal."""
    on = settings.turbo(host)
    if on is None:
        return "unknown", "this system does not report whether turbo is on"
    return ("warn", "on", settings.turbo_command(host)) if on else ("ok", "off")


@check("thermal", "A hot processor slows down, and the model that is measured last looks worst.")
def thermal(host: Host) -> Seen:
    """The hottest zone now, and how often the processor has slowed down since boot."""
    zones = [host.number(name) for name in host.glob("sys/class/thermal/thermal_zone*/temp")]
    hottest = max((zone / 1000 for zone in zones if zone is not None), default=None)
    throttles = host.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count")
    times = sum(host.number(name) or 0 for name in throttles)
    if hottest is None and not throttles:
        return "unknown", "this system reports no temperature"
    value = f"{'?' if hottest is None else f'{hottest:.0f}'} °C, slowed down {times} times since boot"
    if times or (hottest or 0) > _HOT_C:
        return "warn", value, "let it cool down, improve the air flow, or turn turbo off"
    return "ok", value


@check("battery", "On battery the firmware lowers the processor's power limit.")
def battery(host: Host) -> Seen:
    """A machine that runs on battery is bad; one that charges its battery is not."""
    plugged = _plugged(host)
    if plugged is None:
        return "ok", "no battery"
    return ("ok", "plugged in") if plugged else ("bad", "running on battery", "plug the charger in")


@check(
    "clock-source",
    "If the kernel does not read the processor's own counter, one time stamp costs microseconds.",
)
def clock_source(host: Host) -> Seen:
    """`tsc`, `arch_sys_counter` and `kvm-clock` need no system call; `hpet` and `acpi_pm` do."""
    folder = "sys/devices/system/clocksource/clocksource0"
    source = host.text(f"{folder}/current_clocksource")
    if source is None:
        return "unknown", "this system does not report its clock source"
    if source in ("tsc", "arch_sys_counter", "kvm-clock"):
        return "ok", source
    if "tsc" in (host.text(f"{folder}/available_clocksource") or ""):
        return "warn", source, f"echo tsc | sudo tee /{folder}/current_clocksource"
    return "warn", source, "do not time calls shorter than 100 readings (harness run records their cost)"


def _plugged(host: Host) -> bool | None:
    """Whether the charger powers the machine; None without a battery."""
    supplies = [name.rpartition("/")[0] for name in host.glob("sys/class/power_supply/*/type")]
    kinds = {supply: host.text(f"{supply}/type") for supply in supplies}
    batteries = [
        supply
        for supply, kind in kinds.items()
        if kind == "Battery" and host.text(f"{supply}/scope") != "Device"  # not a mouse's
    ]
    if batteries:
        return not any(host.text(f"{supply}/status") == "Discharging" for supply in batteries)
    sensed = psutil.sensors_battery() if host.real and hasattr(psutil, "sensors_battery") else None
    return None if sensed is None or sensed.power_plugged is None else bool(sensed.power_plugged)
