"""The site: complete, self-contained, escaped, and honest about what it leaves out."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import replace

import pytest
from pages import page, whole
from runs import GROUPS, MACHINE, TECHNIQUES, Group, Technique, empty_run, make_run, vary

from harness.errors import StoreError
from harness.report.absent import excerpt
from harness.report.figures.payback import spread
from harness.report.gathering import newest
from harness.report.links import unique
from harness.report.site import tight, write
from harness.store.info import Times


def usual(tmp_path, **kwargs):
    techniques = (
        *vary("int8-dynamic", audit="failed", warnings=("audit: off by 2.1e-01",)),
        Technique("tensorrt", status="skipped", reason="needs an NVIDIA GPU", runtime="tensorrt"),
        Technique("openvino", status="failed", reason="Unsupported operator", runtime="openvino"),
    )
    return make_run(tmp_path / "run", GROUPS, techniques, **kwargs)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the usual Run's site, and its pages."""
    folder = tmp_path_factory.mktemp("site")
    return folder / "out", whole(folder / "out", [usual(folder, notices=["one Trial was repeated"])])


def test_holds_what_where_when_and_the_answers(site):
    _, found = site
    board = next(name for name in found if name.startswith("boards/online"))
    for name, words in (
        ("index.html", "digits"),
        ("index.html", "2025-03-14 15:09:26 UTC"),
        ("index.html", "4be1d8c0a9"),
        ("index.html", "AMD EPYC 7B13, 2 cores, 8 GiB"),
        ("index.html", "measured 61 % of 4 m 02 s"),
        ("index.html", "fastest within 0.5 points of the baseline’s"),
        ("index.html", "one Trial was repeated"),
        ("index.html", "harness run suites/digits.yaml"),
        (board, "noise floor ±"),
        ("method.html", "How it was measured"),
        ("method.html", "662 for the 99th"),
        ("machines.html", "the hypervisor took the cores away"),
        ("runs.html", "2025-03-14 15:09"),
    ):
        assert words in found[name].text.replace("\u202f", " ").replace("\u00a0", " "), words


def test_there_is_a_page_for_each_board_model_family_and_cell(site):
    _, found = site
    kinds = Counter(name.split("/")[0] for name in found if "/" in name)
    assert kinds == {"boards": 2, "models": 1, "families": 4, "cells": 2 * (len(TECHNIQUES) + 2)}
    assert {name for name in found if "/" not in name} == {
        "index.html",
        "machines.html",
        "method.html",
        "runs.html",
    }


def test_tags_nest_and_ids_are_unique(site):
    for name, found in site[1].items():
        assert found.unbalanced == [], name
        assert found.open == [], name
        ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
        assert len(ids) == len(set(ids)), name


def test_links_and_controls_lead_somewhere(site):
    out, found = site
    ids = {name: {a["id"] for _, a in one.tags if "id" in a} for name, one in found.items()}
    reached = set()
    for name, one in found.items():
        for _, attrs in one.tags:
            href = attrs.get("href") or attrs.get("xlink:href") or attrs.get("src") or ""
            if href.startswith("data:"):
                continue
            path, _, fragment = href.partition("#")
            target = (out / name).parent / path if path else out / name
            assert target.is_file(), (name, href)
            key = target.resolve().relative_to(out.resolve()).as_posix()
            reached.add(key)
            assert not fragment or fragment in ids[key], (name, href)
            for control in ("aria-controls", "aria-labelledby"):
                assert attrs.get(control, next(iter(ids[name]))) in ids[name]
    assert set(found) <= reached  # no page that nothing leads to


def test_asks_for_nothing_from_the_network(site):
    out, _ = site
    for path in (*out.rglob("*.html"), *out.rglob("*.css"), *out.rglob("*.js")):
        text = path.read_text("utf-8")
        for match in re.findall(r'(?:src|href)="([^"]*)"', text):
            assert not re.match(r"(?:[a-z]+:)?//", match)
        assert "default-src 'none'" in text or path.suffix != ".html"
        assert "@import" not in text
        assert "url(http" not in text


