"""A Run in words: the fastest and smallest Cell of each Group, their quality loss, and what to trust."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.compare.budget import BROKEN, HELD, NOT_SHOWN
from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.analysis.words.sentence import Part, Sentence, code, sentence, strong
from harness.store.info import GroupInfo, RunInfo
from harness.units import say_count, say_seconds

STATISTICS = {"latency": "median latency", "throughput": "throughput", "rate": "query rate"}
"""What speed-ups compare, by what speed means."""


BEYOND = {
    BROKEN: "Faster, but over the budget: ",
    NOT_SHOWN: "Faster, but not shown to hold the budget: ",
}


def answers(board: Board) -> list[Sentence]:
    """Return what is fastest and what is smallest within the budget, in one to three sentences."""
    if not board.rows:
        return [sentence("Nothing was measured here.")]
    if board.baseline is None:
        return [_no_baseline(board)]
    if len(board.rows) == 1:
        return [sentence("Only the baseline was measured, so there is nothing to compare.")]
    return [_fastest(board), *_smallest(board), *_beyond(board)]


def model_answers(boards: Sequence[Board], most: int = 3) -> list[Sentence]:
    """Return at most `most` sentences on what is fastest in a model's Groups, largest gain first."""
    told = [board for board in boards if board.rows]
    if not told:
        return [sentence("Nothing was measured here.")]
    ordered = sorted(told, key=lambda board: -(_gain(board)))
    found = []
    for board in ordered[:most]:
        (kind, first), *rest = answers(board)[0].parts
        where = f"{say.short(board.group.workload, 40)} · {say.short(board.group.hardware, 40)}: "
        opening = where + first[:1].lower() + first[1:] if len(told) > 1 else first
        found.append(Sentence(((kind, opening), *rest)))
    if len(found) < most and len(told) == 1:
        found += answers(told[0])[1:most]
    return found


def _gain(board: Board) -> float:
    """Return the speed-up of a board's winner; 0 without one."""
    best = board.row(board.best)
    return best.speedup or 0.0 if best else 0.0


def about(row: Comparison, board: Board) -> Sentence:
    """Return one Cell's speed, size and quality compared with its baseline."""
    if row.arm == "baseline":
        return sentence("This is the baseline that the other Cells of its Group are compared with.")
    if row.speedup is None:
        return sentence("It has no speed-up: ", "; ".join(row.notes or ["not compared"]), ".")
    return sentence(code(row.technique), " — ", *_speed(row, board), *_costs(row, board), ".")


def place(group: GroupInfo) -> str:
    """Return a Group's name: cnn · online · cpu."""
    return " · ".join(say.short(part, 40) for part in (group.model, group.workload, group.hardware))


def conditions(group: GroupInfo) -> str:
    """Return what a Group measures, in words; older Runs record only the scenario and the batch."""
    how = group.conditions or f"{group.scenario or 'unknown scenario'}, batch {group.batch:,}"
    return f"{how}; {group.device.upper() or 'unknown device'}, {say_count(group.threads, 'thread')}"


def speed_of(group: GroupInfo) -> str:
    """Return what speed means in a Group: latency, throughput or rate; older Runs do not record it."""
    known = group.speed or ("throughput" if group.scenario == "offline" else "latency")
    return known if known in STATISTICS else "latency"


def statistic(group: GroupInfo) -> str:
    """Return the statistic that the speed-ups of a Group compare: median latency, throughput, query rate."""
    return STATISTICS[speed_of(group)]


def call_of(group: GroupInfo) -> str:
    """Return what one timed call of a Group is; older Runs do not record it."""
    return group.call or "time of one call"


def speed_meaning(group: GroupInfo) -> str:
    """Return what a speed-up of a Group is, in words."""
    return {
        "throughput": "samples per second over the baseline’s",
        "rate": "queries per second within the latency bound, over the baseline’s",
    }.get(speed_of(group), f"the baseline’s median over the Cell’s ({call_of(group)})")


def trust(info: RunInfo) -> str:
    """Return how much of the wall time was measurement: measured 61 % of 4 m 02 s."""
    if info.times.wall_s <= 0:
        return "no time was recorded"
    return f"measured {info.times.measured_share:.0%} of {say_seconds(info.times.wall_s)}".replace("%", " %")


