"""What the page shows of one Group, as plain data for the templates."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.analysis import summary
from harness.analysis import wording as say
from harness.analysis.comparison import LOUD
from harness.analysis.frames import Row
from harness.analysis.leaderboard import Board
from harness.analysis.summary import Sentence
from harness.report import details
from harness.report.drawing.palette import Family
from harness.report.drawing.svg import drawn, inlined
from harness.report.figures.registry import figures
from harness.report.tables import Table, table
from harness.store.info import RunInfo


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


def group_view(board: Board, info: RunInfo, key: str) -> GroupView:
    """Prepare one Group for the page; `key` makes its ids unique."""
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
            row["cell_id"]: Fold(details.sections(row, info), details.steps(row), details.build_steps(row))
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
