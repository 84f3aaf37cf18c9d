"""A Run in the terminal, at the end of `harness run`: one table per Group, then the answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.analysis.compare.budget import NOT_SHOWN
from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board, boards
from harness.analysis.words import numbers as say
from harness.analysis.words.causes import folded
from harness.analysis.words.headline import answers, conditions, place, speed_of, statistic
from harness.report.columns import SPEEDS, own_memory, scaled, tokens_per_s
from harness.report.tables import VERDICTS, counted_text, interval_text, speedup_text
from harness.store.reading import Run
from harness.units import say_count

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

MIN_NAME, MAX_NAME = 12, 40
LEGEND = (
    "n: Trials/Blocks behind the interval. Latency, samples, queries: of the baseline its own; of other rows "
    "the baseline’s, changed by their speed-up. Memory: peak above that of an empty worker."
)
SPEED_HEADS = {"latency": "latency", "throughput": "samples", "rate": "queries"}
"""Header of the column of speed, by what speed means."""
STYLES = {"faster": "green", "slower": "red", "inconclusive": "yellow", "baseline": "dim", "equivalent": ""}


@dataclass(frozen=True)
class Tables:
    """One table per Group and its answers, for a console of 80 columns or more."""

    run: Run

    @cached_property
    def boards(self) -> list[Board]:
        """The leaderboards of the Run."""
        return boards(self.run)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Return the parts (rich's protocol)."""
        from rich.text import Text

        empty = [board.group for board in self.boards if not board.rows]
        for board in (board for board in self.boards if board.rows):
            title = Text(place(board.group), style="bold")
            how = f"{conditions(board.group)}; speed-up: {statistic(board.group)}"
            title.append(f"  {how}", style="dim not bold")
            yield title
            said = [_sentence(answer.parts) for answer in answers(board)]
            if board.baseline is None:
                yield from said  # why there are no speed-ups
            yield _table(board, options.max_width)
            if board.baseline is not None:
                yield from said
            yield Text("")
        if len(empty) < len(self.boards):
            yield Text(LEGEND, style="dim")
        if empty:
            names = folded((group.model, group.workload, group.hardware) for group in empty)
            yield Text(f"Nothing was measured in {say_count(len(empty), 'Group')}: {names}")
        if not self.boards:
            yield Text("This Run has no Cells.")


def _table(board: Board, width: int) -> Table:
    from rich.table import Table

    rows = board.rows
    kind = speed_of(board.group)
    speed = SPEEDS[kind]
    columns = [
        (SPEED_HEADS[kind], scaled([speed.value(row) for row in rows], speed.kind)),
        ("size", scaled([row.artifact_bytes for row in rows], "bytes")),
        ("memory", scaled([own_memory(row) for row in rows], "bytes")),
    ]
    tokens = [tokens_per_s(row) for row in rows]
    if any(tokens):
        columns.insert(1, ("tokens", scaled(tokens, "tokens/s")))
    heads = [
        "speed-up",
        "95 %",
        "n",
        *[f"{name}\n{column.unit.replace(name, '').replace(' ', '')}" for name, column in columns],
        f"change\n{say.unit_word(board.unit)} " if board.unit else "change",
        "verdict",
    ]
    body = [
        _cells(row, board, [column.texts[index] or "–" for _, column in columns])
        for index, row in enumerate(rows)
    ]
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    made.add_column("technique", no_wrap=True, vertical="bottom")
    for index, head in enumerate(heads):
        left = head in ("95 %", "verdict")
        made.add_column(head, justify="left" if left else "right", no_wrap=True, vertical="bottom")
        heads[index] = max(head.split("\n"), key=len)
    widths = [max(map(len, (head, *(cells[i].plain for cells in body)))) for i, head in enumerate(heads)]
    room = min(max(width - sum(widths) - len(widths) - 1, MIN_NAME), MAX_NAME)
    for row, cells in zip(rows, body, strict=True):
        made.add_row(_name(row, board, room), *cells)
    return made


def _name(row: Comparison, board: Board, room: int) -> Text:
    """Return the technique's name in at most `room` characters, as text without markup."""
    from rich.text import Text

    best, over = row.cell_id == board.best, row.within_budget is False
    text = f"★ {say.short(row.technique, room - 2)}" if best else say.short(row.technique, room)
    return Text(text, style="bold" if best else "dim" if over else "")


def _cells(row: Comparison, board: Board, numbers: list[str]) -> list[Text]:
    """Return the row's other cells."""
    from rich.text import Text

    best, over = row.cell_id == board.best, row.within_budget is False
    tone = "bold" if best else "dim" if over else ""
    speedup = speedup_text(row)
    change = say.change_text(row, row.quality_loss) or "–"
    verdict = VERDICTS.get(row.verdict or "")
    shown = f"{verdict[0]} {verdict[1]}" if verdict else "–"
    return [
        Text(f"{speedup}×" if speedup else "–", style=tone),
        Text(interval_text(row), style="dim"),
        Text(counted_text(row), style="dim"),
        *[Text(number) for number in numbers],
        Text(
            f"{change}{'!' if over else '?' if row.budget == NOT_SHOWN else ' '}", style="red" if over else ""
        ),
        Text(shown, style=STYLES.get(row.verdict or "", "")),
    ]


def _sentence(parts: tuple[tuple[str, str], ...]) -> Text:
    from rich.text import Text

    styles = {"code": "cyan", "strong": "bold"}
    text = Text()
    for kind, part in parts:
        text.append(say.short(part, 60) if kind == "code" else part, style=styles.get(kind, ""))
    return text
