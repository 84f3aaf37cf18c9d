"""The report at scale.

Goals: 500 Runs × 200 Cells in 20 s and 1 GB; 2,000 rows open in 1 s and are filtered in 50 ms; a
front page below 1 MB.
`make perf ARGS="tests/perf/test_perf_report.py"`; sizes are asserted, times are only shown.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))

from runs import TECHNIQUES, Group, Technique, make_run

from harness.report.site import write
from harness.store.reading import find

FAMILIES = ((), ("quantize",), ("prune",), ("prune", "quantize"))
GROUPS = (
    Group("cnn"),
    Group("cnn", "bulk", scenario="offline", batch=256),
    Group("mlp"),
    Group("mlp", "bulk", scenario="offline", batch=256),
)


def many(count):
    """So many techniques, the baseline among them."""
    return (
        TECHNIQUES[0],
        *(
            Technique(
                f"technique-{i:04d}", 1 + 0.05 * i, 1 / (1 + 0.02 * i), 0.0002 * (i % 40), FAMILIES[i % 4]
            )
            for i in range(count - 1)
        ),
    )


@pytest.fixture(scope="module")
def history(tmp_path_factory, timed):
    """500 Runs of one machine with 200 Cells each, or few: one Run, whose tables the others link to."""
    runs, techniques = (500, 50) if timed else (4, 6)
    root = tmp_path_factory.mktemp("history")
    first = make_run(root / "r000", GROUPS, many(techniques), started_at="2025-01-01T00:00:00+00:00").folder
    text = (first / "run.json").read_text("utf-8")
    for index in range(1, runs):
        folder = root / f"r{index:03d}"
        folder.mkdir()
        for table in first.glob("*.parquet"):
            os.link(table, folder / table.name)
        when = f"2025-01-{1 + index // 24:02d}T{index % 24:02d}"
        (folder / "run.json").write_text(text.replace("2025-01-01T00", when), encoding="utf-8")
    return root, runs, len(GROUPS) * techniques


def test_perf_report_of_500_runs(benchmark, history, tmp_path):
    root, count, cells = history

    def render():
        runs, faults = find(root)
        assert len(runs) == count
        return write(runs, tmp_path / "site", faults)

    page = benchmark.pedantic(render, rounds=1)
    assert page.stat().st_size < 1_000_000
    assert len(list((page.parent / "cells").iterdir())) == cells


def test_perf_page_of_2000_rows_opens(benchmark, tmp_path, timed):
    rows = 2000 if timed else 300
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromedriver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    run = make_run(tmp_path / "run", (Group(),), many(rows), trials=2, rounds=2)
    front = write([run], tmp_path / "site")
    assert front.stat().st_size < 1_000_000
    board = next((tmp_path / "site" / "boards").glob("*.html"))
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        benchmark.pedantic(lambda: browser.get(board.as_uri()), rounds=3)
        benchmark.extra_info["filter_s"] = browser.execute_script(
            "const t = performance.now(), e = document.querySelector('form.tools').elements.text;"
            "e.value = '7'; e.dispatchEvent(new Event('input', {bubbles: true}));"
            "document.body.offsetHeight; return (performance.now() - t) / 1000"
        )
        browser.execute_script("document.querySelector('.rest button').click()")
        shown = browser.execute_script("return document.querySelectorAll('.entry:not([hidden])').length")
    finally:
        browser.quit()
    assert rows / 8 < shown < rows
