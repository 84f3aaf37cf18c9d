"""The data of one Group, prepared for the templates."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.analysis.compare.comparison import MAX_EQUIVALENT, Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import headline
from harness.analysis.words import numbers as say
from harness.analysis.words.sentence import Sentence
from harness.report.drawing.palette import Family
from harness.report.drawing.plot import standalone
from harness.report.drawing.svg import drawn, inlined, raster
from harness.report.figures.registry import figures
from harness.report.links import unique
from harness.report.tables import Table, counted_text, table
from harness.units import POINTS

MAX_DRAWN = 30
"""Rows of a figure; the table has them all."""


@dataclass(frozen=True)
class Drawing:
    """A figure on the page, and its files for download, by name."""

    name: str
    title: str
    note: str
    wide: bool
    svg: str
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupView:
    """One Group. `floor`: its noise floor as text."""

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
        """Return one of the Group's figures, or None."""
        return next((drawing for drawing in self.drawings if drawing.name == name), None)

    @property
    def speed(self) -> str:
        """Return what a speed-up of this Group is."""
        return headline.speed_meaning(self.board.group)

    @property
    def statistic(self) -> str:
        """Return the statistic that speed-ups of this Group compare."""
        return headline.statistic(self.board.group)

    @property
    def has_quality(self) -> bool:
        """Whether any Cell of the Group has a quality."""
        return any(line.record.quality is not None for line in self.table.lines)

    @property
    def big(self) -> str:
        """Return the speed-up of the fastest Cell."""
        return say.factor(self.best.speedup) if self.best else ""

    @property
    def against(self) -> str:
        """Return the name of the baseline."""
        baseline = self.board.baseline
        return say.short(baseline.technique if baseline else "the baseline", 28)

    @property
    def gains(self) -> list[tuple[str, str]]:
        """Return size, quality change and pay-back of the fastest Cell."""
        best = self.best
        if best is None:
            return []
        given = self.board.given
        pairs = [
            ("Trials / Blocks", counted_text(best)),
            (
                f"against {given.technique}" if given else "",
                f"{say.factor(given.speedup)} ×" if given else "",
            ),
            ("size", "" if best.size_ratio is None else say.percent(best.size_ratio)),
            (self._metric, say.change_text(best, best.quality_loss)),
            (
                "evaluated on",
                f"{best.evaluation_samples:,} random samples"
                if best.evaluation_samples and best.random_samples
                else "",
            ),
            ("pays back after", "" if best.build_s is None else say.pay_back(best)),
        ]
        return [(say.short(label, 20), text) for label, text in pairs if text]

    @property
    def random(self) -> bool:
        """Whether quality was evaluated on random samples."""
        return any(row.random_samples and row.evaluation_samples for row in self.board.rows)

    @property
    def _metric(self) -> str:
        return f"{self.board.metric}, points" if self.board.unit == POINTS else self.board.metric

    @property
    def no_winner(self) -> str:
        """Return why there is no fastest Cell."""
        if not self.board.rows:
            return "nothing measured"
        if self.board.baseline is None:
            return "no baseline"
        return "nothing to compare" if len(self.board.rows) == 1 else "nothing is faster than the baseline"

    @property
    def noisy(self) -> bool:
        """Whether the noise floor hides most differences."""
        return self.board.floor is not None and self.board.floor > MAX_EQUIVALENT

    @property
    def big_interval(self) -> str:
        """Return the interval of that speed-up."""
        return say.factors(*self.best.interval) if self.best else ""


def group_view(board: Board, run: str, *, png: bool = False) -> GroupView:
    """Prepare a Group. `run` is the key of the Run; `png` adds PNG files of the figures."""
    key = f"g-{unique(board.group.group_id)}-{run}"
    made = table(board)
    families = {line.family.key: line.family for line in made.lines}
    return GroupView(
        key,
        board,
        headline.place(board.group),
        headline.conditions(board.group),
        headline.answers(board),
        board.row(board.best),
        made,
        list(families.values()),
        drawings(board, "group", key, f"{group_stem(board)}-{run}", png=png),
        "" if board.floor is None else f"±{say.percent(board.floor)}",
    )


def group_stem(board: Board) -> str:
    """Return the prefix of a Group's file names."""
    group = board.group
    return unique(group.model, group.workload, group.hardware)


def drawings(board: Board, of: str, key: str, stem: str, *, png: bool = False) -> list[Drawing]:
    """Draw all figures of a board. `key`: prefix of their ids on the page. `stem`: prefix of their files."""
    found = []
    board = board.leading(MAX_DRAWN)
    titles = {row.cell_id: point_title(row) for row in board.rows}
    for figure in figures(of):
        made = figure.draw(board)
        if made is None:
            continue
        file = f"{stem}-{figure.name}"
        if isinstance(made, str):
            svg, files = made, {f"{file}.svg": standalone(made).encode()}
        else:
            label = f"{figure.title}, {headline.place(board.group)}. The table shows the same numbers."
            content = drawn(made, file)
            svg = inlined(content, f"{key}-{figure.name}", label, titles)
            files = {f"{file}.svg": content.encode()} | ({f"{file}.png": raster(made)} if png else {})
        found.append(Drawing(figure.name, figure.title, figure.note, figure.wide, svg, files))
    return found


def point_title(row: Comparison) -> str:
    """Return the text of a point's tooltip."""
    parts = [say.short(row.technique, 60)]
    if row.speedup is not None:
        parts.append(f"{say.factor(row.speedup)} × the baseline’s speed")
    if row.quality_loss is not None:
        parts.append(say.change_words(row))
    return " · ".join(parts)
