"""What the page shows of one Run, as plain data for the templates."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from harness.analysis import summary
from harness.analysis import wording as say
from harness.analysis.comparison import LOUD
from harness.analysis.frames import Row, records
from harness.analysis.leaderboard import Board, boards
from harness.analysis.summary import Sentence
from harness.report import details, logs
from harness.report.drawing.palette import Family, family_of
from harness.report.drawing.svg import drawn, inlined
from harness.report.figures.registry import figures
from harness.report.tables import VERDICTS, Table, table
from harness.store.reading import Run


@dataclass(frozen=True)
class Drawing:
    """A figure on the page and as a file of its own."""

    name: str
    title: str
    note: str
    wide: bool
    svg: str
    file: str
    content: str


@dataclass(frozen=True)
class Fold:
    """What a row hides until asked."""

    sections: list[details.Section]
    steps: list[str]
    build: list[str]


@dataclass(frozen=True)
class Absent:
    """A Cell without figures, or with figures that do not count."""

    row: Row
    where: str
    what: str
    reason: str
    log: str


@dataclass(frozen=True)
class GroupView:
    """One Group's section."""

    key: str
    board: Board
    place: str
    conditions: str
    answers: list[Sentence]
    best: Row | None
    table: Table
    folds: dict[str, Fold]
    families: list[Family]
    drawings: list[Drawing]
    floor: str

    @property
    def judged(self) -> bool:
        """Whether any Cell of the Group has a quality."""
        return any(line.record["quality"] is not None for line in self.table.lines)

    @property
    def big(self) -> str:
        """The number to see first: the winner's speed-up."""
        return say.factor(self.best["speedup"]) if self.best else ""

    @property
    def no_winner(self) -> str:
        """What stands in the place of a winner's name."""
        if self.board.rows.empty:
            return "nothing measured"
        if self.board.baseline is None:
            return "no baseline"
        return "nothing to compare" if len(self.board.rows) == 1 else "no clear winner"

    @property
    def loud(self) -> bool:
        """Whether identical code differs so much that little can be told apart."""
        return self.board.floor is not None and self.board.floor > LOUD

    @property
    def big_interval(self) -> str:
        """The interval of that number."""
        return say.factors(self.best["speedup_low"], self.best["speedup_high"]) if self.best else ""


@dataclass(frozen=True)
class Glance:
    """Technique × Group: the speed-up of each, with its Verdict."""

    places: list[tuple[str, str]]
    rows: list[tuple[str, Family, list[dict[str, Any] | None]]]


@dataclass(frozen=True)
class RunView:
    """One Run's part of the page."""

    key: str
    run: Run
    boards: list[Board]
    machine: str
    facts: list[tuple[str, str]]
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
    def families(self) -> list[str]:
        """Labels of the families that the boards hold."""
        return sorted({line.family.label for view in self.groups for line in view.table.lines})

    @property
    def runtimes(self) -> list[str]:
        """Runtimes that the boards hold."""
        lines = [line.record for view in self.groups for line in view.table.lines]
        return sorted({row["runtime"] for row in lines if row["runtime"]})

    @property
    def has_budget(self) -> bool:
        """Whether anything on the boards is within or over a budget."""
        lines = [line.record for view in self.groups for line in view.table.lines]
        return any(row["within"] is not None for row in lines)


def run_view(run: Run, key: str, earlier: int = 0) -> RunView:
    """Prepare one Run for the page; `key` makes ids unique, `earlier` Runs of its machine are not shown."""
    all_boards = boards(run)
    groups = [_group(board, run, f"{key}-g{index}") for index, board in enumerate(all_boards)]
    notices = list(run.info.notices)
    if run.info.status != "complete":
        notices.insert(0, f"this Run is {run.info.status}: what is not there yet is shown as skipped")
    return RunView(
        key,
        run,
        all_boards,
        machine_name(run.info.machine),
        facts(run),
        notices,
        groups,
        _glance(groups),
        [item for board in all_boards for item in _absent(board, run)],
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


def facts(run: Run) -> list[tuple[str, str]]:
    """Return when, where and at which commit, and how much of the time was measurement."""
    info = run.info
    state = info.machine.get("state") or {}
    commit = ""
    if info.commit:
        changed = " with uncommitted changes" if info.commit.dirty else ""
        commit = f"{info.commit.hash[:10]}{changed}" + (
            f" · {info.commit.subject}" if info.commit.subject else ""
        )
    counts = Counter(run.cells[run.cells["arm"] != "shadow"]["status"])
    cells = ", ".join(f"{counts[s]} {s}" for s in ("measured", "skipped", "failed") if counts[s])
    system = ", ".join(str(state[name]) for name in ("os", "kernel", "python") if state.get(name))
    pairs = [
        ("When", info.started_at.replace("T", " ").replace("+00:00", " UTC")),
        ("Machine", machine_name(info.machine)),
        ("System", system),
        ("Commit", commit),
        ("Cells", cells or "none"),
        ("Time", summary.trust(info)),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in sorted(info.versions.items()))),
    ]
    return [(name, text) for name, text in pairs if text]


