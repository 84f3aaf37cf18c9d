"""One page for each technique family that the Runs hold: what it gains, what it costs, when it pays back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.records.roofline import peaks_for
from harness.analysis.words import numbers as say
from harness.analysis.words.headline import Sentence, code, sentence, strong
from harness.analysis.words.payback import pay_back
from harness.analysis.words.peaks import machine_in_words
from harness.report.drawing.palette import BY_KEY
from harness.report.gathering import Site
from harness.report.glance import Glance, glance
from harness.report.group import Drawing, GroupView, drawings, group_stem
from harness.report.links import cell_path, family_path, unique
from harness.report.page import RunView
from harness.report.pages.registry import Document, page
from harness.report.tables import Line


@dataclass(frozen=True)
class Shown:
    """A family in one Group: its rows with what pays its build back, its figures, and what of the machine
    bears on it.
    """

    view: RunView
    group: GroupView
    lines: list[tuple[Line, str]]
    drawings: list[Drawing]
    machine: list[str]


@dataclass(frozen=True)
class Overview:
    """A family in all Groups of one Run that measured it: technique × Group, and what each Group is called.

    `shared` is what all of them have in common, told once; `heads` what tells them apart. `nowhere`:
    techniques of the family without a figure in any Group, each with its first Cell's page, state and reason.
    """

    view: RunView
    glance: Glance
    shared: str
    heads: list[str]
    nowhere: list[tuple[str, str, str, str]]


@page("family", "Techniques", order=40)
def make(site: Site) -> Iterator[Document]:
    """One document for each family; a technique of two families is on both pages."""
    rows = [line.record for view in site.views for group in view.groups for line in group.table.lines]
    found = dict.fromkeys(key for row in rows for key in families_of(row))
    for key in sorted(found, key=lambda key: (list(BY_KEY).index(key) if key in BY_KEY else 99, key)):
        label = title(key)
        yield Document(family_path(key), label, "family.html", partial(_data, site, key, label), label)


def families_of(row: Comparison) -> list[str]:
    """Return the families whose pages a row is on; without a step, what differs is compiler and runtime."""
    if row.arm == "baseline":
        return []
    return sorted(set(row.families or ())) or ["runtime"]


def title(key: str) -> str:
    """Name a family for a reader."""
    names = {
        "runtime": "Compilers and runtimes",
        "quantize": "Quantization",
        "prune": "Pruning",
        "replicate": "Replication",
        "precision": "Precision",
    }
    return names.get(key, say.short(key, 40).capitalize())


def _data(site: Site, key: str, label: str) -> dict[str, Any]:
    shown: list[Shown] = []
    for view in site.views:
        for group in view.groups:
            part = _shown(view, group, key, png=site.png)
            if part and any(part.machine == before.machine for before in shown):
                part = replace(part, machine=[])  # what the machine can do is said once
            if part:
                shown.append(part)
    files = {
        f"figures/{name}": content
        for part in shown
        for drawing in part.drawings
        for name, content in drawing.files.items()
    }
    return {
        "name": label,
        "shown": shown,
        "files": files,
        "lead": lead(site, shown),
        "overviews": [_overview(view, shown, key) for view in site.views if _of(view, shown)],
        "limited": any(part.group.board.limited for part in shown),
    }


def _of(view: RunView, shown: list[Shown]) -> list[GroupView]:
    return [part.group for part in shown if part.view is view]


def _overview(view: RunView, shown: list[Shown], key: str) -> Overview:
    """The overview of one Run: machines and suites are never put into one table."""
    groups = _of(view, shown)
    shared, heads = told_apart([_parts(group) for group in groups])
    found = glance(groups, lambda row: key in families_of(row))
    return Overview(view, found, shared, heads, _nowhere(view, key))


def _nowhere(view: RunView, key: str) -> list[tuple[str, str, str, str]]:
    """Techniques of the family that have no figure in any Group of a Run."""
    shown = {line.record.technique for group in view.groups for line in group.table.lines}
    found: dict[str, tuple[str, str, str, str]] = {}
    for group in view.groups:
        for row in group.board.left_out:
            if key in families_of(row) and row.technique not in shown:
                path = cell_path(view.key, row.cell_id)
                why = say.short(row.reason or "no reason was recorded", 200)
                found.setdefault(row.technique, (row.technique, path, row.status, why))
    return list(found.values())


def _parts(group: GroupView) -> list[str]:
    place = group.board.group
    return [say.short(part, 40) for part in (place.model, place.workload, place.hardware)]


def told_apart(places: list[list[str]]) -> tuple[str, list[str]]:
    """Return what all places end in, and what is left of each: cnn, mlp, all of them online · cpu."""
    if len(places) < 2:
        return "", [" · ".join(place) for place in places]
    same = 0
    while all(len(place) > same + 1 and place[-1 - same] == places[0][-1 - same] for place in places):
        same += 1
    return " · ".join(places[0][len(places[0]) - same :]), [" · ".join(p[: len(p) - same]) for p in places]


def lead(site: Site, shown: list[Shown]) -> Sentence:
    """Say in one sentence what the family is good for: how many Cells gain, and the best of them."""
    rows = [(part, line.record) for part in shown for line, _ in part.lines]
    faster = [(part, row) for part, row in rows if row.verdict == "faster"]
    over = sum(row.within_budget is False for _, row in faster)
    counts = f"{len(faster)} of {len(rows)} Cells are certainly faster than their baseline"
    counts += f", {over} of them over the quality budget" if over else ""
    good = [(part, row) for part, row in faster if row.within_budget or not part.group.board.limited]
    if not good:
        return sentence(f"{counts}.")
    part, best = max(good, key=lambda found: found[1].speedup or 0.0)
    where = site.placed(part.view, part.group.place)
    gain = f" ({say.factors(best.speedup_low, best.speedup_high)}), {where}."
    speed = strong(f"{say.factor(best.speedup)} ×")
    return sentence(f"{counts}. The largest gain: ", code(best.technique), " — ", speed, gain)


def _shown(view: RunView, group: GroupView, key: str, *, png: bool) -> Shown | None:
    lines = [line for line in group.table.lines if key in families_of(line.record)]
    if not lines:
        return None
    board = group.board.only({line.record.cell_id for line in lines})
    stem = f"{group_stem(board)}-{view.key}-{unique(key)}"
    return Shown(
        view,
        group,
        [(line, pay_back(line.record)) for line in lines],
        drawings(board, "family", f"{group.key}-{len(lines)}", stem, png=png),
        _machine(view, lines),
    )


def _machine(view: RunView, lines: list[Line]) -> list[str]:
    """What fewer bits can gain here at all; nothing where no row has any."""
    if not any(line.record.low_precision_weight_share for line in lines):
        return []
    peaks = peaks_for(lines[0].record, view.run.info.peaks)
    return machine_in_words(peaks) if peaks else []
