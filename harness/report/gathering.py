"""What the site shows: the newest Run of each suite and machine in full, all others as a line in a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.errors import StoreError
from harness.report.links import unique
from harness.report.page import RunView, machine_name, run_view
from harness.store.info import RunInfo
from harness.store.reading import Run

MAXIMUM = 12
"""Runs shown in full at most, newest first: a site of hundreds of machines would be read by nobody."""


@dataclass(frozen=True)
class Site:
    """All that pages are made of.

    `views`: Runs shown in full, newest first. `infos`: every Run that can be read, newest first. `machines`:
    what each machine is called, by its key. `faults`: a sentence for each Run that cannot be read.
    `png`: whether figures are PNG files too.
    """

    views: list[RunView]
    infos: list[RunInfo]
    machines: dict[str, str]
    faults: list[str]
    png: bool = False

    @cached_property
    def suites(self) -> list[str]:
        """Names of the suites shown."""
        return sorted({view.run.info.suite for view in self.views})

    @property
    def title(self) -> str:
        """What the site is about."""
        return " · ".join(self.suites) or "nothing measured"

    @property
    def mixed(self) -> bool:
        """Whether the site holds more than one Run in full."""
        return len(self.views) > 1

    def machine_of(self, info: RunInfo) -> str:
        """What a Run's machine is called."""
        return self.machines[machine_key(info)]

    def placed(self, view: RunView, place: str) -> str:
        """Name something of a shown Run, so that it is told from the same of another."""
        return f"{place} · {self.named(view)}" if self.mixed else place

    def named(self, view: RunView) -> str:
        """Tell a shown Run from the others: its machine, and its suite where there are several."""
        return f"{view.run.info.suite} · {view.machine}" if len(self.suites) > 1 else view.machine


def gather(runs: Sequence[Run], faults: Sequence[str] = (), *, png: bool = False) -> Site:
    """Prepare the site. A Run that turns out damaged is named, and the one before it takes its place."""
    views: list[RunView] = []
    told = list(faults)
    infos = sorted((run.info for run in runs), key=lambda info: info.started_at, reverse=True)
    machines = machine_names(infos)
    for history in newest(runs)[:MAXIMUM]:
        for index, run in enumerate(history):
            machine = machines[machine_key(run.info)]
            try:
                earlier = len(history) - 1 - index
                views.append(run_view(run, run_key(run.info), machine, earlier, png=png))
            except StoreError as error:
                told.append(str(error))
                continue
            break
    return Site(views, infos, machines, told, png)


def newest(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the Runs of each suite and machine, newest first; what was measured last comes first."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.info.started_at, reverse=True):
        found.setdefault((run.info.suite, machine_key(run.info)), []).append(run)
    return list(found.values())


def machine_key(info: RunInfo) -> str:
    """What tells machines apart."""
    return str(info.machine.get("id") or info.machine.get("slug") or "unknown")


def machine_names(infos: Sequence[RunInfo]) -> dict[str, str]:
    """Name all machines; those that would be called the same have their key behind the name."""
    names = {machine_key(info): machine_name(info.machine) for info in reversed(infos)}
    often = Counter(names.values())
    return {key: name if often[name] == 1 else f"{name} ({key})" for key, name in names.items()}


def run_key(info: RunInfo) -> str:
    """Return a name for the pages of a suite on a machine that is the same in every site."""
    return unique(info.suite, machine_key(info))
