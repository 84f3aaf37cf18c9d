"""Measuring one thread budget's roofs: one process after the other for each library, and one for copying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.artifacts.targets import Target
from harness.devices.gemms.registry import GEMMS, Gemm
from harness.devices.peaks import WITH_ONE_ROW, Rate, best, reason_of, work_s
from harness.errors import WorkerError
from harness.runner.channel import Worker
from harness.runner.environment import worker_environment

Roofs = dict[str, Any]
PATIENCE_S = 120.0
"""What importing a library and making its matrices may take besides measuring."""
COPY = "copy"
"""Copying among what was disturbed; the others are products (devices/peaks.py)."""


def measure_roofs(target: Target, seconds: float, logs: Path, *, huge_pages: bool) -> Roofs:
    """Return the roofs with so many threads, ready for JSON.

    `rates` are the best of each number type (`Rate` in devices/peaks.py), `copy_…` those of `Copying` in
    devices/memory_roof.py. `disturbed` says what disturbed a product, or the copy, so that its true rate may
    be higher; `notes` say the same in words. `left_out` says which products were not measured, and why: a
    library that is not here or whose process dies loses only its own. Raises WorkerError where not even
    copying works.
    """
    question = {"threads": target.threads, "cores": target.cores, "seconds": seconds}
    environment = worker_environment(target.threads, huge_pages=huge_pages)
    log = logs / "roofs.log"
    copying = _ask(log, environment, seconds + PATIENCE_S, {**question, "library": None})
    disturbed: dict[str, str] = {COPY: copying.pop("disturbed")}
    rates: list[Rate] = []
    left_out: list[str] = []
    for library, gemms in _by_library().items():
        missing = [reason for entry in gemms if (reason := entry.missing())]
        if len(missing) == len(gemms):
            left_out += missing
            continue
        patience_s = work_s(seconds, len(gemms)) + PATIENCE_S
        try:
            answer = _ask(log, environment, patience_s, {**question, "library": library})
        except WorkerError as error:
            left_out += [reason_of(entry.name, error) for entry in gemms]
            continue
        rates += [Rate(**rate) for rate in answer["rates"]]
        disturbed |= answer["disturbed"]
        left_out += answer["left_out"]
    return with_notes(
        {
            "threads": target.threads,
            "rates": [asdict(rate) for rate in best(rates)],
            **copying,
            "disturbed": disturbed,
            "left_out": left_out,
        }
    )


def higher(roofs: Roofs, known: Roofs) -> Roofs:
    """Join two measurements of the same budget: each roof the higher one; undisturbed what once was."""
    if not known:
        return roofs
    rates = best([Rate(**rate) for rate in [*known["rates"], *roofs["rates"]]])
    return with_notes(
        {
            **roofs,
            "rates": [asdict(rate) for rate in rates],
            "copy_bytes_per_s": max(roofs["copy_bytes_per_s"], known["copy_bytes_per_s"]),
            "disturbed": _still_disturbed(known, roofs) | _still_disturbed(roofs, known),
            "left_out": [reason for reason in roofs["left_out"] if _name(reason) in _left_out(known)],
        }
    )


def _still_disturbed(roofs: Roofs, other: Roofs) -> dict[str, str]:
    """What disturbed `roofs` where the `other` measurement was disturbed as well, or could not be made."""
    gone = _left_out(other)
    lacks = {name for name in roofs["disturbed"] if name in gone or name.removesuffix(WITH_ONE_ROW) in gone}
    return {k: v for k, v in roofs["disturbed"].items() if k in other["disturbed"] or k in lacks}


def _left_out(roofs: Roofs) -> set[str]:
    return {_name(reason) for reason in roofs["left_out"]}


def _name(reason: str) -> str:
    return reason.partition(": ")[0]


def with_notes(roofs: Roofs) -> Roofs:
    """Add the notes, and drop what nothing disturbed."""
    disturbed = {name: text for name, text in roofs["disturbed"].items() if text}
    names = {text: [name for name in disturbed if disturbed[name] == text] for text in disturbed.values()}
    notes = [f"disturbed: {text} ({', '.join(named)})" for text, named in names.items()]
    return {**roofs, "disturbed": disturbed, "notes": notes}


def _by_library() -> dict[str, list[Gemm]]:
    entries = sorted(GEMMS.values(), key=lambda entry: entry.library)
    return {library: list(group) for library, group in groupby(entries, key=lambda entry: entry.library)}


def _ask(log: Path, environment: dict[str, str], patience_s: float, question: Mapping[str, Any]) -> Roofs:
    worker = Worker("harness.runner.roof_worker", log, environment=environment)
    try:
        worker.send("measure", **question)
        answer = worker.expect("roofs", patience_s)
        worker.close()
    except BaseException:
        worker.kill()
        raise
    return {name: value for name, value in answer.items() if name != "event"}