def test_who_is_not_on_the_board_is_named_with_reason_and_log(site):
    _, pages = site
    found = pages["index.html"]
    assert "needs an NVIDIA GPU" in found.text
    assert "build: Unsupported operator" in found.text
    assert "RuntimeError: Unsupported operator" in found.text
    assert "step 3: ok" not in found.text  # only the end of a log
    assert "failed its audit" in found.text
    folded = "".join(found.text.split())
    assert "2Cellscnn/tensorrt/online,bulk/cpuskippedneedsanNVIDIAGPU" in folded
    assert "2Cellscnn/sparse-80/online,bulk/cpuwarningzerosdonotspeedup" in folded
    boards = [one for name, one in pages.items() if name.startswith("boards/")]
    rows = [a for one in boards for a in one.all("tbody") if "data-cell" in a]
    assert len(rows) == 2 * (len(TECHNIQUES) - 1)


def test_a_run_shows_where_its_time_went_if_it_knows(tmp_path, site):
    assert "Where the time went" not in site[1]["index.html"].text
    times = Times(wall_s=200.0, timed_s=100.0, between_blocks_s=30.0, build_s=70.0, rest_s=0.0)
    text = whole(tmp_path / "out", [usual(tmp_path, times=times)])["index.html"].text
    for part in ("builds1m10s35%", "betweenBlocks30s15%", "walltime3m20s100%"):
        assert part in "".join(text.split())


def test_a_cells_page_tells_its_record_its_steps_and_how_to_repeat_it(site):
    _, pages = site
    titles = {name: one for name, one in pages.items() if name.startswith("cells/")}
    cell = next(one for one in titles.values() if "int8-static — " in one.text and "online" in one.text)
    for words in (
        "faster than the baseline",
        "quantize: dtype int8",
        "git checkout 4be1d8c0a93f",
        "Noise in its 36 Blocks: steal in 3",
        "latency_p50_s",
        "peak in the timed Blocks",
    ):
        assert words in cell.text, words
    assert len(cell.all("figure")) == 2
    failed = next(one for one in titles.values() if "Unsupported operator" in one.text)
    assert "RuntimeError: Unsupported operator" in failed.text
    assert failed.all("figure") == []


def test_a_family_page_says_after_how_many_calls_a_build_pays_back(tmp_path):
    pages = whole(tmp_path / "out", [make_run(tmp_path / "run")])
    text = pages["families/quantize.html"].text.replace("\u202f", " ").replace("\u00a0", " ")
    assert "6 of 6 Cells are faster than their baseline; 2 of them exceed the quality budget." in text
    assert re.search(r"The largest speed-up: int8-static — 3\.\d\d ×", text)
    assert "int8-static" in text
    assert "pruned-int8" in text
    assert "pruned-50" not in text
    # int8-static saves 400 µs × (1 − 1 / 3.12) a call and takes 3.35 s more to build: about 12,300 calls.
    found = re.search(r"int8-static .*?3\.40 s ([\d.]+) k calls", text)
    assert float(found[1]) == pytest.approx(12.3, rel=0.05)


def test_pages_that_are_made_no_more_are_removed_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    whole(out, [make_run(tmp_path / "a")])
    (out / "cells" / "mine.html").write_text("kept")
    pages = whole(out, [make_run(tmp_path / "b", GROUPS[:1], TECHNIQUES[:2])])
    assert sum(name.startswith("cells/") for name in pages) == 3
    assert (out / "cells" / "mine.html").read_text() == "kept"
    assert not (out / "families" / "prune.html").exists()


HOSTILE = (
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "</style><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "'\u202eesrever",
    "z" * 200,
    "🔥 & 🚀",
)


def test_hostile_names_are_shown_and_never_run(tmp_path):
    techniques = (
        TECHNIQUES[0],
        *(Technique(n, 1.2 + i / 4, warnings=(n,)) for i, n in enumerate(HOSTILE)),
        Technique("x", status="failed", reason=HOSTILE[2]),
    )
    groups = (Group(HOSTILE[0], HOSTILE[2], HOSTILE[3]), Group())
    machine = {**MACHINE, "identity": {"cpu": HOSTILE[0]}}
    run = make_run(
        tmp_path / "run", groups, techniques, suite=HOSTILE[0], machine=machine, notices=list(HOSTILE)
    )
    pages = whole(tmp_path / "out", [run], [HOSTILE[2]])
    for found in pages.values():
        assert len(found.all("script")) == 1
        assert found.all("img") == []
        assert not any(name.startswith("on") for _, a in found.tags for name in a)
        assert "49" not in [word.strip() for word in found.words]
        assert found.unbalanced == []
    for name in HOSTILE[:4]:
        assert name in "".join(pages["index.html"].words)


