"""The one sentence that ends `harness try`, and which Cells may win while it measures."""

from __future__ import annotations

from collections.abc import Callable

from harness.analysis.compare.budget import HELD
from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import SMALLER, Board, boards
from harness.analysis.words import numbers as say
from harness.analysis.words.headline import conditions
from harness.analysis.words.sentence import Part, Sentence, code, sentence, strong
from harness.runner.experiment.losers import Contenders
from harness.runtimes.registry import RUNTIMES
from harness.stats.planning import MIN_TRIALS
from harness.store.reading import Run
from harness.try_model.candidates import Goal
from harness.units import say_count


def contenders(run: Run, goal: Goal) -> Contenders:
    """Return which Cells of an unfinished Run may win: those whose audits and quality hold so far."""
    rivals: dict[str, str] = {}
    kept: set[str] = set()
    for board in boards(run):
        rivals |= {row.cell_id: row.technique for row in _admitted(board)}
        if goal.need is not None:
            kept |= {row.cell_id for row in board.rows if _could_need_least(row, board, goal.need)}
    return Contenders(rivals, kept)


def winner(board: Board, goal: Goal) -> Comparison | None:
    """Return the Cell that serves the goal best, its quality within the budget; None if none is better."""
    if goal.need is None:
        return board.row(board.best)
    needs = [(need, row) for row in _admitted(board) if (need := goal.need(row)) is not None]
    least, best = min(needs, key=lambda found: found[0], default=(0.0, None))
    before = goal.need(board.baseline) if board.baseline else None
    return best if before is not None and least < SMALLER * before else None


def answer(board: Board, goal: Goal) -> Sentence:
    """Return the answer to the user's question."""
    base = board.baseline
    if base is None:
        gone = next((row for row in board.left_out if row.cell_id == board.group.baseline), None)
        off = next((row for row in board.off if row.cell_id == board.group.baseline), None)
        why = (gone and gone.reason) or (off and "; ".join(off.audit_reasons or ())) or "it was not measured"
        return sentence("There is nothing to compare with: your model as it is could not be measured: ", why)
    if len(board.rows) == 1:
        text = "Only your model as it is was measured: no technique was left that could be compared with it."
        return sentence(text)
    best = winner(board, goal)
    if best is None:
        return _none_better(board, goal)
    opening: tuple[str | Part, ...] = (code(best.technique), f" in {_runtime(best)}")
    if goal.need is None:
        speed = f" ({_interval(best, *best.interval)}) faster than {_yours(base)}"
        return sentence(*opening, " is ", strong(f"{say.factor(best.speedup)} ×"), speed, *_ends(best, board))
    less = strong(f"{say.factor((goal.need(base) or 0.0) / (goal.need(best) or 1.0))} ×")
    speed = f", {say.factor(best.speedup)} × ({_interval(best, *best.interval)}) its speed"
    if (best.speedup_trials or 0) < MIN_TRIALS:
        speed = f"; its speed is not known ({_interval(best, None, None)})"
    return sentence(*opening, ": ", less, f" {goal.less} than {_yours(base)}{speed}", *_ends(best, board))


def conditions_of(board: Board) -> str:
    """Return what was measured, and the work of one sample."""
    work = board.baseline.flops_per_sample if board.baseline else None
    size = f"; your model computes {say.quantity(work, 'FLOP')} a sample" if work else ""
    return f"Measured: {conditions(board.group)}{size}."


def _none_better(board: Board, goal: Goal) -> Sentence:
    """Say that nothing serves the goal better, what is closest, and what costs too much quality."""
    base = board.baseline
    assert base is not None  # noqa: S101 (answer() has looked)
    others = [row for row in board.rows if row.arm != "baseline" and row.speedup is not None]
    better = f"shown to be {goal.less or 'faster'} than {_yours(base)}"
    parts: list[str | Part] = [f"Nothing that was tried is {better}"]
    if board.limited:
        parts.append(f" and shown to lose at most {say.points(board.max_drop or 0.0, board.unit)} of quality")
    admitted = {row.cell_id for row in _admitted(board)}
    near = next((row for row in others if row.cell_id in admitted), None)
    lossy = next((row for row in others if row.cell_id not in admitted and row.verdict == "faster"), None)
    if near is not None and goal.need is None:
        slower = near.verdict == "slower" and (near.speedup_trials or 0) >= MIN_TRIALS
        opening = "; all that may win are slower, the fastest of them is " if slower else "; closest is "
        parts += [opening, code(near.technique), *_near(near)]
    if lossy is not None:
        speed = f" is {say.factor(lossy.speedup)} × as fast"
        parts += ["; ", code(lossy.technique), speed, _quality(lossy, board)]
    return sentence(*parts, ".")


