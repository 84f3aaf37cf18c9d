"""Markdown and the terminal's table: readable where they are read, and safe against names."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from pages import whole
from rich.console import Console
from runs import GROUPS, TECHNIQUES, Group, Technique, empty_run, make_run, vary

from harness.report.details import command
from harness.report.markdown import summary
from harness.report.page import run_properties
from harness.report.terminal import Tables
from harness.store.info import Repository


def shown(run, width=80):
    console = Console(width=width, soft_wrap=True, file=io.StringIO(), highlight=False)
    console.print(Tables(run))
    return console.file.getvalue()


def test_the_table_fits_80_columns_without_cutting_anything(tmp_path):
    lines = shown(make_run(tmp_path / "run")).splitlines()
    rows = [line for line in lines if "×" in line and "—" not in line]
    assert len(rows) == 2 * len(TECHNIQUES)
    assert all(len(line.rstrip()) <= 80 for line in rows)
    assert not any("…" in line for line in rows)


LONG = (
    *TECHNIQUES,
    Technique("pruned-int8-replicas-2-per-channel", 0.6934, 11.234, 0.0185, ("prune", "quantize")),
)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_long_names_give_way_and_numbers_never_do(tmp_path, width):
    lines = shown(make_run(tmp_path / "run", techniques=LONG), width).splitlines()
    rows = [line for line in lines if line.startswith("pruned") and "×" in line]
    long = [line for line in rows if "annel" in line.split("×")[0]]
    assert len(long) == 2
    assert all(len(line.rstrip()) <= width for line in rows)
    assert all("▼ slower" in line and "–" in line and "!" in line for line in long)
    assert all(line.count("…") == {80: 1, 120: 0}.get(width, line.count("…")) for line in long)


def test_the_table_shows_the_winner_and_what_is_over_the_budget(tmp_path):
    lines = shown(make_run(tmp_path / "run", (Group(),))).splitlines()
    assert next(line for line in lines if line.startswith("★")).startswith("★ pruned-50")
    over = next(line for line in lines if line.startswith("pruned-int8"))
    assert "−0.85!" in over
    assert any(line.startswith("Fastest within 0.5 points") for line in lines)


def test_offline_shows_throughput_and_single_stream_latency(tmp_path):
    text = shown(make_run(tmp_path / "run"), 100)
    assert "speed-up: median latency" in text
    assert text.count("n: Trials/Blocks behind the interval.") == 1  # once, not for each Group
    assert "µs" in text
    assert "speed-up: throughput" in text
    assert "samples" in text
    assert "k/s" in text


def test_markup_in_names_is_text(tmp_path):
    run = make_run(tmp_path / "run", (Group("[red]m[/red]"),), (TECHNIQUES[0], Technique("[bold]x[/]", 2.0)))
    text = shown(run, 100)
    assert "[bold]x[/]" in text
    assert "[red]m[/red]" in text


def test_markdown_has_answers_and_a_table_a_group(tmp_path):
    text = summary(make_run(tmp_path / "run"))
    lines = text.splitlines()
    assert lines[0] == "### digits"
    assert "`4be1d8c0a9`" in lines[2]
    assert "measured 61 % of 4 m 02 s; trust grade B" in lines[2]
    assert sum(line.startswith("- **cnn · ") for line in lines) == 2
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == 2 * (len(TECHNIQUES) + 2)
    assert {line.count("|") for line in tables} == {12}
    assert any(line.startswith("| **`pruned-50`** | **3.6") for line in tables)
    assert sum(" | 3 / 36 | " in line for line in tables) == 2 * len(TECHNIQUES)
    assert [line.split(" | ")[5] for line in tables if "technique" in line] == [
        "paired median latency",
        "paired throughput",
    ]
    assert text.count("other rows have the baseline’s, changed by their speed-up") == 1


@pytest.mark.parametrize("name", ["a|b", "`tick`", "x\ny", "<img src=x>", "[l](http://e)"])
def test_markdown_tables_survive_hostile_names(tmp_path, name):
    techniques = (TECHNIQUES[0], Technique(name, 2.0), Technique("gone", status="failed", reason=name))
    lines = summary(make_run(tmp_path / "run", (Group(name),), techniques)).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == 4
    assert {line.count("|") for line in tables} == {12}


def test_markdown_names_what_is_not_on_the_board_once(tmp_path):
    techniques = (
        *vary("compile", audit="failed"),
        Technique("trt", status="skipped", reason="needs an NVIDIA GPU"),
    )
    text = summary(make_run(tmp_path / "run", techniques=techniques))
    assert "\n- 2 Cells skipped: needs an NVIDIA GPU — cnn / trt / online, bulk / cpu\n" in text
    assert "\n- 2 Cells off the board: failed its audit: no reason was recorded — cnn / compile / " in text
    assert text.index("Not on the leaderboard:") < text.index("compile / ") < text.index("Warnings:")
    assert text.endswith("- 2 Cells: zeros do not speed up — cnn / sparse-80 / online, bulk / cpu\n")


def test_a_run_of_several_repositories_names_the_commit_of_each(tmp_path):
    mine = Repository(hash="a" * 40, dirty=True, subject="Mine", holds=["suite", "model"])
    theirs = Repository(hash="b" * 40, dirty=False, subject="Theirs", holds=["harness"])
    run = make_run(tmp_path / "run", repositories=[mine, theirs])
    assert ", suite and model at `aaaaaaaaaa` (dirty), harness at `bbbbbbbbbb`, 2025-03-14;" in summary(run)
    shown = "suite and model: aaaaaaaaaa with uncommitted changes · Mine; harness: bbbbbbbbbb · Theirs"
    assert dict(run_properties(run, "a machine"))["Commit"] == shown
    assert command(run.info).splitlines() == [
        "git checkout aaaaaaaaaaaa  # suite and model",
        "git checkout bbbbbbbbbbbb  # harness",
        "harness run suites/digits.yaml",
    ]


def test_the_terminal_counts_groups_in_which_nothing_was_measured(tmp_path):
    groups = [Group(model, workload) for model in ("a", "b") for workload in ("x", "y")]
    techniques = [replace(technique, status="failed", reason="boom") for technique in TECHNIQUES]
    text = shown(make_run(tmp_path / "run", tuple(groups), tuple(techniques)))
    assert "".join(text.split()) == "Nothingwasmeasuredin4Groups:a,b/x,y/cpu"


@pytest.mark.parametrize("kind", ["empty", "failed", "bare", "no-quality", "no-baseline"])
def test_odd_runs_are_told_too(tmp_path, kind):
    path = tmp_path / "run"
    run = {
        "empty": lambda: empty_run(path),
        "failed": lambda: make_run(
            path, techniques=tuple(replace(t, status="failed", reason="x") for t in TECHNIQUES)
        ),
        "bare": lambda: make_run(path, commit=None, machine={}, quality={}, grade={}),
        "no-quality": lambda: make_run(path, (Group(quality=None),)),
        "no-baseline": lambda: make_run(path, techniques=vary("eager", status="failed", reason="x")),
    }[kind]()
    for text in (summary(run), shown(run)):
        assert text.strip()
        assert "nan" not in text.lower().split()
        assert "None" not in text


def test_a_group_without_its_baseline_says_why_before_anything_else(tmp_path):
    run = make_run(tmp_path / "run", GROUPS[:1], vary("eager", status="failed", reason="out of memory."))
    why = "There are no speed-ups: the baseline, eager, failed (build): out of memory."
    lines = [line.strip() for line in shown(run).splitlines() if line.strip()]
    assert lines[1] == why  # line 0 names the Group
    assert shown(run).count("out of memory") == 1
    board = next(p for path, p in whole(tmp_path / "site", [run]).items() if path.startswith("boards/"))
    assert 0 < board.text.index(why) < board.text.index("Leaderboard of")  # the table's caption
