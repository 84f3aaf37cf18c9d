"""What the page shows of one Group, as plain data for the templates."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.analysis.compare.comparison import LOUD, Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import headline as summary
from harness.analysis.words import numbers as say
from harness.analysis.words.headline import Sentence
from harness.analysis.words.payback import pay_back
from harness.report.drawing.light import standalone
from harness.report.drawing.palette import Family
from harness.report.drawing.svg import drawn, inlined, raster
from harness.report.figures.registry import figures
from harness.report.links import unique
from harness.report.tables import Table, table
from harness.units import POINTS

MAX_DRAWN = 30
"""Rows of a figure at most: more are read in the table."""


@dataclass(frozen=True)
class Drawing:
    """A figure on the page, and its files by name: what is downloaded."""

    name: str
    title: str
    note: str
    wide: bool
    svg: str
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupView:
    """One Group's section."""

    key: str
    board: Board
    place: str
    conditions: str
    answers: list[Sentence]
    best: Comparison | None
    table: Table
    families: list[Family]
    drawings: list[Drawing]
    floor: str

    def drawing(self, name: str) -> Drawing | None:
        """Return one of the Group's figures, where it has it."""
        return next((item for item in self.drawings if item.name == name), None)

    @property
    def speed(self) -> str:
        """What its speed-ups are."""
        return summary.speed_meaning(self.board.group)

    @property
    def judged(self) -> bool:
        """Whether any Cell of the Group has a quality."""
        return any(line.record.quality is not None for line in self.table.lines)

    @property
    def big(self) -> str:
        """The number to see first: the winner's speed-up."""
        return say.factor(self.best.speedup) if self.best else ""

    @property
    def against(self) -> str:
        """What the winner is compared with."""
        baseline = self.board.baseline
        return say.short(baseline.technique if baseline else "the baseline", 28)

    @property
    def gains(self) -> list[tuple[str, str]]:
        """What the winner costs or saves beside its speed: size, quality, build."""
        best = self.best
        if best is None:
            return []
        pairs = [
            ("size", "" if best.size_ratio is None else say.percent(best.size_ratio)),
            (self._metric, say.change_text(best, best.quality_loss)),
            ("pays back after", "" if best.build_s is None else pay_back(best)),
        ]
        return [(say.short(label, 20), text) for label, text in pairs if text]

    @property
    def _metric(self) -> str:
        return f"{self.board.metric}, points" if self.board.unit == POINTS else self.board.metric

    @property
    def no_winner(self) -> str:
        """What stands in the place of a winner's name."""
        if not self.board.rows:
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
        return say.factors(self.best.speedup_low, self.best.speedup_high) if self.best else ""


def group_view(board: Board, run: str, *, png: bool = False) -> GroupView:
    """Prepare a Group of the Run whose key is `run`; its ids do not depend on what else is in the suite.

    With `png` its figures are files of that kind too.
    """
    key = f"g-{unique(board.group.group_id)}-{run}"
    made = table(board)
    families = {line.family.key: line.family for line in made.lines}
    return GroupView(
        key,
        board,
        summary.place(board.group),
        summary.conditions(board.group),
        summary.answers(board),
        board.row(board.best),
        made,
        list(families.values()),
        drawings(board, "group", key, f"{group_stem(board)}-{run}", png=png),
        "" if board.floor is None else f"±{say.percent(board.floor)}",
    )


def group_stem(board: Board) -> str:
    """Return what a Group's files begin with."""
    group = board.group
    return unique(group.model, group.workload, group.hardware)


def drawings(board: Board, of: str, key: str, stem: str, *, png: bool = False) -> list[Drawing]:
    """Draw all figures of a board; `key` makes their ids unique on the page, `stem` their files."""
    found = []
    board = board.leading(MAX_DRAWN)
    titles = {row.cell_id: point_title(row) for row in board.rows}
    for item in figures(of):
        figure = item.draw(board)
        if figure is None:
            continue
        file = f"{stem}-{item.name}"
        if isinstance(figure, str):
            files = {f"{file}.svg": standalone(figure).encode()}
            found.append(Drawing(item.name, item.title, item.note, item.wide, figure, files))
            continue
        label = f"{item.title}, {summary.place(board.group)}. The table holds the same numbers."
        content = drawn(figure, file)
        svg = inlined(content, f"{key}-{item.name}", label, titles)
        files = {f"{file}.svg": content.encode()} | ({f"{file}.png": raster(figure)} if png else {})
        found.append(Drawing(item.name, item.title, item.note, item.wide, svg, files))
    return found


def point_title(row: Comparison) -> str:
    """What a point says when it is pointed at."""
    parts = [say.short(row.technique, 60)]
    if row.speedup is not None:
        parts.append(f"{say.factor(row.speedup)} × the baseline’s speed")
    if row.quality_loss is not None:
        parts.append(say.change_words(row))
    return " · ".join(parts)