def test_several_machines_are_shown_apart_and_only_their_newest_run(tmp_path):
    other = {**MACHINE, "id": "ffff", "identity": {"cpu": "Other CPU"}}
    runs = [
        make_run(tmp_path / "a", GROUPS[:1], TECHNIQUES[:3], started_at="2025-01-01T00:00:00+00:00"),
        make_run(tmp_path / "b", GROUPS[:1], TECHNIQUES[:3], started_at="2025-01-03T00:00:00+00:00"),
        make_run(
            tmp_path / "c", GROUPS[:1], TECHNIQUES[:3], machine=other, started_at="2025-01-02T00:00:00+00:00"
        ),
    ]
    found = [[run.info.started_at[:10] for run in history] for history in newest(runs)]
    assert found == [["2025-01-03", "2025-01-01"], ["2025-01-02"]]
    pages = whole(tmp_path / "out", runs)
    found = pages["index.html"]
    assert len(found.all("section", **{"class": "run"})) == 2
    assert "The newest of 2 Runs on this machine" in found.text
    assert "Other CPU" in found.text
    assert found.unbalanced == []
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert len(list((tmp_path / "out" / "figures").glob("*tradeoff*"))) == 2
    assert "cnn · online · cpu" in pages["machines.html"].text
    assert pages["runs.html"].text.count("2025-01-0") == 3


@pytest.mark.parametrize(
    "kind", ["empty", "all-failed", "no-quality", "no-control", "one", "no-baseline", "bare", "missing"]
)
def test_odd_runs_make_a_page(tmp_path, kind):
    run = {
        "empty": lambda p: empty_run(p),
        "all-failed": lambda p: make_run(
            p, GROUPS, tuple(replace(t, status="failed", reason="boom") for t in TECHNIQUES)
        ),
        "no-quality": lambda p: make_run(p, (Group(quality=None),)),
        "no-control": lambda p: make_run(p, control=False),
        "one": lambda p: make_run(p, GROUPS, TECHNIQUES[:1]),
        "no-baseline": lambda p: make_run(p, GROUPS, vary("eager", status="failed", reason="boom")),
        "bare": lambda p: make_run(
            p, commit=None, machine={}, versions={}, settings={}, quality={}, grade={}, suite_text=""
        ),
        "missing": lambda p: make_run(p, GROUPS, vary("compile", columns=NOTHING)),
    }[kind](tmp_path / "run")
    for name, found in whole(tmp_path / "out", [run]).items():
        assert found.unbalanced == [], name
        assert "nan" not in found.text.lower().split(), name
        assert "None" not in found.text.split(), name
    json.loads((tmp_path / "out" / "board.json").read_text())


MISSING = """
    artifact_bytes artifact_key build_s build_details parameters flops_per_sample latency_p50_s latency_p90_s
    latency_p99_s latency_mean_s throughput_samples_per_s import_s load_s first_call_s rss_empty_bytes
    peak_rss_load_bytes peak_rss_first_call_bytes peak_rss_steady_bytes pss_bytes steady warmup_calls
    calls blocks trials families warnings pipeline log audit
"""
NOTHING = dict.fromkeys(MISSING.split())


def test_no_runs_and_damaged_ones_are_said_so(tmp_path):
    found = page(tmp_path / "out", [], ["results/x/run.json is damaged"])
    assert "results/x/run.json is damaged" in found.text
    assert "There is no Run to show" in found.text


def test_a_doubtful_run_warns_above_its_answers(tmp_path, site):
    run = make_run(tmp_path / "run", grade={"letter": "D", "reasons": ["72 % was lost"], "remedies": []})
    found = page(tmp_path / "out", [run])
    assert "Trust grade D. Noise disturbed this Run (72 % was lost)" in found.text
    assert "Trust grade" not in site[1]["index.html"].text


