"""The page: complete, self-contained, escaped, and honest about what it leaves out."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from runs import GROUPS, MACHINE, TECHNIQUES, Group, Technique, empty_run, make_run, vary

from harness.errors import StoreError
from harness.report.logs import excerpt
from harness.report.site import newest, tight, write

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags nest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words, self.unbalanced = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag, **attrs):
        return [a for t, a in self.tags if t == tag and all(a.get(k) == v for k, v in attrs.items())]

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def page(out, runs, faults=()):
    return Reader(write(runs, out, list(faults)).read_text("utf-8"))


def usual(tmp_path, **kwargs):
    techniques = (
        *vary("int8-dynamic", audit="failed", warnings=("audit: off by 2.1e-01",)),
        Technique("tensorrt", status="skipped", reason="needs an NVIDIA GPU", runtime="tensorrt"),
        Technique("openvino", status="failed", reason="Unsupported operator", runtime="openvino"),
    )
    return make_run(tmp_path / "run", GROUPS, techniques, **kwargs)


def test_holds_what_where_when_and_the_answers(tmp_path):
    found = page(tmp_path / "out", [usual(tmp_path, notices=["one Trial was repeated"])])
    for words in (
        "digits",
        "2025-03-14 15:09:26 UTC",
        "4be1d8c0a9",
        "AMD EPYC 7B13, 2 cores, 8 GiB",
        "measured 61 % of 4 m 02 s",
        "Fastest within 0.5\u00a0points of the baseline’s",
        "one Trial was repeated",
        "noise floor ±",
        "How it was measured",
        "662 for the 99th",
        "harness run suites/digits.yaml",
    ):
        assert words in found.text.replace("\u202f", " ") or words.replace("\u00a0", " ") in found.text, words


def test_tags_nest_and_ids_are_unique(tmp_path):
    found = page(tmp_path / "out", [usual(tmp_path)])
    assert found.unbalanced == []
    assert found.open == []
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_links_and_controls_lead_somewhere(tmp_path):
    out = tmp_path / "out"
    found = page(out, [usual(tmp_path)])
    ids = {attrs["id"] for _, attrs in found.tags if "id" in attrs}
    for _, attrs in found.tags:
        href = attrs.get("href") or attrs.get("xlink:href") or ""
        if href.startswith("#"):
            assert href[1:] in ids
        elif href and not href.startswith("data:"):
            assert (out / href).is_file(), href
        for name in ("aria-controls", "aria-labelledby"):
            assert attrs.get(name, next(iter(ids))) in ids


def test_asks_for_nothing_from_the_network(tmp_path):
    text = write([usual(tmp_path)], tmp_path / "out", []).read_text("utf-8")
    for match in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert not re.match(r"(?:https?:)?//", match)
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert not Reader(text).all("script", src="")


def test_who_is_not_on_the_board_is_named_with_reason_and_log(tmp_path):
    found = page(tmp_path / "out", [usual(tmp_path)])
    assert "needs an NVIDIA GPU" in found.text
    assert "build: Unsupported operator" in found.text
    assert "RuntimeError: Unsupported operator" in found.text
    assert "step 3: ok" not in found.text  # only the end of a log
    assert "failed its audit" in found.text
    rows = [a for a in found.all("tbody") if "data-cell" in a]
    assert len(rows) == 2 * (len(TECHNIQUES) - 1)


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
    found = page(tmp_path / "out", [run], [HOSTILE[2]])
    assert len(found.all("script")) == 1
    assert found.all("img") == []
    assert not any(name.startswith("on") and tag != "form" for tag, a in found.tags for name in a)
    assert "49" not in [word.strip() for word in found.words]
    assert found.unbalanced == []
    for name in HOSTILE[:4]:
        assert name in "".join(found.words)


def test_several_machines_are_shown_apart_and_only_their_newest_run(tmp_path):
    other = {**MACHINE, "id": "ffff", "identity": {"cpu": "Other CPU"}}
    runs = [
        make_run(tmp_path / "a", GROUPS[:1], TECHNIQUES[:3], started_at="2025-01-01T00:00:00+00:00"),
        make_run(tmp_path / "b", GROUPS[:1], TECHNIQUES[:3], started_at="2025-01-03T00:00:00+00:00"),
        make_run(
            tmp_path / "c", GROUPS[:1], TECHNIQUES[:3], machine=other, started_at="2025-01-02T00:00:00+00:00"
        ),
    ]
    assert [(run.info.started_at[:10], earlier) for run, earlier in newest(runs)] == [
        ("2025-01-03", 1),
        ("2025-01-02", 0),
    ]
    found = page(tmp_path / "out", runs)
    assert len(found.all("section", **{"class": "run"})) == 2
    assert "The newest of 2 Runs on this machine" in found.text
    assert "Other CPU" in found.text
    assert found.unbalanced == []
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert len(list((tmp_path / "out" / "figures").iterdir())) == 10


@pytest.mark.parametrize(
    "kind", ["empty", "all-failed", "no-quality", "no-shadow", "one", "no-baseline", "bare", "missing"]
)
def test_odd_runs_make_a_page(tmp_path, kind):
    run = {
        "empty": lambda p: empty_run(p),
        "all-failed": lambda p: make_run(
            p, GROUPS, tuple(replace(t, status="failed", reason="boom") for t in TECHNIQUES)
        ),
        "no-quality": lambda p: make_run(p, (Group(quality=None),)),
        "no-shadow": lambda p: make_run(p, shadow=False),
        "one": lambda p: make_run(p, GROUPS, TECHNIQUES[:1]),
        "no-baseline": lambda p: make_run(p, GROUPS, vary("eager", status="failed", reason="boom")),
        "bare": lambda p: make_run(
            p, commit=None, machine={}, versions={}, settings={}, quality={}, grade={}, suite_text=""
        ),
        "missing": lambda p: make_run(p, GROUPS, vary("compile", columns=NOTHING)),
    }[kind](tmp_path / "run")
    found = page(tmp_path / "out", [run])
    assert found.unbalanced == []
    assert "nan" not in found.text.lower().split()
    assert "None" not in found.text.split()
    json.loads((tmp_path / "out" / "board.json").read_text())


MISSING = """
    artifact_bytes artifact_key build_s build_details parameters flops_per_item latency_p50_s latency_p90_s
    latency_p99_s latency_mean_s throughput_items_per_s import_s load_s first_call_s rss_empty_bytes
    peak_rss_load_bytes peak_rss_first_call_bytes peak_rss_steady_bytes pss_bytes steady warmup_calls
    samples blocks trials families warnings pipeline log audit
"""
NOTHING = dict.fromkeys(MISSING.split())


def test_no_runs_and_damaged_ones_are_said_so(tmp_path):
    found = page(tmp_path / "out", [], ["results/x/run.json is damaged"])
    assert "results/x/run.json is damaged" in found.text
    assert "There is no Run to show" in found.text


def test_a_doubtful_run_warns_above_its_answers(tmp_path):
    run = make_run(tmp_path / "run", grade={"letter": "D", "reasons": ["72 % was lost"], "remedies": []})
    found = page(tmp_path / "out", [run])
    assert "Trust grade D. The machine was disturbed while this was measured (72 % was lost)" in found.text
    assert "Trust grade" not in page(tmp_path / "b", [usual(tmp_path / "u")]).text


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
        "Only the baseline was measured"
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
