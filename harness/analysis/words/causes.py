"""What kept Cells off the leaderboards, and what warns of others: each cause once, with the Cells it took."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.analysis.compare.comparison import ONE_TRIAL, UNPAIRED, Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.units import say_count

OFF, WARNING = "off the board", "warning"
STATES = ("failed", OFF, "skipped", WARNING)
"""What Cells with a common cause are, in the order in which they are shown."""
TOLD = (ONE_TRIAL, UNPAIRED)
"""Notes about an interval that are warnings."""
MIN_TRIALS = 3
"""With two, Student's t has one degree of freedom, and intervals are 3.6 times as wide as with three."""
MAX_NAMES, MAX_PRODUCTS = 6, 4
"""Names that are written out beside each other; the others are counted."""


@dataclass(frozen=True)
class Cause:
    """One reason and its Cells; `state` is one of STATES.

    `text` is that of the first Cell; if `varies`, those of other Cells have other numbers.
    """

    state: str
    text: str
    rows: tuple[Comparison, ...]
    varies: bool = False

    @property
    def count(self) -> str:
        """Return the number of Cells in words."""
        return say_count(len(self.rows), "Cell")

    @property
    def cells(self) -> str:
        """Return the Cells' names, folded."""
        return folded((row.model, row.technique, row.workload, row.hardware) for row in self.rows)

    @property
    def why(self) -> str:
        """Return the stage and the reason."""
        stage = self.rows[0].stage if self.state == "failed" else None
        text = f"{self.text} (numbers of the first Cell)" if self.varies else self.text
        return f"{stage}: {text}" if stage else text

    @property
    def log(self) -> str | None:
        """Return the log of the first Cell, relative to the Run's folder; None unless it failed."""
        return self.rows[0].log if self.state == "failed" else None

    def line(self) -> str:
        """Return it in one line."""
        state = "" if self.state == WARNING else f" {self.state}"
        return f"{self.count}{state}: {self.why} — {self.cells}"


def causes(boards: Sequence[Board]) -> list[Cause]:
    """Return the causes of all that is missing or doubtful on these boards, those with most Cells first.

    Warnings and failed audits that differ only in their numbers are one cause.
    """
    found: dict[tuple[str, str, str], dict[str, tuple[str, Comparison]]] = {}
    for state, text, row in (told for board in boards for told in _told(board)):
        key = re.sub(r"\d[\d.,]*", "#", text) if state in (OFF, WARNING) else text
        found.setdefault((state, key, row.stage or ""), {}).setdefault(row.cell_id, (text, row))
    made = []
    for (state, *_), told in found.items():
        texts, rows = zip(*told.values(), strict=True)
        made.append(Cause(state, texts[0], rows, varies=len(set(texts)) > 1))
    return sorted(made, key=lambda cause: (STATES.index(cause.state), -len(cause.rows)))


def _told(board: Board) -> Iterator[tuple[str, str, Comparison]]:
    for row in board.left_out:
        yield row.status, row.reason or "no reason was recorded", row
    for row in board.off:
        reasons = row.audit_reasons or ["no reason was recorded"]
        yield OFF, f"failed its audit: {'; '.join(reasons)}", row
    for row in (*board.rows, *board.off):
        for warning in (*row.warnings, *(note for note in row.notes if note in TOLD)):
            yield WARNING, warning, row
        if say.factors(row.speedup_low, row.speedup_high) == say.TOO_WIDE:
            trials = say_count(row.trials or 0, "Trial")
            few = f"{trials} cannot tell the speed-up: three or more are needed"
            many = (
                f"{trials} differ too much to tell the speed-up: more Trials or a quieter machine are needed"
            )
            yield WARNING, few if (row.trials or 0) < MIN_TRIALS else many, row


def folded(names: Iterable[tuple[str, ...]]) -> str:
    """Return tuples of names as products: (a, x), (a, y), (b, x), (b, y) become "a, b / x, y"."""
    given = list(dict.fromkeys(names))
    known = [list(dict.fromkeys(axis)) for axis in zip(*given, strict=True)]
    given.sort(key=lambda name: [own.index(part) for own, part in zip(known, name, strict=True)])
    products: list[tuple[tuple[str, ...], ...]] = [tuple((part,) for part in name) for name in given]
    for axis in range(len(known)):
        merged: dict[tuple[tuple[str, ...], ...], list[str]] = {}
        for product in products:
            merged.setdefault(product[:axis] + product[axis + 1 :], []).extend(product[axis])
        products = [(*rest[:axis], tuple(own), *rest[axis:]) for rest, own in merged.items()]
    texts = [" / ".join(_some(list(own), MAX_NAMES, ", ") for own in product) for product in products]
    return _some(texts, MAX_PRODUCTS, "; ", short=False)


def _some(texts: list[str], most: int, between: str, *, short: bool = True) -> str:
    """Join the first `most` texts, and count the others."""
    shown = [say.short(text, 40) if short else text for text in texts[:most]]
    more = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return between.join([*shown, *more])