def _no_baseline(board: Board) -> Sentence:
    """Return why there are no speed-ups."""
    gone = [*board.left_out, *board.off]
    row = next((row for row in gone if row.cell_id == board.group.baseline), None)
    if row is None:
        return sentence("There are no speed-ups: the baseline is excluded.")
    why = {"failed": f"failed ({row.stage}): {row.reason}", "skipped": f"was skipped: {row.reason}"}
    audit = f"failed its audit: {'; '.join(row.audit_reasons or ['no reason recorded'])}"
    end = f", {why.get(row.status, audit)}".rstrip(".")
    return sentence("There are no speed-ups: the baseline, ", code(row.technique), end, ".")


def time_spent(info: RunInfo) -> list[tuple[str, str, str]]:
    """Return where the wall time went: what, how long, and its share. Empty for an older Run."""
    parts, wall_s = info.times.parts(), info.times.wall_s
    rows = [*parts, ("wall time", wall_s)] if parts and wall_s > 0 else []
    return [(title, say_seconds(seconds), say.percent(seconds / wall_s)) for title, seconds in rows]


def _fastest(board: Board) -> Sentence:
    best = board.row(board.best)
    if best is None:
        return _no_winner(board)
    opening = f"Fastest {_within(board)}: " if board.limited else f"Fastest{_unlimited(board)}: "
    return sentence(
        *(opening, code(best.technique), " — ", *_speed(best, board), *_costs(best, board)),
        *(*_given(board), *_chance(best), *_tied(board), "."),
    )


def _unlimited(board: Board) -> str:
    """Say that a measured quality has no budget, so that any loss may be the winner's."""
    return f" (no budget is set for {board.metric}: state quality.by_metric)" if board.judged else ""


def _given(board: Board) -> tuple[str | Part, ...]:
    """Return the speed-up over the model as it was given, if the baseline is another Cell."""
    if board.given is None:
        return ()
    interval = say.factors(board.given.interval.low, board.given.interval.high)
    speed = strong(f"{say.factor(board.given.speedup)} ×")
    return ("; ", speed, f" ({interval}) the speed of the model as given, ", code(board.given.technique))


def _chance(best: Comparison) -> tuple[str, ...]:
    """Say if the best of many may be no faster than the baseline, although its own interval excludes that."""
    low = best.interval[0]
    return () if low is None or low > 1 else ("; as the best of so many it may owe this to chance",)


def _tied(board: Board) -> tuple[str | Part, ...]:
    rival = board.row(board.rival)
    return () if rival is None else ("; this Run cannot distinguish it from ", code(rival.technique))


def _within(board: Board) -> str:
    quality = board.baseline.quality if board.baseline else None
    allowed = say.points(board.max_drop or 0.0, board.unit)
    return f"within {allowed} of the baseline’s {say.score(quality, board.unit)}"


def _speed(row: Comparison, board: Board) -> tuple[str | Part, ...]:
    interval, among = say.factors(*row.interval), row.winner_candidates or 1
    chosen = f", adjusted as the best of {among}" if among > 1 else ""
    over: tuple[str | Part, ...] = (f" ({interval}{chosen}) the baseline’s speed",)
    if board.given and board.baseline:
        over = (f" ({interval}{chosen}) the speed of the baseline ", code(board.baseline.technique))
    return (strong(f"{say.factor(row.speedup)} ×"), *over)


def _costs(row: Comparison, board: Board) -> list[str]:
    parts = [f", {size}"] if (size := _size(row.size_ratio)) else []
    if row.quality_loss is None:
        if row.quality is None:
            invalid = "some of its scores are NaN or infinite"
            return [*parts, f", {invalid if row.quality_metric else 'quality not measured'}"]
        quality = say.score(row.quality, row.quality_unit or "")
        return [*parts, f", quality {quality}, but the baseline’s is missing: no budget was applied"]
    parts.append(f", {say.change_words(row)}{_random(row)}")
    worst = row.quality_loss_high
    if board.max_drop is not None and worst is not None and worst > board.max_drop:
        way = "rise" if board.less_is_better else "drop"
        none = ""
        if row.discordant == 0 and row.arm != "baseline" and row.evaluation_samples:
            none = f"none of {row.evaluation_samples:,} samples differs; "
        parts.append(f" ({none}a {way} of {say.change_text(row, worst)[1:]} is not ruled out)")
    return parts


