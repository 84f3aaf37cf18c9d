"""Measures roofs of one library, or of copying, in a process of its own: libraries disturb each other."""

from __future__ import annotations

import sys
import traceback
from dataclasses import asdict
from typing import Any

from harness.devices.peaks.bandwidth import measure_bandwidth
from harness.devices.peaks.compute import measure_products
from harness.devices.peaks.registry import GEMMS
from harness.errors import describe
from harness.measure.threads import pin
from harness.runner.workers.channel import Message, WorkerSide


def main() -> None:
    """Answer one question: ``library`` names whose products, null asks for copying."""
    channel = WorkerSide()
    asked = channel.receive()
    if asked is None:
        return
    try:
        pin(tuple(asked["cores"]))
        channel.emit("peaks", **_answer(asked))
    except Exception as error:  # a library may raise anything; the Run goes on without its roofs
        traceback.print_exc(file=sys.stderr)
        channel.emit("error", reason=describe(error))


def _answer(asked: Message) -> dict[str, Any]:
    threads, seconds, library = int(asked["threads"]), float(asked["seconds"]), asked["library"]
    if library is None:
        return asdict(measure_bandwidth(threads, seconds))
    gemms = [entry for entry in GEMMS.values() if entry.library == library]
    return asdict(measure_products(gemms, threads, seconds))


if __name__ == "__main__":
    main()
