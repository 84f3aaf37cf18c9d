"""What the site shows of one Run, as plain data for the templates."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from harness.analysis.compare.leaderboard import Board, boards
from harness.analysis.words import headline as summary
from harness.report import details
from harness.report.absent import Absent, absent
from harness.report.glance import Glance, glance
from harness.report.group import GroupView, group_view
from harness.store.reading import Run


@dataclass(frozen=True)
class RunView:
    """One Run's part of the page."""

    key: str
    run: Run
    boards: list[Board]
    machine: str
    statistics: list[tuple[str, str]]
    notices: list[str]
    groups: list[GroupView]
    glance: Glance
    absent: list[Absent]
    command: str
    earlier: int

    @property
    def doubtful(self) -> bool:
        """Whether the Run's own evidence warns of its figures."""
        return self.run.info.grade.get("letter") in ("C", "D")

    @property
    def about(self) -> str:
        """The suite's one-line description."""
        found = re.search(r"^description:[ ]*([^|>\s].*)$", self.run.info.suite_text, re.MULTILINE)
        return found[1].strip().strip("'\"") if found else ""

    @property
    def has_budget(self) -> bool:
        """Whether anything on the boards is within or over a budget."""
        lines = [line.record for view in self.groups for line in view.table.lines]
        return any(row.within_budget is not None for row in lines)


def run_view(run: Run, key: str, machine: str, earlier: int = 0, *, png: bool = False) -> RunView:
    """Prepare one Run for the page; `key` makes ids unique, `earlier` Runs of its machine are not shown."""
    all_boards = boards(run)
    groups = [group_view(board, key, png=png) for board in all_boards]
    notices = list(run.info.notices)
    if run.info.status != "complete":
        notices.insert(0, f"this Run is {run.info.status}: what is not there yet is shown as skipped")
    return RunView(
        key,
        run,
        all_boards,
        machine,
        statistics(run, machine),
        notices,
        groups,
        glance(groups),
        absent(all_boards, run),
        details.command(run.info),
        earlier,
    )


def machine_name(machine: dict[str, Any]) -> str:
    """Name a machine in words: processor, cores, memory, GPUs."""
    identity: dict[str, Any] = machine.get("identity") or {}
    cores, memory = identity.get("cores"), identity.get("memory_gib")
    parts = [
        str(identity.get("cpu") or ""),
        f"{cores} core{'' if cores == 1 else 's'}" if cores else "",
        f"{memory} GiB" if memory else "",
        *[str(gpu) for gpu in identity.get("gpus") or ()],
    ]
    return ", ".join(part for part in parts if part) or str(machine.get("slug") or "unknown machine")


def statistics(run: Run, machine: str) -> list[tuple[str, str]]:
    """Return when, where and at which commit, and how much of the time was measurement."""
    info = run.info
    state = info.machine.get("state") or {}
    commit = ""
    if info.commit:
        changed = " with uncommitted changes" if info.commit.dirty else ""
        commit = f"{info.commit.hash[:10]}{changed}" + (
            f" · {info.commit.subject}" if info.commit.subject else ""
        )
    counts = Counter(run.cells[run.cells["arm"] != "control"]["status"])
    cells = ", ".join(f"{counts[s]} {s}" for s in ("measured", "skipped", "failed") if counts[s])
    system = ", ".join(str(state[name]) for name in ("os", "kernel", "python") if state.get(name))
    pairs = [
        ("When", info.started_at.replace("T", " ").replace("+00:00", " UTC")),
        ("Machine", machine),
        ("System", system),
        ("Commit", commit),
        ("Cells", cells or "none"),
        ("Time", summary.trust(info)),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in sorted(info.versions.items()))),
    ]
    return [(name, text) for name, text in pairs if text]
