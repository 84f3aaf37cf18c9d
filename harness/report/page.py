"""The data of one Run and of its models, prepared for the templates."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from harness.analysis.compare.leaderboard import Board, boards
from harness.analysis.words import headline
from harness.analysis.words.sentence import Sentence
from harness.report import details
from harness.report.absent import Absent, absent
from harness.report.glance import Glance, glance
from harness.report.group import GroupView, group_view
from harness.report.properties import Properties
from harness.store.info import Commit
from harness.store.reading import Run
from harness.units import say_count


@dataclass(frozen=True)
class RunView:
    """One Run. `earlier`: how many older Runs of its suite and machine are not shown."""

    key: str
    run: Run
    boards: list[Board]
    machine: str
    properties: Properties
    notices: list[str]
    groups: list[GroupView]
    glance: Glance
    absent: list[Absent]
    warnings: list[Absent]
    command: str
    earlier: int

    @property
    def doubtful(self) -> bool:
        """Whether the trust grade is C or D."""
        return self.run.info.grade.get("letter") in ("C", "D")

    @property
    def about(self) -> str:
        """The suite's one-line description."""
        found = re.search(r"^description:[ ]*([^|>\s].*)$", self.run.info.suite_text, re.MULTILINE)
        return found[1].strip().strip("'\"") if found else ""

    @property
    def time_spent(self) -> list[tuple[str, str, str]]:
        """Where the wall time went: what, how long, its share."""
        return headline.time_spent(self.run.info)

    @property
    def has_budget(self) -> bool:
        """Whether any Cell has a quality budget."""
        lines = [line.record for view in self.groups for line in view.table.lines]
        return any(row.within_budget is not None for row in lines)


@dataclass(frozen=True)
class ModelView:
    """One model of one Run. `lead`: the Group with the largest gain. `answers`: at most three sentences."""

    name: str
    groups: list[GroupView]
    lead: GroupView
    answers: list[Sentence]

    @property
    def glance(self) -> Glance:
        """Return the speed-ups of this model: technique × Group."""
        return glance(self.groups)


def run_view(run: Run, key: str, machine: str, earlier: int = 0, *, png: bool = False) -> RunView:
    """Prepare one Run. `key` makes its ids unique on the site."""
    all_boards = boards(run)
    groups = [group_view(board, key, png=png) for board in all_boards]
    notices = list(run.info.notices)
    if run.info.status != "complete":
        notices.insert(0, f"this Run is {run.info.status}: Cells without results are shown as skipped")
    return RunView(
        key,
        run,
        all_boards,
        machine,
        run_properties(run, machine),
        notices,
        groups,
        glance(groups),
        *absent(all_boards, run),
        details.command(run.info),
        earlier,
    )


def model_views(view: RunView) -> list[ModelView]:
    """Return the models of a Run in the suite's order."""
    models: dict[str, list[GroupView]] = {}
    for group in view.groups:
        models.setdefault(group.board.group.model, []).append(group)
    return [_model(name, groups) for name, groups in models.items()]


def _model(name: str, groups: list[GroupView]) -> ModelView:
    lead = max(groups, key=lambda group: (group.best.speedup or 0.0) if group.best else 0.0)
    return ModelView(name, groups, lead, headline.model_answers([group.board for group in groups]))


def machine_name(machine: dict[str, Any]) -> str:
    """Name a machine by its processor, cores, memory and GPUs."""
    identity: dict[str, Any] = machine.get("identity") or {}
    cores, memory = identity.get("cores"), identity.get("memory_gib")
    parts = [
        str(identity.get("cpu") or ""),
        say_count(cores, "core") if cores else "",
        f"{memory} GiB" if memory else "",
        *[str(gpu) for gpu in identity.get("gpus") or ()],
    ]
    return ", ".join(part for part in parts if part) or str(machine.get("slug") or "unknown machine")


def run_properties(run: Run, machine: str) -> Properties:
    """Return date, machine, commit, number of Cells, share of measured time and library versions."""
    info = run.info
    state = info.machine.get("state") or {}
    counts = Counter(record.status for record in run.records if record.arm != "control")
    cells = ", ".join(f"{counts[s]} {s}" for s in ("measured", "skipped", "failed") if counts[s])
    system = ", ".join(str(state[name]) for name in ("os", "kernel", "python") if state.get(name))
    pairs = [
        ("Date", info.started_at.replace("T", " ").replace("+00:00", " UTC")),
        ("Machine", machine),
        ("System", system),
        ("Commit", "; ".join(_commit(*found) for found in info.commits)),
        ("Cells", cells or "none"),
        ("Time", headline.trust(info)),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in sorted(info.versions.items()))),
    ]
    return [(name, text) for name, text in pairs if text]


def _commit(name: str, commit: Commit) -> str:
    changed = " with uncommitted changes" if commit.dirty else ""
    subject = f" · {commit.subject}" if commit.subject else ""
    return f"{f'{name}: ' if name else ''}{commit.hash[:10]}{changed}{subject}"
