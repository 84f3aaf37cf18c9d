"""A real Chromium for the page; where there is none, the tests are skipped and say so."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))

from browsing import HOSTILE, board_of, opened
from runs import GROUPS, MACHINE, TECHNIQUES, Group, Technique, make_run, vary

from harness.report.site import write

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
)


def _missing() -> str | None:
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed: pip install 'accel-harness[dev]'"
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed: apt-get install chromium chromium-driver"
    return None


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """One browser for all tests of a session."""
    if reason := _missing():
        pytest.skip(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield browser
    browser.quit()


COSINE = Group("embedder", metric="cosine", unit="")
"""Its quality does not count in points, unlike that of the other models."""


CHECK_UP = [
    {"name": "steal", "level": "bad", "value": "12 %", "why": "others had the cores", "remedy": "move"},
    {"name": "load", "level": "ok", "value": "0.1", "why": "", "remedy": None},
]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A site of two machines: usual techniques, one without percentiles, hostile names, absent ones."""
    folder = tmp_path_factory.mktemp("site")
    techniques = (
        *vary("compile", columns={"latency_p99_s": None}),
        Technique("gone", status="skipped", reason="needs an NVIDIA GPU"),
        Technique("broken", status="failed", reason="boom"),
    )
    hostile = (TECHNIQUES[0], *(Technique(name, 1.5 + i, drop=0.002 * i) for i, name in enumerate(HOSTILE)))
    other = {**MACHINE, "id": "ffff", "identity": {"cpu": "Other CPU"}}
    runs = [
        make_run(folder / "a", GROUPS, techniques, doctor=CHECK_UP),
        make_run(
            folder / "b",
            (*GROUPS[:1], COSINE),
            hostile,
            machine=other,
            started_at="2025-01-01T00:00:00+00:00",
        ),
    ]
    return write(runs, folder / "site")


@pytest.fixture
def front(driver, site):
    """The front page, freshly opened on a laptop's screen in light colours."""
    return opened(driver, site)


@pytest.fixture
def page(driver, site):
    """A leaderboard, freshly opened on a laptop's screen in light colours."""
    return opened(driver, board_of(site))
