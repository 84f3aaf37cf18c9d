"""`harness noise`: how often is identical code called changed here, and a slowed-down one slower?"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from harness.commands.run import terminated_as_interrupt
from harness.console import Terminal, Watcher
from harness.errors import ExitCode, HarnessError
from harness.units import say_seconds

if TYPE_CHECKING:
    from harness.analysis.noise_study.power import Power, Prefix
    from harness.runner.noise_study.study import Baselines, NoiseRun
    from harness.suite.schema import Measure

Findings = dict[str, tuple[int, "list[Prefix]"]]
"""By Group's name: experiments, and what their prefixes tell."""


def measure_noise(
    path: Path,
    *,
    experiments: int,
    trials: int | None,
    seconds: str | None,
    effects: str,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> ExitCode:
    """Make experiments with the suite's baselines and print what they tell. Raises HarnessError."""
    from harness.artifacts.cache import Cache
    from harness.runner.noise_study.experiments import arms_for
    from harness.runner.noise_study.study import NoiseRun, baselines_of
    from harness.runner.run.run import plan_here
    from harness.suite.validation import read_suite

    shares = read_effects(effects)
    terminal = Terminal(quiet=quiet or as_json, verbose=verbose)
    suite = read_suite(path)
    measure = _measure(suite.spec.measure, trials, seconds)
    plan, machine = plan_here(suite)
    baselines = baselines_of(plan)
    for group, reason in baselines.skipped.items():
        terminal.warn(f"{group} is left out: {reason}")
    if not baselines.cells:
        terminal.error("no Group of this suite has a baseline that can run here; the reasons are above")
        return ExitCode.NOTHING_MEASURED
    watcher = Watcher(terminal)
    folder = out or Path("noise") / suite.spec.suite / machine.slug
    run = NoiseRun(baselines, machine, measure, arms_for(shares), folder, Cache(), watcher)
    interrupted = False
    try:
        with terminated_as_interrupt():
            run.run(experiments)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        watcher.close()
    found = _summaries(baselines, run)
    if as_json:
        sys.stdout.write(json.dumps(_as_json(found, run), indent=1, default=str) + "\n")
    else:
        _show(found, terminal)
        terminal.say(f"Experiments: {folder}")
    if interrupted:
        terminal.warn("interrupted; whole experiments are kept, the same command goes on from them")
        return ExitCode.INTERRUPTED
    if not any(count for count, _ in found.values()):
        return ExitCode.NOTHING_MEASURED
    return ExitCode.SOME_FAILED if run.failed else ExitCode.OK


def read_effects(text: str) -> list[float]:
    """``1%,2%,5%`` → shares, ascending. Raises HarnessError for anything else, 0 % and more than 100 %."""
    from harness.units import parse_share

    shares = []
    for part in text.split(","):
        try:
            share = float(parse_share(part.strip()))
        except ValueError as error:
            raise HarnessError(f"--effects: {error}") from error
        if not 0 < share <= 1:
            raise HarnessError(f"--effects: {part.strip()} is no slow-down: above 0% and up to 100%")
        shares.append(share)
    return sorted(set(shares))


def _measure(measure: Measure, trials: int | None, seconds: str | None) -> Measure:
    """The suite's way to measure, with what the command line says put in its place."""
    from harness.units import parse_seconds

    changes: dict[str, Any] = {} if trials is None else {"trials": trials}
    if seconds is not None:
        try:
            changes["max_time"] = float(parse_seconds(seconds if seconds[-1:].isalpha() else f"{seconds}s"))
        except ValueError as error:
            raise HarnessError(f"--seconds: {error}") from error
        if changes["max_time"] <= 0:
            raise HarnessError(f"--seconds: {seconds} is no time to measure in; write for example 10s")
        if not math.isfinite(changes["max_time"]):
            raise HarnessError(f"--seconds: {seconds} never ends; write for example 10s")
    return measure.model_copy(update=changes)


def _summaries(baselines: Baselines, run: NoiseRun) -> Findings:
    from harness.analysis.noise_study.power import summarise

    found = run.findings().experiments
    return {
        planned.cell.name: (
            len(found[group]),
            summarise(found[group], run.effects, run.measure.target_ci, fixed=run.measure.trials != "auto"),
        )
        for group, planned in baselines.cells.items()
    }


def _as_json(found: Findings, run: NoiseRun) -> dict[str, Any]:
    groups = {}
    for name, (count, prefixes) in found.items():
        rows = []
        for prefix in prefixes:
            row = asdict(prefix)
            for power, entry in zip(prefix.powers, row["powers"], strict=True):
                entry["called"], entry["interval"] = power.called, power.interval()
            rows.append({key: None if value == math.inf else value for key, value in row.items()})
        groups[name] = {"experiments": count, "prefixes": rows}
    return {"effects": run.effects, "failed": run.failed, "groups": groups}


LEGEND = (
    "same code: called changed, a false alarm. x %: slowed down so, called slower. wrong: called faster.",
    "Below the counts Wilson's 95 % interval, by experiments. ±: half-width of the ratio. sees: the smallest",
    "slow-down that is called in 95 of 100. wall: what one comparison takes. Rows: the first Trials alone.",
)
ESTIMATED = (
    "estimate: reckoned from the same Trials, their roles given out anew in many ways, slow-downs added; in",
    "brackets the experiments with the lowest and highest share. It knows only hours that were measured.",
)
NOT_ESTIMATED = (
    "No estimate of many comparisons: it takes a fixed number of Trials, for example --trials 12.",
)


def _show(found: Findings, terminal: Terminal) -> None:
    for name, (count, prefixes) in found.items():
        terminal.say()
        if prefixes:
            roles = prefixes[-1].powers[0].roles
            each = f", each with its roles given out in {roles} ways" if roles > 1 else ""
            terminal.show(_table(f"{name}: {count} experiment{'s' if count > 1 else ''}{each}", prefixes))
            if any(prefix.relabel for prefix in prefixes):
                terminal.say()
                terminal.show(_estimates(f"{name}: estimate", prefixes))
        else:
            terminal.say(f"{name}: no whole experiment yet")
    terminal.say()
    estimated = any(prefix.relabel for _, prefixes in found.values() for prefix in prefixes)
    for line in (*LEGEND, *(ESTIMATED if estimated else NOT_ESTIMATED)):
        terminal.say(line, style="dim")


def _table(title: str, prefixes: list[Prefix]) -> Table:
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, title_style="bold")
    effects = sorted({power.effect for prefix in prefixes for power in prefix.powers})
    candidates = ["same code" if not effect else _percent(effect) for effect in effects]
    for column in ("Trials", "timed", "wall", "±", "sees", *candidates, "wrong"):
        table.add_column(column, justify="right", overflow="fold")
    for prefix in prefixes:
        table.add_row(
            f"{prefix.trials:g}",
            say_seconds(prefix.timed_s),
            say_seconds(prefix.comparison_s),
            _percent(prefix.halfwidth),
            _percent(prefix.smallest),
            *(_share(next((p for p in prefix.powers if p.effect == e), None)) for e in effects),
            str(sum(power.wrong_way for power in prefix.powers)),
        )
    return table


def _estimates(title: str, prefixes: list[Prefix]) -> Table:
    """What many comparisons would tell, by the Trials of these experiments: no counts."""
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, title_style="bold")
    known = [(prefix, prefix.relabel) for prefix in prefixes if prefix.relabel]
    effects = [one.effect for one in known[-1][1].called]
    for column in ("Trials", "timed", "sees", *(_percent(e) if e else "same code" for e in effects)):
        table.add_column(column, justify="right", overflow="fold")
    for prefix, found in known:
        shares = [
            f"{100 * one.rate:.3g} %\n({100 * one.low:.3g}–{100 * one.high:.3g})" for one in found.called
        ]
        table.add_row(f"{prefix.trials:g}", say_seconds(prefix.timed_s), _percent(found.smallest), *shares)
    return table


def _share(power: Power | None) -> str:
    if power is None:
        return "–"
    low, high = power.interval()
    return f"{power.called}/{power.comparisons}\n{100 * low:.0f}–{100 * high:.0f} %"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if math.isfinite(share) else "?"
