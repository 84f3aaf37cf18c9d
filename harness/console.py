"""Terminal output: messages, and the progress of a Run as a live bar, or as lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


UNITS = {"build": "Artifacts", "noise": "experiments"}
"""What the steps of a phase are. Other phases count Trials."""

MIN_WIDTH, USUAL_WIDTH = 20, 80
"""In columns. A smaller width means an unknown width: some job runners set COLUMNS=0."""


class _Console(Console):
    """Passes broken pipes on to cli.py, which has an exit status for them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.width < MIN_WIDTH:
            self.width = USUAL_WIDTH

    def on_broken_pipe(self) -> None:
        """Raise the error again."""
        raise BrokenPipeError


def grid(title: str, columns: Iterable[str], justify: Literal["left", "right"] = "left") -> Table:
    """Return an empty table without lines; long cells are folded. Brackets in the title are text."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify=justify, overflow="fold")
    return table


class Terminal:
    """Prints messages; `quiet` prints only errors and warnings, `verbose` prints every step."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.told: set[str] = set()
        self.out = _Console(highlight=False, soft_wrap=True)
        self.err = _Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print a line; brackets in it are text, not markup."""
        if not self.quiet:
            self.out.print(text, style=style, markup=False)

    def show(self, renderable: Any) -> None:
        """Print a table or another rich object."""
        if not self.quiet:
            self.out.print(renderable)

    def error(self, text: str) -> None:
        """Print an error."""
        self.err.print("error: ", style="bold red", end="")
        self.err.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print a warning, unless the same one was printed already."""
        if text in self.told:
            return
        self.told.add(text)
        self.err.print("note: ", style="bold yellow", end="")
        self.err.print(text, markup=False)


class Watcher:
    """Shows the progress of a Run (see runner/progress.py): a live bar on a terminal, lines elsewhere."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._live = terminal.out.is_terminal and not terminal.quiet
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._title, self._total, self._count = "", 0, 0
        self._start = 0.0
        self._shown = 0.0

    def phase(self, title: str, total: int) -> None:
        """Start a phase of `total` steps."""
        self.close()
        self._title, self._total, self._count = title, total, 0
        self._start = time.monotonic()
        if total == 0:
            self.terminal.say(f"{title}: nothing to do" + (", all cached" if title == "build" else ""))
        elif self._live:
            self._progress = self._bar()
            self._progress.start()
            self._task = self._progress.add_task(title, total=total, what="")
        else:
            self.terminal.say(f"{title}: {total} {UNITS.get(title, 'Trials')}")

    def expect(self, total: int) -> None:
        """Change the number of steps of the phase to `total`."""
        self._total = total
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=total)

    def step(self, text: str) -> None:
        """Show the current step, at most five times a second, because this is called between Blocks."""
        if self.terminal.verbose and not self._live:
            self.terminal.say(f"  {text}")
        elif self._progress is not None and self._task is not None:
            now = time.monotonic()
            if now - self._shown > 0.2:
                self._shown = now
                self._progress.update(self._task, what=text, refresh=True)

    def done(self, text: str = "") -> None:
        """Count a step as done."""
        self._count += 1
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=1, refresh=True)
        elif not self.terminal.quiet and (text or self.terminal.verbose):
            left = self._left()
            self.terminal.say(f"  [{self._count}/{self._total}] {text}{left}")

    def notice(self, text: str, cause: str = "") -> None:
        """Print a warning above the bar, once for each `cause` (the text where there is none)."""
        told = self.terminal.told
        if {cause, text} & told:
            return
        told |= {cause} - {""}
        if self._progress is not None:
            told.add(text)
            self._progress.console.print(f"note: {text}", style="yellow", markup=False)
        else:
            self.terminal.warn(text)

    def close(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = self._task = None

    def _left(self) -> str:
        if self._count == 0 or self._count >= self._total:
            return ""
        from harness.units import say_seconds

        seconds = (time.monotonic() - self._start) / self._count * (self._total - self._count)
        return f" ({say_seconds(seconds)} left)"

    def _bar(self) -> Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        # No refresh thread, because it would run while a Block is timed.
        return Progress(
            TextColumn("[bold]{task.description:<8}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            Remaining(elapsed_when_finished=False),
            TextColumn("{task.fields[what]}", markup=False),
            console=self.terminal.out,
            auto_refresh=False,
            transient=True,
        )