def _ends(row: Comparison, board: Board) -> tuple[str | Part, ...]:
    """Return quality, size, and what is not certain."""
    low, rival = row.interval[0], board.row(board.rival)
    doubts: list[str | Part] = []
    if low is not None and low <= 1 and row.cell_id == board.best:
        doubts.append("; as the best of so many it may owe this to chance")
    if rival is not None and row.cell_id == board.best:
        doubts += ["; this Run cannot distinguish it from ", code(rival.technique)]
    return (_quality(row, board), _size(row), *doubts, _few(row), ".")


def _interval(row: Comparison, low: float | None, high: float | None) -> str:
    """Return an interval of a speed-up; too few Trials do not tell how fresh processes differ."""
    trials = row.speedup_trials or 0
    return (
        say.factors(low, high) if trials >= MIN_TRIALS else f"only {say_count(trials, 'Trial')}: no interval"
    )


def _near(row: Comparison) -> tuple[str, ...]:
    """Return how fast the closest Cell is; a ratio of too few Trials is not told."""
    interval = _interval(row, row.speedup_low, row.speedup_high)
    if (row.speedup_trials or 0) < MIN_TRIALS:
        return (f", with {interval}{_few(row)}",)
    return (f": {say.factor(row.speedup)} × ({interval})",)


def _few(row: Comparison) -> str:
    """Say what to do if there are too few Trials."""
    return "" if (row.speedup_trials or 0) >= MIN_TRIALS else "; give it more --time"


def _quality(row: Comparison, board: Board) -> str:
    """Return the score, its change where the baseline has one too, and whether it is shown to hold."""
    if row.quality is None or not row.quality_metric:
        return ", quality not measured"
    text = f", {row.quality_metric} {say.score(row.quality, row.quality_unit or '')}"
    if row.quality_loss is None:
        return f"{text}, but the baseline’s is missing"
    text += f" ({say.change_words(row)})"
    if row.random_samples and row.evaluation_samples is not None:
        text += f" on {row.evaluation_samples:,} random samples"
    worst, allowed = row.quality_loss_high, say.points(board.max_drop or 0.0, board.unit)
    if row.within_budget is False:
        text += f", which is more than the allowed loss of {allowed}"
    elif row.budget == HELD and row.discordant == 0 and worst is not None and worst > (board.max_drop or 0.0):
        text += f", none of which differs; a loss of up to {say.digits(worst)} is not ruled out"
    elif board.max_drop is None:
        text += f"; no budget is set for {row.quality_metric}: state quality.by_metric in the suite"
    elif worst is not None and worst > board.max_drop:
        text += f"; that it loses at most {allowed} is not shown: {say.digits(worst)} are possible"
        if row.samples_needed is not None:
            text += f"; about {row.samples_needed:,} samples would show it"
    return text


def _size(row: Comparison) -> str:
    ratio = row.size_ratio
    if ratio is None:
        return ""
    if SMALLER <= ratio <= 1 / SMALLER:
        return ", the same size"
    return f", size ÷ {say.factor(1 / ratio)}" if ratio < 1 else f", size × {say.factor(ratio)}"


def _yours(base: Comparison) -> str:
    return f"your model in {_runtime(base)}"


def _runtime(row: Comparison) -> str:
    name = row.runtime or ""
    return RUNTIMES.get(name).title or name if name in RUNTIMES else name


def _admitted(board: Board) -> list[Comparison]:
    """Return the rows that may win: within the budget; without one, all whose quality is a number."""
    if board.limited:
        return [row for row in board.rows if row.within_budget]
    return [row for row in board.rows if not row.quality_metric or row.quality is not None]


def _could_need_least(row: Comparison, board: Board, need: Callable[[Comparison], float | None]) -> bool:
    """Whether no Cell that may win is known to need less than this one."""
    mine = need(row)
    others = [theirs for one in _admitted(board) if (theirs := need(one)) is not None]
    return mine is None or mine <= min(others, default=mine)
