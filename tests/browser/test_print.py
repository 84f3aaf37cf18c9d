"""The page on paper: always light, and the whole leaderboard fits across."""

from __future__ import annotations

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install 'accel-harness[dev]'")

from browsing import resize


def test_print_is_light_and_whole_even_from_a_dark_screen(page):
    resize(page, 1040, 735)  # A4 across without its margins, at 96 dots an inch
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
    try:
        paper, width, tools = page.execute_script(
            "return [getComputedStyle(document.body).backgroundColor, document.documentElement.scrollWidth,"
            " getComputedStyle(document.querySelector('.tools')).display]"
        )
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert paper == "rgb(255, 255, 255)"
    assert width <= 1040
    assert tools == "none"