def _group(board: Board, run: Run, key: str) -> GroupView:
    made = table(board)
    rows = [line.record for line in made.lines]
    unique = {line.family.key: line.family for line in made.lines}
    return GroupView(
        key,
        board,
        summary.place(board.group),
        summary.conditions(board.group),
        summary.answers(board),
        board.row(board.best),
        made,
        {
            row["cell_id"]: Fold(
                details.sections(row, run.info), details.steps(row), details.build_steps(row)
            )
            for row in rows
        },
        list(unique.values()),
        _drawings(board, key),
        "" if board.floor is None else f"±{say.percent(board.floor)}",
    )


def _drawings(board: Board, key: str) -> list[Drawing]:
    group, found = board.group, []
    rows = board.records
    titles = {row["cell_id"]: point_title(row) for row in rows}
    slug = "-".join(filter(None, (slugged(part) for part in (group.model, group.workload, group.hardware))))
    for item in figures():
        figure = item.draw(board)
        if figure is None:
            continue
        content = drawn(figure, f"{item.name}-{group.group_id}")
        label = f"{item.title}, {summary.place(group)}. The table above holds the same numbers."
        svg = inlined(content, f"{key}-{item.name}", label, titles)
        file = f"{slug}-{slugged(group.group_id)[:8]}-{item.name}.svg"
        found.append(Drawing(item.name, item.title, item.note, item.wide, svg, file, content))
    return found


def point_title(row: Row) -> str:
    """What a point says when it is pointed at."""
    parts = [say.short(row["technique"], 60)]
    if row["speedup"] is not None:
        parts.append(f"{say.factor(row['speedup'])} × the baseline’s speed")
    if row["drop"] is not None:
        unit = "points" if row["quality_unit"] == "pt" else row["quality_unit"] or ""
        parts.append(f"{say.signed(-row['drop'])} {unit}".rstrip())
    return " · ".join(parts)


def slugged(text: str) -> str:
    """Return what is left of a name for a file or an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]


def _absent(board: Board, run: Run) -> list[Absent]:
    where, found = summary.place(board.group), []
    for row in records(board.off):
        reason = "; ".join([*(row["notes"] or ()), *(row["warnings"] or ())])
        found.append(Absent(row, where, "off the board", reason, ""))
    for row in records(board.left_out):
        log = logs.excerpt(run.folder, row["log"]) if row["status"] == "failed" else ""
        stage = f"{row['stage']}: " if row["stage"] else ""
        found.append(
            Absent(row, where, row["status"], f"{stage}{row['reason'] or 'no reason was recorded'}", log)
        )
    return found


def _glance(groups: list[GroupView]) -> Glance:
    names: dict[str, Family] = {}
    for view in groups:
        for line in view.table.lines:
            names.setdefault(line.record["technique"], family_of(line.record["families"], line.record["arm"]))
    rows = [(name, family, [_glimpse(view, name) for view in groups]) for name, family in names.items()]
    return Glance([(view.key, view.place) for view in groups], rows)


def _glimpse(view: GroupView, technique: str) -> dict[str, Any] | None:
    for line in view.table.lines:
        row = line.record
        if row["technique"] == technique:
            return {
                "cell": row["cell_id"],
                "speedup": line.speedup,
                "verdict": VERDICTS.get(row["verdict"]),
                "best": line.best,
                "over": row["within"] is False,
                "baseline": row["arm"] == "baseline",
                "heat": _heat(view, row),
            }
    return None


def _heat(view: GroupView, row: Row) -> int:
    """How strongly a speed-up is tinted, percent: the Group's fastest the most, by logarithm."""
    fastest = max((line.record["speedup"] or 1.0) for line in view.table.lines)
    if row["verdict"] != "faster" or fastest <= 1:
        return 0
    return round(6 + 28 * math.log(row["speedup"]) / math.log(fastest))
