"""The roofs of all thread budgets of a Plan: from the cache, or measured before anything is timed."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.artifacts.cache import Cache, digest
from harness.artifacts.targets import Target
from harness.devices.gemms.registry import GEMMS
from harness.devices.host import Host
from harness.devices.peaks import Rate, best
from harness.devices.settings import that_shift_roofs
from harness.errors import WorkerError
from harness.files import replace_file
from harness.runner.measuring_roofs import Roofs, higher, measure_roofs
from harness.runner.observing import Observer
from harness.runner.plan import Plan
from harness.runner.versions import versions_of
from harness.store.info import RunInfo
from harness.store.journal import Event

FOLDER, VERSION = "roofs", 4
MOST_TRIES = 3
"""Roofs that were disturbed are measured again in later Runs, so often in all."""


def find_roofs(
    plan: Plan, cache: Cache, observer: Observer, logs: Path, again: Collection[int] | None = None
) -> list[Roofs]:
    """Return the roofs of each thread budget on the processor that the Plan measures with.

    As `measuring_roofs.py` gives them, with `measured_at` and `fresh`: whether this call measured them.
    `again` are the only budgets to look at, measured though they are known. A budget whose roofs cannot be
    measured is told and left out.
    """
    seconds = plan.suite.spec.measure.roof_time
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
    from harness.analysis.records import assemble
    from harness.analysis.roofline import faster_than_roof, roofs_of

    roofs, found = roofs_of(events), set()
    for row in assemble(events, info).cells if roofs else ():
        finding = faster_than_roof(row, roofs) if row["status"] == "measured" else {"state": None}
        if finding["state"] == "failed" or "note" in finding:
            found.add(int(row["threads"]))
    return found


def _budgets(plan: Plan) -> list[Target]:
    """One Target for each thread budget."""
    targets = [planned.target for planned in plan.cells.values() if planned.skip is None]
    return list({target.threads: target for target in targets if target.device == "cpu"}.values())


class _Keeper:
    """The roofs of one thread budget: in the cache, or measured and put there."""

    def __init__(self, target: Target, plan: Plan, cache: Cache, observer: Observer, logs: Path) -> None:
        self.target, self.observer, self.logs = target, observer, logs
        self.seconds = plan.suite.spec.measure.roof_time
        self.huge_pages = plan.suite.spec.measure.huge_pages
        self.path = cache.root / FOLDER / f"{digest(self._content(plan.place.machine_id))}.json"

    def _content(self, machine_id: str) -> list[Any]:
        """What makes roofs the same: machine and its settings, budget, products tried, their libraries."""
        products = sorted((entry.name, entry.kernel) for entry in GEMMS.values())
        libraries = {"numpy", *(module for entry in GEMMS.values() for module in entry.imports)}
        return [
            VERSION,
            machine_id,
            that_shift_roofs(Host()),
            self.huge_pages,
            self.target.threads,
            self.seconds,
            products,
            versions_of(tuple(libraries)),
        ]

    def find(self, *, anew: bool) -> Roofs:
        known = _read(self.path)
        tries = int(known.get("tries", 0))
        if known and not anew and (not known["disturbed"] or tries >= MOST_TRIES):
            return {**known, "fresh": False}
        self.observer.step(f"the machine's roofs with {self.target.threads} threads")
        measured = measure_roofs(self.target, self.seconds, self.logs, huge_pages=self.huge_pages)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        roofs = higher(measured, known) | {"tries": tries + 1, "measured_at": now}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.path, json.dumps(roofs, indent=1).encode())
        except OSError as error:
            reason = error.strerror or error
            self.observer.notice(f"the machine's roofs cannot be kept in {self.path}: {reason}")
        return {**roofs, "fresh": True}


def _read(path: Path) -> Roofs:
    """Return what was kept, or nothing where it is missing or damaged."""
    try:
        roofs: Roofs = json.loads(path.read_text(encoding="utf-8"))
        best([Rate(**rate) for rate in roofs["rates"]])
        return roofs if roofs["rates"] and roofs["copy_bytes_per_s"] and "disturbed" in roofs else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
