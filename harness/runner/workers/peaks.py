"""Measures the peaks of one library, or of memory, in a process of its own: libraries disturb each other."""

from __future__ import annotations

from dataclasses import asdict

from harness.devices.peaks.bandwidth import measure_bandwidth
from harness.devices.peaks.compute import measure_products
from harness.devices.peaks.registry import GEMMS
from harness.runner.workers.channel import Message, WorkerSide, serve


def measure(channel: WorkerSide, asked: Message) -> None:
    """Measure what the manager asks for: the products of ``library``, or for null the memory bandwidth."""
    threads, seconds, library = int(asked["threads"]), float(asked["seconds"]), asked["library"]
    gemms = [entry for entry in GEMMS.values() if entry.library == library]
    found = measure_products(gemms, threads, seconds) if library else measure_bandwidth(threads, seconds)
    channel.emit("peaks", **asdict(found))


if __name__ == "__main__":
    serve(measure)
