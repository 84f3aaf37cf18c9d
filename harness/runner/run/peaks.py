"""Measured peaks of each thread budget of a Plan: from the cache, or measured, one process a library."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.artifacts.cache import Cache, digest
from harness.devices.host import Host
from harness.devices.peaks.compute import WITH_ONE_ROW, Rate, best, reason_of, work_s
from harness.devices.peaks.registry import GEMMS
from harness.devices.settings import that_shift_peaks
from harness.environment import passed_on, speed_variables
from harness.errors import WorkerError
from harness.files import replace_file
from harness.formats.target import Target
from harness.packages import versions_of
from harness.runner.plan import Plan
from harness.runner.progress import Observer
from harness.runner.workers.launch import Worker, worker_environment
from harness.store.info import RunInfo
from harness.store.journal import Event
from harness.units import say_count

Peaks = dict[str, Any]
PATIENCE_S = 120.0
"""What importing a library and making its matrices may take besides measuring."""
MEMORY = "memory bandwidth"
"""Its name among what was disturbed; the others are products (devices/peaks/compute.py)."""
FOLDER, VERSION = "peaks", 6
MAX_TRIES = 3
"""Disturbed peaks are measured again in later Runs, so often in total."""


def measure_peaks(target: Target, seconds: float, logs: Path, environment: dict[str, str]) -> Peaks:
    """Return the peaks with the target's thread budget and workers' `environment`, ready for JSON.

    `rates` are the best of each dtype (`Rate` in devices/peaks/compute.py), the others are the fields of
    `Bandwidth` in devices/peaks/bandwidth.py. `disturbed` names what was disturbed, so that its true rate may
    be higher, and by what; `notes` say the same in words. `left_out` lists the products that were not
    measured, with the reason: a missing library, or a process that died, affects its own products only.
    Raises WorkerError where the memory bandwidth could not be measured.
    """

    def ask(library: str | None, work_s: float) -> Peaks:
        worker = Worker(
            "harness.runner.workers.peaks", logs / "peaks.log", environment=environment, cores=target.cores
        )
        try:
            worker.send("measure", threads=target.threads, seconds=seconds, library=library)
            message = worker.expect("peaks", work_s + PATIENCE_S)
            worker.close()
        except BaseException:
            worker.kill()
            raise
        return {name: value for name, value in message.items() if name != "event"}

    bandwidth = ask(None, seconds)
    disturbed: dict[str, str] = {MEMORY: bandwidth.pop("disturbed")}
    rates: list[Rate] = []
    left_out: list[str] = []
    entries = sorted(GEMMS.values(), key=lambda entry: entry.library)
    for library, group in groupby(entries, key=lambda entry: entry.library):
        gemms = list(group)
        missing = [reason for entry in gemms if (reason := entry.missing())]
        if len(missing) == len(gemms):
            left_out += missing
            continue
        try:
            products = ask(library, work_s(seconds, len(gemms)))
        except WorkerError as error:
            left_out += [reason_of(entry.name, error) for entry in gemms]
            continue
        rates += [Rate(**rate) for rate in products["rates"]]
        disturbed |= products["disturbed"]
        left_out += products["left_out"]
    found = {"threads": target.threads, "rates": [asdict(rate) for rate in best(rates)], **bandwidth}
    return with_notes({**found, "disturbed": disturbed, "left_out": left_out})


def higher(peaks: Peaks, known: Peaks) -> Peaks:
    """Join two measurements of one thread budget: the higher of each peak, undisturbed where one was."""
    if not known:
        return peaks
    rates = best([Rate(**rate) for rate in [*known["rates"], *peaks["rates"]]])
    bandwidth = "memory_bandwidth_bytes_per_s"
    return with_notes(
        {
            **peaks,
            "rates": [asdict(rate) for rate in rates],
            bandwidth: max(peaks[bandwidth], known[bandwidth]),
            "disturbed": _still_disturbed(known, peaks) | _still_disturbed(peaks, known),
            "left_out": [reason for reason in peaks["left_out"] if _name(reason) in _left_out(known)],
        }
    )


def _still_disturbed(peaks: Peaks, other: Peaks) -> dict[str, str]:
    """Return what disturbed `peaks` where the `other` measurement was disturbed as well or lacks it."""
    gone = _left_out(other)
    lacks = {name for name in peaks["disturbed"] if name in gone or name.removesuffix(WITH_ONE_ROW) in gone}
    return {k: v for k, v in peaks["disturbed"].items() if k in other["disturbed"] or k in lacks}


def _left_out(peaks: Peaks) -> set[str]:
    return {_name(reason) for reason in peaks["left_out"]}


def _name(reason: str) -> str:
    return reason.partition(": ")[0]


def with_notes(peaks: Peaks) -> Peaks:
    """Add the notes, and remove what was not disturbed."""
    disturbed = {name: text for name, text in peaks["disturbed"].items() if text}
    names = {text: [name for name in disturbed if disturbed[name] == text] for text in disturbed.values()}
    notes = [f"disturbed: {text} ({', '.join(named)})" for text, named in names.items()]
    return {**peaks, "disturbed": disturbed, "notes": notes}


def find_peaks(
    plan: Plan, cache: Cache, observer: Observer, logs: Path, again: Collection[int] | None = None
) -> list[Peaks]:
    """Return the peaks of each thread budget on the processor that the Plan measures with.

    They are those of `measure_peaks`, with `measured_at` and `fresh`: whether this call measured them. Where
    `again` is given, its budgets are measured though they are known, and no others. A budget whose peaks
    cannot be measured is reported to the observer and left out.
    """
    targets = [planned.target for planned in plan.cells.values() if planned.skip is None]
    budgets = dict.fromkeys(target.threads for target in targets if target.device == "cpu")
    found = []
    for threads in budgets if plan.suite.spec.measure.peak_time else ():
        if again is not None and threads not in again:
            continue
        target = Target(batch=1, threads=threads, cores=plan.place.choose(threads))
        try:
            found.append(_find(target, plan, cache, observer, logs, anew=again is not None))
        except WorkerError as error:
            observer.notice(f"the peaks with {say_count(threads, 'thread')} could not be measured: {error}")
    return found


def doubted_budgets(events: list[Event], info: RunInfo) -> set[int]:
    """Return the thread budgets whose peaks a measured Record exceeds: to be measured again."""
    from harness.analysis.records.assemble import assemble
    from harness.analysis.records.roofline import faster_than_peak, peaks_of

    peaks, found = peaks_of(events), set()
    for record in assemble(events, info, arrays=None).cells if peaks else ():
        finding = faster_than_peak(record, peaks)
        if record.threads and (finding["state"] == "failed" or "note" in finding):
            found.add(record.threads)
    return found


def _find(target: Target, plan: Plan, cache: Cache, observer: Observer, logs: Path, *, anew: bool) -> Peaks:
    """Return the peaks of one thread budget: those in the cache, or measured ones, which are put there."""
    measure = plan.suite.spec.measure
    environment = worker_environment(target.threads, measure.environment, huge_pages=measure.huge_pages)
    path = cache.user_root / FOLDER / f"{_address(target, plan, environment)}.json"
    known = _read(path)
    tries = int(known.get("tries", 0))
    if known and not anew and (not known["disturbed"] or tries >= MAX_TRIES):
        return {**known, "fresh": False}
    observer.step(f"the machine's peaks with {say_count(target.threads, 'thread')}")
    measured = measure_peaks(target, measure.peak_time, logs, environment)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    peaks = higher(measured, known) | {"tries": tries + 1, "measured_at": now}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(peaks, indent=1).encode())
    except OSError as error:
        observer.notice(f"the machine's peaks cannot be kept in {path}: {error.strerror or error}")
    return {**peaks, "fresh": True}


def _address(target: Target, plan: Plan, environment: dict[str, str]) -> str:
    """Return a digest of what peaks depend on: machine, settings, threads, variables, products, libraries."""
    measure = plan.suite.spec.measure
    libraries = {"numpy", *(module for entry in GEMMS.values() for module in entry.imports)}
    return digest(
        [
            VERSION,
            plan.place.machine_id,
            that_shift_peaks(Host()),
            speed_variables({**passed_on(os.environ), **environment}),
            target.threads,
            measure.peak_time,
            sorted((entry.name, entry.kernel) for entry in GEMMS.values()),
            versions_of(libraries),
        ]
    )


def _read(path: Path) -> Peaks:
    """Return the kept peaks, or nothing where the file is missing or damaged."""
    try:
        peaks: Peaks = json.loads(path.read_text(encoding="utf-8"))
        best([Rate(**rate) for rate in peaks["rates"]])
        whole = peaks["rates"] and peaks["memory_bandwidth_bytes_per_s"] and "disturbed" in peaks
        return peaks if whole else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
