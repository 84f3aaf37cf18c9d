"""The roofs of all thread budgets of a Plan: from the cache, or measured before anything is timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.artifacts.cache import Cache, digest
from harness.artifacts.targets import Target
from harness.errors import WorkerError
from harness.files import replace_file
from harness.runner.channel import Worker
from harness.runner.environment import worker_environment
from harness.runner.observing import Observer
from harness.runner.plan import Plan
from harness.runner.versions import versions_of

Roofs = dict[str, Any]
FOLDER, VERSION = "roofs", 1
LIBRARIES = ("numpy", "onnxruntime", "threadpoolctl", "torch")
PATIENCE_S = 60.0
"""What importing the libraries may take besides measuring."""
MOST_TRIES = 3
"""Roofs that were disturbed are measured again in later Runs, so often in all."""


def find_roofs(plan: Plan, cache: Cache, observer: Observer, logs: Path) -> list[Roofs]:
    """Return the roofs of each thread budget on the processor that the Plan measures with.

    As `devices/peaks.py` gives them. A budget whose roofs cannot be measured is told and left out.
    """
    seconds = plan.suite.spec.measure.roof_time
    found = []
    for target in _budgets(plan) if seconds else ():
        try:
            found.append(_find(target, seconds, plan, cache, observer, logs))
        except WorkerError as error:
            observer.notice(f"the roofs with {target.threads} threads could not be measured: {error}")
    return found


def _budgets(plan: Plan) -> list[Target]:
    """One Target for each thread budget."""
    targets = [planned.target for planned in plan.cells.values() if planned.skip is None]
    return list({target.threads: target for target in targets if target.device == "cpu"}.values())


def _find(target: Target, seconds: float, plan: Plan, cache: Cache, observer: Observer, logs: Path) -> Roofs:
    key = digest([VERSION, plan.place.machine_id, target.threads, seconds, versions_of(LIBRARIES)])
    path = cache.root / FOLDER / f"{key}.json"
    known = _read(path)
    tries = int(known.get("tries", 0))
    if known and (not known["notes"] or tries >= MOST_TRIES):
        return known
    observer.step(f"the machine's roofs with {target.threads} threads")
    roofs = higher(_measure(target, seconds, logs), known) | {"tries": tries + 1}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(roofs, indent=1).encode())
    except OSError as error:
        observer.notice(f"the machine's roofs cannot be kept in {path}: {error.strerror or error}")
    return roofs


def _read(path: Path) -> Roofs:
    """Return what was kept, or nothing where it is missing or damaged."""
    try:
        roofs: Roofs = json.loads(path.read_text(encoding="utf-8"))
        return roofs if roofs["rates"] and roofs["copy_bytes_per_s"] and "notes" in roofs else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _measure(target: Target, seconds: float, logs: Path) -> Roofs:
    worker = Worker(
        "harness.runner.roof_worker", logs / "roofs.log", environment=worker_environment(target.threads)
    )
    try:
        worker.send("measure", threads=target.threads, cores=target.cores, seconds=seconds)
        answer = worker.expect("roofs", seconds + PATIENCE_S)
        worker.close()
    except BaseException:
        worker.kill()
        raise
    return {name: value for name, value in answer.items() if name != "event"}


def higher(roofs: Roofs, known: Roofs) -> Roofs:
    """Join two measurements of the same budget: each roof the higher one; undisturbed if either was."""
    if not known:
        return roofs
    best: dict[str, Any] = {}
    for rate in [*known["rates"], *roofs["rates"]]:
        if rate["flop_per_s"] > best.get(rate["dtype"], {"flop_per_s": 0.0})["flop_per_s"]:
            best[rate["dtype"]] = rate
    copies = max(roofs["copy_bytes_per_s"], known["copy_bytes_per_s"])
    notes = roofs["notes"] if known["notes"] else known["notes"]
    return {**roofs, "rates": list(best.values()), "copy_bytes_per_s": copies, "notes": notes}
