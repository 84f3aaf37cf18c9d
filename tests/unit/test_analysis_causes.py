"""Causes: each is told once, with the Cells that it took, folded into few names."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

from runs import TECHNIQUES, Group, Technique, make_run

from harness.analysis.compare.leaderboard import boards
from harness.analysis.words.causes import Cause, causes, folded
from harness.analysis.words.numbers import factors

GROUPS = tuple(
    Group(model, workload) for model, workload in product(("cnn", "mlp", "lm"), ("online", "bulk"))
)


def told(folder: Path, *techniques: Technique) -> list[str]:
    return [cause.line() for cause in causes(boards(make_run(folder, GROUPS, (TECHNIQUES[0], *techniques))))]


def test_names_are_folded_into_products_that_hold_exactly_the_cells() -> None:
    assert folded([]) == ""
    assert folded([("a", "x")]) == "a / x"
    assert folded(product(("a", "b"), ("x", "y"), ("cpu",))) == "a, b / x, y / cpu"
    assert folded([("a", "x"), ("a", "y"), ("b", "x")]) == "a, b / x; a / y"
    assert folded([("a", "x"), ("b", "y"), ("a", "y"), ("b", "x"), ("a", "x")]) == "a, b / x, y"


def test_many_names_are_counted() -> None:
    assert folded((f"m{i}", "x") for i in range(8)) == "m0, m1, m2, m3, m4, m5, and 2 more / x"
    diagonal = [(f"m{i}", f"x{i}") for i in range(6)]
    assert folded(diagonal) == "m0 / x0; m1 / x1; m2 / x2; m3 / x3; and 2 more"


def test_a_cause_is_told_once_and_failures_come_first(tmp_path: Path) -> None:
    failed = [Technique(f"int8-{i}", status="failed", reason="RuntimeError: boom") for i in range(3)]
    gone = Technique("trt", status="skipped", reason="needs an NVIDIA GPU")
    off = Technique("fast", audit="failed", columns={"audit_reasons": ["same-outputs: they differ"]})
    assert told(tmp_path, *failed, gone, off) == [
        "18 Cells failed: build: RuntimeError: boom — "
        "cnn, mlp, lm / int8-0, int8-1, int8-2 / online, bulk / cpu",
        "6 Cells off the board: failed its audit: same-outputs: they differ — "
        "cnn, mlp, lm / fast / online, bulk / cpu",
        "6 Cells skipped: needs an NVIDIA GPU — cnn, mlp, lm / trt / online, bulk / cpu",
    ]


def test_one_reason_in_two_stages_is_two_causes(tmp_path: Path) -> None:
    at = [
        Technique(stage, status="failed", reason="MemoryError", columns={"stage": stage})
        for stage in ("load", "evaluation")
    ]
    lines = {line.split(" — ")[0] for line in told(tmp_path, *at)}
    assert lines == {"6 Cells failed: load: MemoryError", "6 Cells failed: evaluation: MemoryError"}


def test_warnings_that_differ_in_numbers_only_are_one(tmp_path: Path) -> None:
    first = Technique("x0", 8.0, warnings=("lost 0.5 of 3 Trials", "lost 0.1 of 3 Trials"))
    second = Technique("x1", 2.0, warnings=("lost 1,000 of 3 Trials", "alone"))
    assert told(tmp_path, first, second) == [
        "12 Cells: lost 0.5 of 3 Trials (numbers of the first Cell) — "
        "cnn, mlp, lm / x0, x1 / online, bulk / cpu",
        "6 Cells: alone — cnn, mlp, lm / x1 / online, bulk / cpu",
    ]


def test_an_interval_that_tells_nothing_is_not_written_out_and_its_cells_are_named(tmp_path: Path) -> None:
    assert [factors(*ends) for ends in ((2.7e-9, 9.2e10), (0.45, 1.9), (0.9, 3.5), (1.5, 80))] == [
        "too wide",
        "too wide",
        "0.900–3.50",
        "1.50–80.0",  # it is faster, however wide the interval is
    ]
    (board,) = boards(
        make_run(tmp_path, (Group(),), (TECHNIQUES[0], Technique("x", 2.0), Technique("y", 3.0)))
    )

    def warned(trials: int) -> list[Cause]:
        wide = {"speedup_low": 0.1, "speedup_high": 90.0, "trials": trials}
        rows = [row if row.arm == "baseline" else replace(row, **wide) for row in board.rows]
        return causes([replace(board, rows=rows)])

    (few,), (many,) = warned(2), warned(3)
    assert (
        few.line()
        == "2 Cells: 2 Trials cannot tell the speed-up: three or more are needed — cnn / y, x / online / cpu"
    )
    assert (
        many.text
        == "3 Trials differ too much to tell the speed-up: more Trials or a quieter machine are needed"
    )


def test_only_a_failed_cell_has_a_log(tmp_path: Path) -> None:
    made = make_run(
        tmp_path,
        (Group(),),
        (TECHNIQUES[0], Technique("a", status="failed", reason="x"), Technique("b", warnings=("y",))),
    )
    failed, warned = causes(boards(made))
    assert (failed.log, warned.log) == (failed.rows[0].log, None)
    assert failed.log is not None
