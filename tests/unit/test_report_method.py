"""The Method page: what a Run asked for, in units."""

from __future__ import annotations

import re
from html import unescape

from runs import make_run

from harness.report.pages.method import settings_in_words
from harness.report.site import tight, write
from harness.suite.schema import Measure


def test_settings_are_said_with_their_units():
    given = Measure(target_ci="2%", max_time="2.3s", block_time="80ms", trials=4).model_dump(mode="json")
    said = settings_in_words(given)
    assert said[:4] == ["target CI 2 %", "max time 2.3 s", "trials 4", "block time 80 ms"]
    assert {"huge pages no", "timeout 120 s", "build timeout 1,800 s", "seed 0"} <= set(said)


def test_a_setting_that_this_version_does_not_know_is_said_as_it_is():
    assert settings_in_words({"patience": 3, "mood": "good"}) == ["patience 3", "mood good"]


def test_the_method_page_says_them(tmp_path):
    run = make_run(tmp_path / "run")
    write([run], tmp_path / "site")
    text = (tmp_path / "site" / "method.html").read_text("utf-8").replace("\u00a0", " ")
    assert all(one in text for one in settings_in_words(run.info.settings))


def test_no_line_ends_inside_a_figure_with_its_unit():
    text = "measured 61 % of 5 m 39 s, 1 h 02 m, 28.4 k samples/s in 3 Trials of cnn"
    kept = "measured 61~% of 5~m~39~s, 1~h~02~m, 28.4~k~samples/s in 3~Trials of cnn"
    assert tight(text) == kept.replace("~", "\u00a0")


def test_no_line_ends_between_a_number_and_its_percent_or_times_sign(tmp_path):
    write([make_run(tmp_path / "run")], tmp_path / "site")
    paths = [tmp_path / "site" / name for name in ("index.html", "runs.html", "method.html")]
    paths += [*tmp_path.glob("site/boards/*.html"), *tmp_path.glob("site/models/*.html")]
    for path in paths:
        text = re.sub(r"<(svg|pre)\b.*?</\1>", "", path.read_text("utf-8"), flags=re.DOTALL)
        said = unescape(re.sub(r"<[^>]*>", "\n", text))
        assert re.findall(r".{0,30}\d [%×](?! \d)", said) == [], path.name  # 3 × 4 is a product
