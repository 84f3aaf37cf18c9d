"""One page per Cell: speed-up, calls and Blocks, memory by phase, build steps, and its Record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

import pandas as pd

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import headline
from harness.analysis.words import numbers as say
from harness.analysis.words.explain import explain
from harness.errors import StoreError
from harness.report import details
from harness.report.absent import excerpt
from harness.report.cell import CellView, by_arm, cell_view, columns_of_record
from harness.report.drawing.palette import family_of
from harness.report.figures.registry import figures
from harness.report.gathering import Site
from harness.report.group import Drawing, GroupView
from harness.report.links import board_path, cell_path, model_path
from harness.report.page import RunView
from harness.report.pages.registry import Document, page
from harness.report.tables import VERDICTS
from harness.store.reading import Calls

PHASES: tuple[tuple[Callable[[Comparison], int | None], str], ...] = (
    (lambda row: row.rss_empty_bytes, "empty process with the runtime"),
    (lambda row: row.peak_rss_load_bytes, "peak while loading"),
    (lambda row: row.peak_rss_first_call_bytes, "peak in the first call"),
    (lambda row: row.peak_rss_steady_bytes, "peak in the timed Blocks"),
    (lambda row: row.pss_bytes, "proportional share (PSS) after the Blocks"),
)


class Recorded:
    """Blocks and calls of one Run: Blocks are read once, calls when a page needs those of its arms."""

    def __init__(self, view: RunView) -> None:
        self.view = view
        self.fault = ""

    @cached_property
    def blocks(self) -> dict[tuple[str, str], pd.DataFrame]:
        """Return the Blocks by (cell_id, arm)."""
        return by_arm(self.view.run.blocks)

    @cached_property
    def calls(self) -> Calls:
        """Return the timed calls by (cell_id, arm)."""
        return Calls(self.view.run)

    def cell(self, row: Comparison, board: Board) -> CellView:
        """Return the data of a Cell; without calls if they cannot be read (`fault` says why)."""
        peaks = self.view.run.info.peaks
        try:
            return cell_view(row, board, self.blocks, self.calls, peaks)
        except StoreError as error:
            self.fault = str(error)
            return cell_view(row, board, self.blocks, {}, peaks)


@page("cell", "", order=50)
def make(site: Site) -> Iterator[Document]:
    """One document for each Cell of each shown Run, also for Cells without results."""
    for view in site.views:
        recorded = Recorded(view)
        for group in view.groups:
            board, place = group.board, group.board.group
            leaderboard = board_path(view.key, place.workload, place.hardware)
            above = (
                (place.model, model_path(place.model)),
                (f"{place.workload} · {place.hardware}", leaderboard),
            )
            for row in [*board.rows, *board.off, *board.left_out]:
                yield Document(
                    cell_path(view.key, row.cell_id),
                    f"{say.short(row.technique, 60)} · {group.place}",
                    "cell.html",
                    partial(_data, view, group, row, recorded),
                    crumbs=above,
                )


def _data(view: RunView, group: GroupView, row: Comparison, recorded: Recorded) -> dict[str, Any]:
    board, info = group.board, view.run.info
    measured = row.status == "measured"
    shown = recorded.cell(row, board) if measured else None
    line = next((line for line in group.table.lines if line.record.cell_id == row.cell_id), None)
    return {
        "view": view,
        "group": group,
        "row": row,
        "line": line,
        "family": family_of(row.families, row.arm),
        "verdict_of": VERDICTS.get(row.verdict or ""),
        "about": headline.about(row, board) if measured else None,
        "why": explain(row, board.baseline, info.peaks) if measured else [],
        "sections": details.sections(row, info) if measured else [],
        "steps": details.steps(row),
        "build": details.build_steps(row),
        "phases": _phases(row),
        "drawings": _drawings(shown) if shown else [],
        "fault": recorded.fault,
        "disturbed": _disturbed(recorded, row) if measured else [],
        "blocks": len(recorded.blocks.get((row.cell_id, row.arm), ())) if measured else 0,
        "record": columns_of_record(row),
        "log": excerpt(view.run.folder, row.log, 60),
        "command": view.command,
    }


def _drawings(shown: CellView) -> list[Drawing]:
    """Draw all figures of a Cell. They are not written to files, because there would be hundreds."""
    drawn = [(figure, figure.draw(shown)) for figure in figures("cell")]
    return [Drawing(f.name, f.title, f.note, f.wide, svg) for f, svg in drawn if isinstance(svg, str)]


def _phases(row: Comparison) -> list[tuple[str, str, float]]:
    """Return memory by phase: name, size, and percent of the largest."""
    phases = [(value(row), text) for value, text in PHASES]
    known = [(text, value) for value, text in phases if value is not None]
    top = max((value for _, value in known), default=1) or 1
    return [(text, say.quantity(value, "bytes"), round(100 * value / top, 1)) for text, value in known]


def _disturbed(recorded: Recorded, row: Comparison) -> list[tuple[str, int]]:
    """Return the kinds of noise in the Cell's Blocks and how many Blocks had them, most frequent first."""
    blocks = recorded.blocks.get((row.cell_id, row.arm))
    if blocks is None:
        return []
    return Counter(str(tag) for tags in blocks["tags"] if tags is not None for tag in tags).most_common()
