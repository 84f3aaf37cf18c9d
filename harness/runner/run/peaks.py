"""Measured peaks of each thread budget of a Plan: from the cache, or measured, one process a library."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.artifacts.cache import Cache, digest
from harness.devices.host import Host
from harness.devices.peaks.compute import WITH_ONE_ROW, Rate, best, reason_of, work_s
from harness.devices.peaks.registry import GEMMS, Gemm
from harness.devices.settings import that_shift_peaks
from harness.errors import WorkerError
from harness.files import replace_file
from harness.formats.target import Target
from harness.packages import versions_of
from harness.runner.plan import Plan
from harness.runner.progress import Observer
from harness.runner.workers.launch import Worker, worker_environment
from harness.store.info import RunInfo
from harness.store.journal import Event

Peaks = dict[str, Any]
PATIENCE_S = 120.0
"""What importing a library and making its matrices may take besides measuring."""
COPY = "copy"
"""Copying among what was disturbed; the others are products (devices/peaks/compute.py)."""


def measure_peaks(target: Target, seconds: float, logs: Path, *, huge_pages: bool) -> Peaks:
    """Return the peaks with the target's thread budget, ready for JSON.

    `rates` are the best of each dtype (`Rate` in devices/peaks/compute.py), the others are the fields of
    `Bandwidth` in devices/peaks/bandwidth.py. `disturbed` says what disturbed a product, or the copy, so that
    its true rate may be higher; `notes` say the same in words. `left_out` says which
    products were not measured, and why: a library that is missing or whose process dies loses only its own.
    Raises WorkerError where not even copying works.
    """
    question = {"threads": target.threads, "cores": target.cores, "seconds": seconds}
    environment = worker_environment(target.threads, huge_pages=huge_pages)
    log = logs / "roofs.log"
    bandwidth = _ask(log, environment, seconds + PATIENCE_S, {**question, "library": None})
    disturbed: dict[str, str] = {COPY: bandwidth.pop("disturbed")}
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
            **bandwidth,
            "disturbed": disturbed,
            "left_out": left_out,
        }
    )


def higher(peaks: Peaks, known: Peaks) -> Peaks:
    """Join two measurements of the same budget: each roof the higher one; undisturbed what once was."""
    if not known:
        return peaks
    rates = best([Rate(**rate) for rate in [*known["rates"], *peaks["rates"]]])
    return with_notes(
        {
            **peaks,
            "rates": [asdict(rate) for rate in rates],
            "memory_bandwidth_bytes_per_s": max(
                peaks["memory_bandwidth_bytes_per_s"], known["memory_bandwidth_bytes_per_s"]
            ),
            "disturbed": _still_disturbed(known, peaks) | _still_disturbed(peaks, known),
            "left_out": [reason for reason in peaks["left_out"] if _name(reason) in _left_out(known)],
        }
    )


def _still_disturbed(peaks: Peaks, other: Peaks) -> dict[str, str]:
    """What disturbed `roofs` where the `other` measurement was disturbed as well, or could not be made."""
    gone = _left_out(other)
    lacks = {name for name in peaks["disturbed"] if name in gone or name.removesuffix(WITH_ONE_ROW) in gone}
    return {k: v for k, v in peaks["disturbed"].items() if k in other["disturbed"] or k in lacks}


def _left_out(peaks: Peaks) -> set[str]:
    return {_name(reason) for reason in peaks["left_out"]}


def _name(reason: str) -> str:
    return reason.partition(": ")[0]


def with_notes(peaks: Peaks) -> Peaks:
    """Add the notes, and drop what nothing disturbed."""
    disturbed = {name: text for name, text in peaks["disturbed"].items() if text}
    names = {text: [name for name in disturbed if disturbed[name] == text] for text in disturbed.values()}
    notes = [f"disturbed: {text} ({', '.join(named)})" for text, named in names.items()]
    return {**peaks, "disturbed": disturbed, "notes": notes}


def _by_library() -> dict[str, list[Gemm]]:
    entries = sorted(GEMMS.values(), key=lambda entry: entry.library)
    return {library: list(group) for library, group in groupby(entries, key=lambda entry: entry.library)}


def _ask(log: Path, environment: dict[str, str], patience_s: float, question: Mapping[str, Any]) -> Peaks:
    worker = Worker("harness.runner.workers.peaks", log, environment=environment)
    try:
        worker.send("measure", **question)
        answer = worker.expect("peaks", patience_s)
        worker.close()
    except BaseException:
        worker.kill()
        raise
    return {name: value for name, value in answer.items() if name != "event"}


FOLDER, VERSION = "peaks", 4
MAX_TRIES = 3
"""Roofs that were disturbed are measured again in later Runs, so often in all."""


def find_peaks(
    plan: Plan, cache: Cache, observer: Observer, logs: Path, again: Collection[int] | None = None
) -> list[Peaks]:
    """Return the roofs of each thread budget on the processor that the Plan measures with.

    As `measuring_roofs.py` gives them, with `measured_at` and `fresh`: whether this call measured them.
    `again` are the only budgets to look at, measured though they are known. A budget whose roofs cannot be
    measured is told and left out.
    """
    seconds = plan.suite.spec.measure.peak_time
    found = []
    for target in _budgets(plan) if seconds else ():
        if again is not None and target.threads not in again:
            continue
        keeper = _Keeper(target, plan, cache, observer, logs)
        try:
            found.append(keeper.find(anew=again is not None))
        except WorkerError as error:
            observer.notice(f"the roofs with {target.threads} threads could not be measured: {error}")
    return found


def doubted_budgets(events: list[Event], info: RunInfo) -> set[int]:
    """Return the thread budgets whose roofs a measured Record exceeds: to be measured again."""
    from harness.analysis.records.assemble import assemble
    from harness.analysis.records.roofline import faster_than_peak, peaks_of

    peaks, found = peaks_of(events), set()
    for record in assemble(events, info).cells if peaks else ():
        finding = faster_than_peak(record, peaks)
        if record.threads and (finding["state"] == "failed" or "note" in finding):
            found.add(record.threads)
    return found


def _budgets(plan: Plan) -> list[Target]:
    """One Target for each thread budget."""
    targets = [planned.target for planned in plan.cells.values() if planned.skip is None]
    return list({target.threads: target for target in targets if target.device == "cpu"}.values())


class _Keeper:
    """The roofs of one thread budget: in the cache, or measured and put there."""

    def __init__(self, target: Target, plan: Plan, cache: Cache, observer: Observer, logs: Path) -> None:
        self.target, self.observer, self.logs = target, observer, logs
        self.seconds = plan.suite.spec.measure.peak_time
        self.huge_pages = plan.suite.spec.measure.huge_pages
        self.path = cache.root / FOLDER / f"{digest(self._content(plan.place.machine_id))}.json"

    def _content(self, machine_id: str) -> list[Any]:
        """What makes roofs the same: machine and its settings, budget, products tried, their libraries."""
        products = sorted((entry.name, entry.kernel) for entry in GEMMS.values())
        libraries = {"numpy", *(module for entry in GEMMS.values() for module in entry.imports)}
        return [
            VERSION,
            machine_id,
            that_shift_peaks(Host()),
            self.huge_pages,
            self.target.threads,
            self.seconds,
            products,
            versions_of(tuple(libraries)),
        ]

    def find(self, *, anew: bool) -> Peaks:
        known = _read(self.path)
        tries = int(known.get("tries", 0))
        if known and not anew and (not known["disturbed"] or tries >= MAX_TRIES):
            return {**known, "fresh": False}
        self.observer.step(f"the machine's roofs with {self.target.threads} threads")
        measured = measure_peaks(self.target, self.seconds, self.logs, huge_pages=self.huge_pages)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        peaks = higher(measured, known) | {"tries": tries + 1, "measured_at": now}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.path, json.dumps(peaks, indent=1).encode())
        except OSError as error:
            reason = error.strerror or error
            self.observer.notice(f"the machine's roofs cannot be kept in {self.path}: {reason}")
        return {**peaks, "fresh": True}


def _read(path: Path) -> Peaks:
    """Return what was kept, or nothing where it is missing or damaged."""
    try:
        peaks: Peaks = json.loads(path.read_text(encoding="utf-8"))
        best([Rate(**rate) for rate in peaks["rates"]])
        return (
            peaks if peaks["rates"] and peaks["memory_bandwidth_bytes_per_s"] and "disturbed" in peaks else {}
        )
    except (OSError, ValueError, KeyError, TypeError):
        return {}
