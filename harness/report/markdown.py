"""A Run as GitHub Markdown, for a pull request or a README: the answers, then one table per Group."""

from __future__ import annotations

from harness.analysis.compare.budget import BROKEN, NOT_SHOWN
from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board, boards
from harness.analysis.words import headline
from harness.analysis.words import numbers as say
from harness.analysis.words.causes import WARNING, causes
from harness.analysis.words.sentence import markdown_code, markdown_text
from harness.report.columns import SPEEDS, own_memory, peak_memory, tokens_per_s
from harness.report.page import machine_name
from harness.report.tables import VERDICTS, counted_text, interval_text, speedup_text
from harness.store.reading import Run

SPEED_COLUMN = (
    "Paired columns: the baseline’s value is its own; other rows have the baseline’s, changed by their "
    "speed-up, which pairs Blocks. Model memory is the peak above that of an empty worker."
)


def summary(run: Run) -> str:
    """Return the Run as Markdown: headline, answers, and a table for every Group."""
    info, all_boards = run.info, boards(run)
    commits = "".join(
        f"{f', {name}' if name else ''} at `{found.hash[:10]}`{' (dirty)' if found.dirty else ''}"
        for name, found in info.commits
    )
    grade = f"; trust grade {info.grade['letter']}" if info.grade.get("letter") else ""
    lines = [
        f"### {markdown_text(info.suite)}",
        "",
        f"{markdown_text(machine_name(info.machine))}{commits}, {markdown_text(info.started_at[:10])}; "
        f"{headline.trust(info)}{grade}.",
        "",
    ]
    for board in all_boards:
        said = " ".join(sentence.markdown() for sentence in headline.answers(board))
        lines.append(f"- **{markdown_text(headline.place(board.group))}**: {said}")
    tables = [_table(board) for board in all_boards if board.rows]
    lines += ["", SPEED_COLUMN] if tables else []
    for table in tables:
        lines += ["", *table]
    told = causes(all_boards)
    for title, wanted in (("Not on the leaderboard", False), ("Warnings", True)):
        found = [f"- {markdown_text(cause.line())}" for cause in told if (cause.state == WARNING) is wanted]
        lines += ["", f"{title}:", "", *found] if found else []
    return "\n".join(lines).rstrip() + "\n"


def _table(board: Board) -> list[str]:
    floor = "unknown" if board.floor is None else f"±{say.percent(board.floor)}"
    place, conditions = headline.place(board.group), headline.conditions(board.group)
    title = f"**{markdown_text(place)}** — {markdown_text(conditions)}"
    statistic = headline.statistic(board.group)
    heads = "| technique | speed-up | 95 % interval | Trials / Blocks | verdict | "
    heads += f"paired {statistic} | size | model memory | peak RSS | quality | change |"
    aligned = "|:--|--:|:--|--:|:--|" + "--:|" * 6
    rows = [_line(row, board) for row in board.rows]
    return [f"{title}; noise floor {floor}; speed-up: {statistic}", "", heads, aligned, *rows]


def _line(row: Comparison, board: Board) -> str:
    name = markdown_code(say.short(row.technique, 60))
    speed = f"{speedup} ×" if (speedup := speedup_text(row)) else "–"
    change = say.change_text(row, row.quality_loss) or "–"
    over = {BROKEN: " (over the budget)", NOT_SHOWN: " (budget not shown)"}.get(row.budget or "", "")
    statistic, rate = SPEEDS[headline.speed_of(board.group)], tokens_per_s(row)
    tokens = [] if rate is None else [say.quantity(rate, "tokens/s")]
    cells = [
        f"**{name}**" if row.cell_id == board.best else name,
        f"**{speed}**" if row.cell_id == board.best else speed,
        interval_text(row),
        counted_text(row).replace("/", " / "),
        VERDICTS[row.verdict][1] if row.verdict in VERDICTS else "–",
        ", ".join([say.quantity(statistic.value(row), statistic.kind), *tokens]),
        say.quantity(row.artifact_bytes, "bytes"),
        say.quantity(own_memory(row), "bytes"),
        say.quantity(peak_memory(row), "bytes"),
        say.score(row.quality, board.unit),
        change + over,
    ]
    return "| " + " | ".join(cells) + " |"
