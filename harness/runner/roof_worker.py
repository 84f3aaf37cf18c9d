"""Measures roofs of one library, or of copying, in a process of its own: libraries disturb each other."""

from __future__ import annotations

import sys
import traceback
from dataclasses import asdict
from typing import Any

from harness.devices.gemms.registry import GEMMS
from harness.devices.memory_roof import measure_copying
from harness.devices.peaks import measure_products
from harness.measure.pinning import pin
from harness.runner.channel import Message, WorkerSide
from harness.runner.describing import describe


def main() -> None:
    """Answer one question: ``library`` names whose products, null asks for copying."""
    channel = WorkerSide()
    asked = channel.receive()
    if asked is None:
        return
    try:
        pin(tuple(asked["cores"]))
        channel.emit("roofs", **_answer(asked))
    except Exception as error:  # a library may raise anything; the Run goes on without its roofs
        traceback.print_exc(file=sys.stderr)
        channel.emit("error", reason=describe(error))


def _answer(asked: Message) -> dict[str, Any]:
    threads, seconds, library = int(asked["threads"]), float(asked["seconds"]), asked["library"]
    if library is None:
        return asdict(measure_copying(threads, seconds))
    gemms = [entry for entry in GEMMS.values() if entry.library == library]
    return asdict(measure_products(gemms, threads, seconds))


if __name__ == "__main__":
    main()
