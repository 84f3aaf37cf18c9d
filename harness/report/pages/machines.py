"""The machines: properties, trust grades, measured peaks, and the same Groups on several machines."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from harness.analysis.compare.budget import NOT_SHOWN
from harness.analysis.words import numbers as say
from harness.report.gathering import Site, machine_key
from harness.report.group import GroupView
from harness.report.links import cell_path
from harness.report.page import RunView
from harness.report.pages.registry import Document, page
from harness.report.properties import Properties, properties
from harness.report.tables import Line, counted_text
from harness.store.info import RunInfo

PEAK_HEADS = ("Peak of", "Threads", "Measured", "Kernel", "Weights read at batch 1")


@dataclass(frozen=True)
class Machine:
    """One machine as its newest Run recorded it, and all its Runs, newest first.

    `findings`: warnings of `harness doctor` in the newest Run that has them, worst first. `fine`, `unread`:
    names of checks that passed, and of those that could not be made.
    """

    name: str
    slug: str
    identity: list[tuple[str, str]]
    state: list[tuple[str, str]]
    runs: list[RunInfo]
    peaks: list[tuple[str, ...]]
    findings: list[dict[str, Any]]
    fine: list[str]
    unread: list[str]


@dataclass(frozen=True)
class Speed:
    """A Cell's speed-up over the baseline on the same machine: its text, and its page.

    `low` and `high`: the ends of its interval, None if it is not compared. `leads`: its interval lies above
    those of all other machines.
    """

    text: str
    path: str = ""
    low: float | None = None
    high: float | None = None
    leads: bool = False


@dataclass(frozen=True)
class Beside:
    """One Group of a suite on several machines: technique × machine.

    `alone`: the number of techniques that only one machine has measured; they are not among the rows.
    """

    place: str
    views: list[RunView]
    rows: list[tuple[str, list[Speed]]]
    alone: int


@page("machines", "Machines", order=60)
def make(site: Site) -> Iterator[Document]:
    """One document for all machines."""
    if site.infos:
        yield Document("machines.html", "Machines", "machines.html", lambda: _data(site))


def _data(site: Site) -> dict[str, Any]:
    found: dict[str, list[RunInfo]] = {}
    for info in site.infos:
        found.setdefault(machine_key(info), []).append(info)
    return {
        "machines": [_machine(site.machines[key], infos) for key, infos in found.items()],
        "beside": beside(site.views),
        "unlike": unlike(site.views),
        "peak_heads": PEAK_HEADS,
    }


def _machine(name: str, infos: list[RunInfo]) -> Machine:
    machine = infos[0].machine
    return Machine(
        name,
        str(machine.get("slug") or machine.get("id") or "unknown"),
        _pairs(machine.get("identity")),
        _pairs(machine.get("state")),
        infos,
        _peaks(infos),
        *_findings(infos),
    )


def _findings(infos: list[RunInfo]) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    found = next((info.doctor for info in infos if info.doctor), [])
    fine, unread = (
        [str(finding.get("name")) for finding in found if finding.get("level") == level]
        for level in ("ok", "unknown")
    )
    return [finding for finding in found if finding.get("level") not in ("ok", "unknown")], fine, unread


def _peaks(infos: list[RunInfo]) -> list[tuple[str, ...]]:
    """Return the newest measured peaks as rows of `PEAK_HEADS`."""
    rows: list[tuple[str, ...]] = []
    for peaks in next((info.peaks for info in infos if info.peaks), []):
        threads = str(peaks["threads"])
        rows += [(rate["dtype"], threads, *_rate(rate)) for rate in peaks["rates"]]
        bandwidth = f"{say.quantity(peaks['memory_bandwidth_bytes_per_s'], 'bytes')}/s"
        rows.append(("memory bandwidth", threads, bandwidth, "–", "–"))
    return rows


def _rate(rate: dict[str, Any]) -> tuple[str, str, str]:
    """Return a dtype's peak, the kernel that reached it, and how fast it reads weights."""
    kernel, weights = "–", "–"
    if rate.get("kernel"):
        compute_dtype = rate["compute_dtype"]
        converted = f", computed in {compute_dtype}" if compute_dtype != rate["dtype"] else ""
        kernel = f"{rate['library']} {rate['kernel']}{converted}"
    if rate.get("weight_bytes_per_s"):
        weights = f"{say.quantity(rate['weight_bytes_per_s'], 'bytes')}/s ({rate['weight_kernel']})"
    return say.quantity(rate["flop_per_s"], "FLOP/s"), kernel, weights


def _pairs(given: Any) -> Properties:
    """Return a part of the machine's description as names and texts."""
    return properties(given, named=True) if isinstance(given, dict) else []


def beside(views: list[RunView]) -> list[Beside]:
    """Return the Groups of a suite that more than one machine has measured.

    Groups and Cells are equal if their ids are equal: ids are hashes of their content, not of names.
    """
    found: dict[tuple[str, str], list[tuple[RunView, GroupView]]] = {}
    for view in views:
        for group in view.groups:
            found.setdefault((view.run.info.suite, group.board.group.group_id), []).append((view, group))
    made = []
    for (suite, _), shown in found.items():
        if len(shown) < 2:
            continue
        lines = [{line.record.cell_id: line for line in group.table.lines} for _, group in shown]
        names = {key: line.record.technique for part in reversed(lines) for key, line in part.items()}
        often = Counter(key for part in lines for key in part)
        order = [key for key, count in often.items() if count > 1]
        columns = [(view, part) for (view, _), part in zip(shown, lines, strict=True)]
        speeds = {key: marked([_speed(view, part.get(key)) for view, part in columns]) for key in order}
        rows = [(names[key], row) for key, row in speeds.items()]
        place, alone = f"{suite} · {shown[0][1].place}", len(often) - len(order)
        made.append(Beside(place, [view for view, _ in shown], rows, alone))
    return made


def unlike(views: list[RunView]) -> list[str]:
    """Name the Groups of a suite with equal names but other settings, weights or data."""
    found: dict[tuple[str, str, str, str], set[str]] = {}
    for view in views:
        for board in view.boards:
            group = board.group
            names = (view.run.info.suite, group.model, group.workload, group.hardware)
            found.setdefault(names, set()).add(group.group_id)
    return [" · ".join(say.short(name, 40) for name in names) for names, ids in found.items() if len(ids) > 1]


def _speed(view: RunView, line: Line | None) -> Speed:
    if line is None or not line.speedup:
        return Speed("–")
    row = line.record
    path = cell_path(view.key, row.cell_id)
    if row.arm == "baseline":
        return Speed("1 ×", path)
    text = f"{line.speedup} × ({line.interval}; {counted_text(row)})"
    if row.within_budget is False:
        return Speed(f"{text}, over budget", path)
    if row.budget == NOT_SHOWN:
        return Speed(f"{text}, budget not shown", path)
    return Speed(text, path, *row.interval)


def marked(speeds: list[Speed]) -> list[Speed]:
    """Mark the machine with the largest speed-up, if its interval lies above 1 and all others of the row.

    Nothing is marked if only one machine has a speed-up to compare.
    """
    known = [speed for speed in speeds if speed.low is not None]
    lead = max(known, key=lambda speed: speed.low or 0.0, default=None)
    others = [math.inf if speed.high is None else speed.high for speed in known if speed is not lead]
    if lead is None or not others or (lead.low or 0.0) <= max(1.0, *others):
        return speeds
    return [replace(speed, leads=speed is lead) for speed in speeds]
