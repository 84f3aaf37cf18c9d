"""Figures: text stays text, points know their Cell, colours follow the theme; odd Runs draw or decline."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from runs import TECHNIQUES, Group, Technique, make_run, vary

from harness.analysis.compare.leaderboard import boards
from harness.report.cell import by_arm, cell_view
from harness.report.drawing.palette import FAMILIES, ROLES, family_of
from harness.report.drawing.svg import drawn, inlined
from harness.report.figures.distribution import spread_of
from harness.report.figures.registry import figures
from harness.store.reading import Calls

NAMES = [figure.name for figure in figures()]
SVG = "{http://www.w3.org/2000/svg}"


def board(tmp_path, techniques=TECHNIQUES, group=None, **kwargs):
    return boards(make_run(tmp_path / "run", (group or Group(),), techniques, **kwargs))[0]


def figure(name):
    return next(item for item in figures() if item.name == name)


def test_the_page_has_its_figures_in_order():
    assert NAMES == ["tradeoff", "latency", "memory", "size", "building"]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_names_every_technique_and_links_it(tmp_path, name):
    found = board(tmp_path)
    content = drawn(figure(name).draw(found), name)
    inline = inlined(content, "p", "label", {row.cell_id: "title" for row in found.rows})
    root = ET.fromstring(inline)
    texts = {"".join(text.itertext()) for text in root.iter(f"{SVG}text")}
    assert {t.name for t in TECHNIQUES} <= texts
    cells = {group.attrib["data-cell"] for group in root.iter() if "data-cell" in group.attrib}
    assert cells == {row.cell_id for row in found.rows}
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "label"


@pytest.mark.parametrize("name", NAMES)
def test_axes_say_what_they_measure_in_which_unit(tmp_path, name):
    content = drawn(figure(name).draw(board(tmp_path)), name)
    words = {
        "tradeoff": ("speed-up over the baseline (logarithmic)", "change in top1, points"),
        "latency": ("time of one call, µs (logarithmic)",),
        "memory": ("peak resident memory, MB",),
        "size": ("Artifact size, kB",),
        "building": ("build time, s (logarithmic)",),
    }
    assert all(word in content for word in words[name])


@pytest.mark.parametrize("name", NAMES)
def test_inlined_colours_are_variables_and_ids_are_unique_to_the_figure(tmp_path, name):
    found = board(tmp_path)
    inline = inlined(drawn(figure(name).draw(found), name), "m0-g1-x", "label", {})
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", inline)
    ids = re.findall(r'\bid="([^"]+)"', inline)
    assert len(ids) == len(set(ids))
    assert all(identity.startswith("m0-g1-x-") for identity in ids)
    for target in re.findall(r'(?:href="#|url\(#)([^")]+)', inline):
        assert target in ids


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_the_same_file_every_time(tmp_path, name):
    found = board(tmp_path)
    assert drawn(figure(name).draw(found), name) == drawn(figure(name).draw(found), name)


HOSTILE = (
    "<script>alert(1)</script>",
    "$x^2$ \\frac",
    "עברית",
    "🔥🚀",
    "y" * 200,
    "a\"b'c&d",
    "line\nbreak\x07",
)


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_text_and_nothing_else(tmp_path, name):
    techniques = (TECHNIQUES[0], *(Technique(n, 1.3 + i / 3) for i, n in enumerate(HOSTILE)))
    content = drawn(figure(name).draw(board(tmp_path, techniques)), name)
    inline = inlined(content, "p", HOSTILE[0], {})
    for svg in (content, inline):
        root = ET.fromstring(svg)
        assert not list(root.iter(f"{SVG}script"))
        assert "<script>" not in svg
    texts = ["".join(text.itertext()) for text in ET.fromstring(inline).iter(f"{SVG}text")]
    assert any("$x^2$" in text for text in texts)
    assert all(len(text) < 60 for text in texts)


@pytest.mark.parametrize(
    ("techniques", "group"),
    [
        (TECHNIQUES[:1], Group()),
        (TECHNIQUES, Group(quality=None)),
        (vary("eager", status="failed", reason="boom"), Group()),
        (tuple(Technique(n, status="failed", reason="boom") for n in "abc"), Group()),
        (tuple(Technique(n, 1.0) for n in ("eager", "b", "c")), Group(noise=0.001)),
        ((TECHNIQUES[0], Technique("vast", 5000.0), Technique("lost", 2.0, drop=0.9)), Group()),
        (vary("compile", columns=dict.fromkeys(("artifact_bytes", "build_s", "latency_p50_s"))), Group()),
    ],
    ids=["one", "no-quality", "no-baseline", "all-failed", "all-equal", "extremes", "missing"],
)
def test_odd_groups_draw_or_decline(tmp_path, techniques, group):
    found = board(tmp_path, techniques, group)
    for item in figures():
        made = item.draw(found)
        if made is not None:
            assert "</svg>" in drawn(made, item.name)


def test_the_tradeoff_declines_without_quality_or_company(tmp_path):
    assert figure("tradeoff").draw(board(tmp_path / "a", group=Group(quality=None))) is None
    assert figure("tradeoff").draw(board(tmp_path / "b", TECHNIQUES[:1])) is None


def test_pyplot_is_never_touched(tmp_path):
    import sys

    for item in figures():
        item.draw(board(tmp_path / item.name))
    assert "matplotlib.pyplot" not in sys.modules


def _luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(first, second):
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_and_words_stand_out_from_the_page(theme):
    paper = getattr(ROLES["paper"], theme)
    for family in FAMILIES:
        assert _contrast(getattr(family.role, theme), paper) >= 3
    for name in ("ink", "muted", "accent", "warn"):
        assert _contrast(getattr(ROLES[name], theme), paper) >= 4.5
        assert _contrast(getattr(ROLES[name], theme), getattr(ROLES["wash"], theme)) >= 4.5


def test_families_are_told_apart_by_shape_as_well():
    drawn_ = [family for family in FAMILIES if family.key != "baseline"]
    assert len({family.marker for family in drawn_}) == len(drawn_)
    assert len({family.role.light for family in drawn_}) == len(drawn_)
    assert family_of([]).key == "runtime"
    assert family_of(["quantize", "quantize"]).key == "quantize"
    assert family_of(["prune", "quantize"]).key == "combined"
    assert family_of(["somebody-elses"]).key == "other"
    assert family_of([], "baseline").key == "baseline"


LAYERS = [
    {"name": "conv1", "operator": "Conv", "sqnr_db": 41.0, "flops_share": 0.2, "in_float": False},
    {"name": "<fc & co>", "operator": "Gemm", "sqnr_db": 8.5, "flops_share": 0.01, "in_float": True},
    {"name": "conv2", "operator": "Conv", "sqnr_db": None, "flops_share": None, "in_float": False},
]
PEAKS = [
    {
        "threads": 2,
        "rates": [{"dtype": "float32", "flop_per_s": 2e11, "side": 1024, "runs": 9, "library": "numpy"}],
        "memory_bandwidth_bytes_per_s": 1e10,
    }
]
KNOWN = {
    "arithmetic_intensity_flops_per_byte": 2.0,
    "achieved_flop_per_s": 1e10,
    "peak_flop_per_s": 2e11,
    "build_details": json.dumps([{"step": "quantize", "build_s": 1.0, "details": {"sensitivity": LAYERS}}]),
}


def cell(tmp_path, name="int8-static", **columns):
    run = make_run(tmp_path / "run", (Group(),), vary("int8-static", columns=columns), peaks=PEAKS)
    found = boards(run)[0]
    row = next(row for row in found.rows if row.technique == name)
    return cell_view(row, found, by_arm(run.blocks), Calls(run), run.info.peaks)


def drawing(name, subject, of="cell"):
    made = next(item for item in figures(of) if item.name == name).draw(subject)
    return None if made is None else ET.fromstring(made)


def words(root):
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def test_a_cells_figures_have_axes_with_units_and_name_both_arms(tmp_path):
    found = cell(tmp_path)
    spread, blocks = words(drawing("distribution", found)), words(drawing("blocks", found))
    assert any(word.startswith("time of one call, µs") for word in spread)
    assert "time of one call, median of a Block, µs" in blocks
    for shown in (spread, blocks):
        assert any(word.startswith("int8-static: ") for word in shown)
        assert any(word.startswith("eager (baseline): ") for word in shown)
    assert [word for word in blocks if word.startswith("Trial")] == ["Trial 1", "Trial 2", "Trial 3"]


def test_disturbed_blocks_are_ringed_and_no_others(tmp_path):
    found = cell(tmp_path)
    rings = [p for p in drawing("blocks", found).iter(f"{SVG}path") if "--warn" in p.attrib["style"]]
    tagged = [sum(len(tags) > 0 for tags in arm.blocks["tags"]) for arm in found.arms]
    assert sorted(ring.attrib["d"].count("M") for ring in rings) == sorted(tagged) == [3, 3]


def test_a_baseline_stands_beside_its_control(tmp_path):
    found = cell(tmp_path, "eager")
    assert [arm.name for arm in found.arms] == ["eager", "control (same code)"]


def test_too_few_calls_have_no_distribution(tmp_path):
    found = cell(tmp_path)
    first = found.arms[0]
    few = replace(found, arms=(replace(first, trials_s=[first.trials_s[0][:2]]), *found.arms[1:]))
    assert drawing("distribution", few) is None


def test_percentiles_are_marked_only_where_enough_was_timed_and_trials_count_the_same(tmp_path):
    first = cell(tmp_path).arms[0]
    fast, slow = np.full(900, 1e-3), np.full(100, 2e-3)
    uneven = spread_of(replace(first, trials_s=[fast, slow]))
    assert [mark.q for mark in uneven.marks] == [0.5, 0.9]  # as good as 360 calls: too few for the 99th
    assert {mark.q: mark.value for mark in uneven.marks}[0.9] == pytest.approx(2e-3)  # pooled: 1 ms
    assert [mark.q for mark in spread_of(replace(first, trials_s=[fast[:40]])).marks] == [0.5]
    assert [mark.q for mark in spread_of(replace(first, trials_s=[fast])).marks] == [0.5, 0.9, 0.99]


def test_axes_name_what_was_timed(tmp_path):
    run = make_run(tmp_path / "run", (Group(scenario="server"),), TECHNIQUES[:3])
    found = boards(run)[0]
    view = cell_view(found.rows[0], found, by_arm(run.blocks), Calls(run))
    assert any(
        w.startswith("latency of one query since it was due, µs")
        for w in words(drawing("distribution", view))
    )
    assert "latency of one query since it was due, µs (logarithmic)" in drawn(
        figure("latency").draw(found), "x"
    )


def test_the_roofline_says_the_share_of_the_peak(tmp_path):
    assert drawing("roofline", cell(tmp_path / "a")) is None  # nothing known of its bytes
    shown = words(drawing("roofline", cell(tmp_path / "b", **KNOWN)))
    assert "int8-static: 5.0 %" in shown
    assert "float32 peak 200 GFLOP/s" in shown
    assert "arithmetic intensity, FLOP/byte (logarithmic)" in shown
    waiting = words(drawing("roofline", cell(tmp_path / "c", **KNOWN, utilization=0.25)))
    assert "int8-static: 20 %" in waiting  # of the time in which there was a query to answer


def test_sensitivity_lists_layers_worst_first_with_those_in_float_hollow(tmp_path):
    found = cell(tmp_path, **KNOWN)
    root = drawing("sensitivity-cell", found)
    shown = words(root)
    assert [word for word in shown if word in {layer["name"] for layer in LAYERS}] == [
        "<fc & co>",
        "conv1",
        "conv2",
    ]
    assert "8 dB · 1.0 %" in shown
    assert sum("--warn" in path.attrib["style"] for path in root.iter(f"{SVG}path")) == 1
    assert words(drawing("sensitivity", found.board, "family")) == shown
    assert drawing("sensitivity-cell", cell(tmp_path / "other")) is None


@pytest.mark.parametrize("name", ["speedsize", "payback"])
def test_a_familys_figures_name_and_link_every_technique(tmp_path, name):
    found = board(tmp_path)
    item = next(item for item in figures("family") if item.name == name)
    root = ET.fromstring(inlined(drawn(item.draw(found), name), "p", "label", {}))
    assert {t.name for t in TECHNIQUES} <= set(words(root))
    assert {g.attrib["data-cell"] for g in root.iter() if "data-cell" in g.attrib} >= {
        row.cell_id for row in found.rows
    }


def test_the_budgets_name_covers_no_point(tmp_path):
    """A point that is fast and just over the budget lies where the name used to be."""
    techniques = (*TECHNIQUES[:3], Technique("fast", 9.0, drop=0.005))
    found = board(tmp_path, techniques)
    made = figure("tradeoff").draw(found)
    axes = made.axes[0]
    box = next(text for text in axes.texts if text.get_text().startswith("budget")).get_window_extent()
    assert axes.get_window_extent().y0 <= box.y0
    for row in found.rows:
        x, y = axes.transData.transform((row.speedup, -row.quality_loss))
        assert not (box.x0 < x + 5 and x - 5 < box.x1 and box.y0 < y + 5 and y - 5 < box.y1)


LONG = "pruned-int8-replicas-2"


def test_the_pay_back_names_a_line_whole_where_there_is_room(tmp_path):
    payback = next(item for item in figures("family") if item.name == "payback")
    found = board(tmp_path / "a", (TECHNIQUES[0], Technique(LONG, 3.0), Technique("w" * 80, 2.0)))
    made = payback.draw(found)
    texts = [text for text in made.axes[0].texts if text.get_text()]
    names = [text.get_text() for text in texts]
    assert LONG in names
    assert any(name.startswith("www") and "…" in name for name in names)
    assert all(text.get_window_extent().x1 <= made.get_window_extent().x1 for text in texts)
    short = payback.draw(board(tmp_path / "b", TECHNIQUES[:2]))
    assert (
        short.axes[0].get_position().width > made.axes[0].get_position().width
    )  # no room is kept for nobody
