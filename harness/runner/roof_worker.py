"""Measures the machine's roofs in a process of its own, so that the libraries it needs burden nobody else."""

from __future__ import annotations

import sys
import traceback

from harness.devices.peaks import measure
from harness.measure.pinning import pin
from harness.runner.channel import WorkerSide
from harness.runner.describing import describe


def main() -> None:
    """Answer one thread budget."""
    channel = WorkerSide()
    asked = channel.receive()
    if asked is None:
        return
    try:
        pin(tuple(asked["cores"]))
        channel.emit("roofs", **measure(int(asked["threads"]), float(asked["seconds"])).to_dict())
    except Exception as error:  # a library may raise anything; the Run goes on without roofs
        traceback.print_exc(file=sys.stderr)
        channel.emit("error", reason=describe(error))


if __name__ == "__main__":
    main()