def test_downloads_hold_all_records_and_are_safe_to_open(tmp_path):
    techniques = (*TECHNIQUES, Technique("=cmd|calc", 1.5), Technique("gone", status="skipped", reason="no"))
    write([make_run(tmp_path / "run", GROUPS, techniques)], tmp_path / "out", [])
    text = (tmp_path / "out" / "cells.csv").read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 2 * len(techniques)
    best = next(row for row in rows if row["technique"] == "int8-static")
    assert float(best["speedup"]) == pytest.approx(3.12, rel=0.05)
    assert best["families"] == "quantize"
    assert best["blocks"] == "36"
    assert any(row["technique"] == "'=cmd|calc" for row in rows)
    content = json.loads((tmp_path / "out" / "board.json").read_text())
    groups = content["runs"][0]["groups"]
    assert len(groups) == 2
    assert groups[0]["best"] == next(
        row["cell_id"] for row in groups[0]["rows"] if row["technique"] == "pruned-50"
    )
    assert groups[0]["left_out"][0]["reason"] == "no"


def test_writing_again_replaces_the_page(tmp_path):
    out = tmp_path / "out"
    page(out, [usual(tmp_path / "a")])
    assert (
        "only the baseline was measured"
        in page(out, [make_run(tmp_path / "b", techniques=TECHNIQUES[:1])]).text
    )


def test_a_place_that_cannot_be_written_is_an_error_for_people(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StoreError, match="cannot write"):
        write([empty_run(tmp_path / "run")], tmp_path / "out", [])


def test_logs_are_read_only_from_inside_the_run(tmp_path):
    run = tmp_path / "run"
    (run / "logs").mkdir(parents=True)
    (tmp_path / "secret.log").write_text("secret")
    (run / "logs" / "a.log").write_bytes(b"\x1b[31mred\xff\n" + b"x" * 5000 + b"\n\nlast\n")
    assert excerpt(run, "../secret.log") == ""
    assert excerpt(run, str(tmp_path / "secret.log")) == ""
    assert excerpt(run, "logs/none.log") == ""
    assert excerpt(run, None) == ""
    lines = excerpt(run, "logs/a.log").splitlines()
    assert lines[-1] == "last"
    assert "\x1b" not in lines[0]
    assert max(map(len, lines)) == 300


def test_numbers_keep_their_units_on_the_line():
    assert tight("109 kB of 3 items (2 x)") == "109\u00a0kB of 3\u00a0items (2\u00a0x)"


def test_several_suites_make_one_site_and_are_told_apart(tmp_path):
    runs = [make_run(tmp_path / "a", GROUPS[:1], TECHNIQUES[:3]), make_run(tmp_path / "b", suite="other")]
    pages = whole(tmp_path / "out", runs)
    assert "other · AMD EPYC 7B13" in pages["index.html"].text
    assert sum(name.startswith("boards/") for name in pages) == 3
    assert sum(name.startswith("cells/") for name in pages) == 3 + 2 * len(TECHNIQUES)


def test_a_damaged_newest_run_is_named_and_the_one_before_takes_its_place(tmp_path):
    old = make_run(tmp_path / "old", GROUPS[:1], TECHNIQUES[:3], started_at="2025-01-01T00:00:00+00:00")
    new = make_run(tmp_path / "new", GROUPS[:1], TECHNIQUES[:3])
    (new.folder / "blocks.parquet").write_bytes(b"PAR1 torn")
    found = page(tmp_path / "out", [old, new])
    assert "blocks.parquet is damaged" in found.text
    assert "2025-01-01 00:00:00 UTC" in found.text


def test_names_become_files_that_no_other_name_has():
    names = ("A b", "a b", "a-b", "a.b", "", "🔥", "x" * 200, "x" * 201, "../up", "CON/..\\x")
    stems = [unique(name) for name in names]
    assert len({stem.lower() for stem in stems}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9.-]{1,60}", stem) and not stem.startswith(".") for stem in stems)
    assert unique("a-b", "c") != unique("a", "b-c")


def test_lines_names_are_pushed_apart_and_stay_in_order():
    assert spread([0, 1, 2, 50], 10, 100) == [0, 10, 20, 50]
    assert spread([95, 96, 97], 10, 100) == [80, 90, 100]
