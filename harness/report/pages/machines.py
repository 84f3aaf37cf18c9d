"""Machines: what each is, what its Runs were graded, and the same Groups side by side, never pooled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.analysis import wording as say
from harness.report.gathering import Site, machine_key
from harness.report.group import GroupView
from harness.report.links import cell_path
from harness.report.page import RunView
from harness.report.pages.registry import Document, page
from harness.report.tables import Line
from harness.store.info import RunInfo


@dataclass(frozen=True)
class Machine:
    """One machine: its fingerprint as of its newest Run, and all its Runs, newest first.

    `findings` of the newest check-up (devices/doctor.py), worst first; what was found `fine`, and what could
    not be read, by name alone.
    """

    name: str
    slug: str
    identity: list[tuple[str, str]]
    state: list[tuple[str, str]]
    runs: list[RunInfo]
    roofs: list[tuple[str, str]]
    findings: list[dict[str, Any]]
    fine: list[str]
    unread: list[str]


@dataclass(frozen=True)
class Beside:
    """One Group of a suite on several machines: technique × machine, each over its own baseline.

    `alone`: techniques that only one of them has measured; they are not among the rows.
    """

    place: str
    views: list[RunView]
    rows: list[tuple[str, list[tuple[str, str]]]]
    alone: int


@page("machines", "Machines", order=60)
def make(site: Site) -> Iterator[Document]:
    """One page for all machines."""
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
    }


def _machine(name: str, infos: list[RunInfo]) -> Machine:
    machine = infos[0].machine
    return Machine(
        name,
        str(machine.get("slug") or machine.get("id") or "unknown"),
        _pairs(machine.get("identity")),
        _pairs(machine.get("state")),
        infos,
        _roofs(infos),
        *_findings(infos),
    )


def _findings(infos: list[RunInfo]) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    found = next((info.doctor for info in infos if info.doctor), [])
    fine, unread = (
        [str(finding.get("name")) for finding in found if finding.get("level") == level]
        for level in ("ok", "unknown")
    )
    return [finding for finding in found if finding.get("level") not in ("ok", "unknown")], fine, unread


def _roofs(infos: list[RunInfo]) -> list[tuple[str, str]]:
    """The newest measured roofs: of each number type and of copying, by thread budget."""
    pairs = []
    for roofs in next((info.roofs for info in infos if info.roofs), []):
        budget = f"{roofs['threads']} thread{'' if roofs['threads'] == 1 else 's'}"
        rates = [(rate["dtype"], _rate(rate)) for rate in roofs["rates"]]
        copied = ("copy", f"{say.quantity(roofs['copy_bytes_per_s'], 'bytes')}/s")
        pairs += [(f"{what}, {budget}", much) for what, much in (*rates, copied)]
    return pairs


def _rate(rate: dict[str, Any]) -> str:
    """A number type's roof, whose kernel gave it, and its rate of weights; older Runs tell less."""
    text = say.quantity(rate["flop_per_s"], "FLOP/s")
    if kernel := rate.get("kernel"):
        arithmetic = rate["arithmetic"]
        widened = f", multiplied in {arithmetic}" if arithmetic != rate["dtype"] else ""
        text += f" ({rate['library']} {kernel}{widened})"
    if weights := rate.get("weight_bytes_per_s"):
        text += f"; weights of one row {say.quantity(weights, 'bytes')}/s ({rate['weight_kernel']})"
    return text


def _pairs(given: Any) -> list[tuple[str, str]]:
    """A fingerprint's part as names and texts; what could not be read is left out."""
    if not isinstance(given, dict):
        return []
    pairs = [(str(name).replace("_", " "), _text(str(name), value)) for name, value in given.items()]
    return [(name, text) for name, text in pairs if text]


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    if value is None:
        return ""
    return say.quantity(value, "bytes") if name.endswith("_bytes") and isinstance(value, int) else str(value)


def beside(views: list[RunView]) -> list[Beside]:
    """Return the Groups that more than one machine has measured for the same suite.

    Groups and Cells are the same when their content is, of which their ids are hashes; names do not count.
    """
    found: dict[tuple[str, str], list[tuple[RunView, GroupView]]] = {}
    for view in views:
        for group in view.groups:
            found.setdefault((view.run.info.suite, group.board.group.group_id), []).append((view, group))
    made = []
    for (suite, _), shown in found.items():
        if len(shown) < 2:
            continue
        lines = [{line.record["cell_id"]: line for line in group.table.lines} for _, group in shown]
        names = {key: line.record["technique"] for part in reversed(lines) for key, line in part.items()}
        often = Counter(key for part in lines for key in part)
        order = [key for key, count in often.items() if count > 1]
        columns = [(view, part) for (view, _), part in zip(shown, lines, strict=True)]
        rows = [(names[key], [_speed(view, part.get(key)) for view, part in columns]) for key in order]
        made.append(
            Beside(
                f"{suite} · {shown[0][1].place}", [view for view, _ in shown], rows, len(often) - len(order)
            )
        )
    return made


def unlike(views: list[RunView]) -> list[str]:
    """Name the Groups of one suite that are called the same and are not: other settings, weights or data."""
    found: dict[tuple[str, str, str, str], set[str]] = {}
    for view in views:
        for board in view.boards:
            group = board.group
            names = (view.run.info.suite, group.model, group.workload, group.hardware)
            found.setdefault(names, set()).add(group.group_id)
    return [" · ".join(say.short(name, 40) for name in names) for names, ids in found.items() if len(ids) > 1]


def _speed(view: RunView, line: Line | None) -> tuple[str, str]:
    """A Cell's speed-up on one machine, and its page."""
    if line is None or not line.speedup:
        return "–", ""
    text = "1 ×" if line.record["arm"] == "baseline" else f"{line.speedup} × ({line.interval})"
    return text, cell_path(view.key, line.record["cell_id"])
