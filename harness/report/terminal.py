"""A Run as the terminal shows it at the end of `harness run`: a table a Group, then the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis import wording as say
from harness.analysis.frames import Row, records
from harness.analysis.leaderboard import Board, boards
from harness.analysis.summary import answers, conditions, place, speed_of
from harness.report.columns import peak_memory, scaled
from harness.report.tables import VERDICTS
from harness.store.reading import Run

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

NAME_MOST = 22
SPEEDS = {
    "latency": ("latency_p50_s", "s", "p50"),
    "throughput": ("throughput_items_per_s", "items/s", ""),
    "rate": ("qps", "queries/s", ""),
}
"""What stands for speed: the Record's column, its kind of unit, and what it is called beside the unit."""
STYLES = {"faster": "green", "slower": "red", "ambiguous": "yellow", "baseline": "dim", "same": ""}


def table(run: Run) -> Group:
    """Return a renderable with one table a Group and its answers, made for 80 to 120 columns."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for board in boards(run):
        title = Text(place(board.group), style="bold")
        title.append(f"  {conditions(board.group)}", style="dim not bold")
        parts.append(title)
        if not board.rows.empty:
            parts.append(_table(board))
        parts += [_sentence(said.parts) for said in answers(board)]
        parts += [_off(row) for row in records(board.off)]
        parts.append(Text(""))
    return Group(*(parts or [Text("This Run holds no Cell.")]))


def _table(board: Board) -> Table:
    from rich.table import Table

    rows = board.records
    speed, unit, name = SPEEDS.get(speed_of(board.group), SPEEDS["latency"])
    columns = [
        (name, scaled([row[speed] for row in rows], unit)),
        ("size", scaled([row["artifact_bytes"] for row in rows], "bytes")),
        ("RSS", scaled([peak_memory(row) for row in rows], "bytes")),
    ]
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim underline")
    made.add_column("technique", no_wrap=True)
    made.add_column("speed-up", justify="right", no_wrap=True)
    made.add_column("95 %", no_wrap=True)
    for name, column in columns:
        made.add_column(f"{name} {column.unit}".strip(), justify="right", no_wrap=True)
    made.add_column("change" if board.unit != "pt" else "points ", justify="right", no_wrap=True)
    made.add_column("verdict", no_wrap=True)
    for index, row in enumerate(rows):
        made.add_row(*_cells(row, board, [column.texts[index] or "–" for _, column in columns]))
    return made


def _cells(row: Row, board: Board, numbers: list[str]) -> list[Text]:
    """One row. Texts, not markup: a name may hold brackets."""
    from rich.text import Text

    best, over = row["cell_id"] == board.best, row["within"] is False
    tone = "bold" if best else "dim" if over else ""
    baseline = row["arm"] == "baseline"
    speed = "–" if row["speedup"] is None else f"{'1' if baseline else say.factor(row['speedup'])}×"
    interval = (
        "" if row["speedup"] is None or baseline else say.factors(row["speedup_low"], row["speedup_high"])
    )
    change = "–" if row["drop"] is None else say.signed(-row["drop"])
    verdict = VERDICTS.get(row["verdict"])
    shown = f"{verdict[0]} {verdict[1]}" if verdict else "–"
    return [
        Text(f"{'★ ' if best else ''}{say.short(row['technique'], NAME_MOST)}", style=tone),
        Text(speed, style=tone),
        Text(interval, style="dim"),
        *[Text(number) for number in numbers],
        Text(f"{change}{'!' if over else ' '}", style="red" if over else ""),
        Text(shown, style=STYLES.get(row["verdict"], "")),
    ]


def _off(row: Row) -> Text:
    """A Cell that failed its audit, and why."""
    from rich.text import Text

    text = Text("off the board: ", style="red")
    text.append(say.short(row["technique"], 60), style="cyan")
    return text.append(
        f" failed its audit: {'; '.join(row['audit_reasons'] or ['no reason recorded'])}", style=""
    )


def _sentence(parts: tuple[tuple[str, str], ...]) -> Text:
    from rich.text import Text

    styles = {"code": "cyan", "strong": "bold"}
    text = Text()
    for kind, part in parts:
        text.append(say.short(part, 60) if kind == "code" else part, style=styles.get(kind, ""))
    return text