def _unshown(board: Board) -> Sentence:
    """Return that no Cell is shown to hold the budget, and how many samples the fastest one would take."""
    unshown = [row for row in board.rows if row.budget == NOT_SHOWN and row.speedup is not None]
    if not unshown:
        return sentence(f"No technique stays {_within(board)}.")
    top = unshown[0]
    return sentence(
        f"No technique is shown to stay {_within(board)}; fastest is ",
        *(code(top.technique), " — ", *_speed(top, board), *_costs(top, board), *_needed(top), "."),
    )


def _needed(row: Comparison) -> tuple[str, ...]:
    """Return how many samples would show that the budget is held."""
    used = f"; {row.evaluation_samples:,} samples were evaluated" if row.evaluation_samples else ""
    if row.samples_needed is None:
        return (used,)
    return (f"{used}, about {row.samples_needed:,} would show it if the loss stays as it is",)


def _random(row: Comparison) -> str:
    """Say on how many random samples the quality stands; empty for real data, and where it is not known."""
    if not row.random_samples or row.evaluation_samples is None:
        return ""
    metric = f" of {row.quality_metric}" if row.quality_unit and row.quality_metric else ""
    return f"{metric} on {row.evaluation_samples:,} random samples"


def _size(ratio: float | None) -> str:
    if ratio is None:
        return ""
    if abs(ratio - 1) < 0.02:
        return "the same size"
    return f"{say.percent(ratio)} of its size" if ratio < 1 else f"{say.factor(ratio)} × its size"


def _no_winner(board: Board) -> Sentence:
    """Return that nothing is faster within the budget, and what is closest."""
    rest = [row for row in board.rows if row.arm != "baseline" and row.speedup is not None]
    allowed = [row for row in rest if not board.limited or row.within_budget]
    where = f" {_within(board)}" if board.limited else ""
    if not rest:
        return sentence("No technique has a speed-up: their Blocks cannot be compared.")
    if not allowed:
        return _unshown(board)
    top = allowed[0]
    close = ("; closest is ", code(top.technique), " — ", *_speed(top, board))
    if top.verdict == "inconclusive":
        end = ", inconclusive: these measurements cannot distinguish it from noise."
        return sentence(f"Nothing is certainly faster than the baseline{where}", *close, end)
    end = ", equivalent." if top.verdict == "equivalent" else "."
    return sentence(f"Nothing is faster than the baseline{where}", *close, end)


def _smallest(board: Board) -> list[Sentence]:
    row = board.row(board.smallest)
    if row is None or row.size_ratio is None:
        return []
    if board.smallest == board.best:
        return [sentence("It is also the smallest.")]
    speed: list[str | Part] = []
    if row.speedup is not None:
        known = "" if row.verdict in ("faster", "slower", "equivalent") else ", inconclusive"
        interval = say.factors(row.speedup_low, row.speedup_high)
        speed = [", ", f"{say.factor(row.speedup)} × ({interval}) the baseline’s speed{known}"]
    if row.quality_loss is not None:
        speed.append(f", {say.change_words(row)}")
    elif row.quality is not None:
        speed.append(f", quality {say.score(row.quality, row.quality_unit or '')}")
    share, size = strong(say.percent(row.size_ratio)), say.quantity(row.artifact_bytes, "bytes")
    size_text = f" of the baseline’s size ({size})"
    return [sentence("Smallest: ", code(row.technique), " — ", share, size_text, *speed, ".")]


def _beyond(board: Board) -> list[Sentence]:
    """Return what is faster than the winner but loses more quality than allowed."""
    best = board.row(board.best)
    held = any(row.budget == HELD and row.arm != "baseline" for row in board.rows)
    found = []
    for state, opening in BEYOND.items():
        rows = [row for row in board.rows if row.budget == state and row.verdict == "faster"]
        told = state == NOT_SHOWN and not held  # _unshown has told of it
        if not rows or told or (best is not None and (rows[0].speedup or 0.0) <= (best.speedup or 0.0)):
            continue
        needed = _needed(rows[0]) if state == NOT_SHOWN else ()
        end = f" — {say.factor(rows[0].speedup)} ×, {say.change_words(rows[0])}"
        found.append(sentence(opening, code(rows[0].technique), end, *needed, "."))
    return found
