"""`harness noise`: count false alarms on identical code, and injected slow-downs that are detected."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands import AsJson, Quiet, Verbose, new_app, print_json
from harness.commands.run import terminated_as_interrupt
from harness.console import Terminal, Watcher, grid
from harness.errors import ExitCode, HarnessError
from harness.units import parse_seconds, parse_share, say_count, say_seconds

if TYPE_CHECKING:
    from rich.table import Table

    from harness.analysis.noise_study.power import Power, Prefix
    from harness.runner.noise_study.study import Baselines, NoiseRun
    from harness.suite.schema import Measure

app = new_app()
Findings = dict[str, tuple[int, "list[Prefix]"]]
"""For each Group's name: the number of experiments, and the results of their first 2, 3, … Trials."""


@app.command()
def measure_noise(
    suite: Annotated[Path, typer.Argument(help="A suite file, such as suites/noise.yaml.")],
    experiments: Annotated[int, typer.Option(min=1, help="Comparisons of each Group's baseline.")] = 20,
    trials: Annotated[
        int | None,
        typer.Option(min=2, max=1000, help="Fresh processes of each arm; default: as in the suite."),
    ] = None,
    seconds: Annotated[
        str | None,
        typer.Option(help="Maximum timed time of each arm, such as 30s; default: as in the suite."),
    ] = None,
    effects: Annotated[str, typer.Option(help="Slow-downs to inject.")] = "1%,2%,5%",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the experiments; default: noise/SUITE/MACHINE.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Compare each baseline with itself, unchanged and slowed down, and count wrong and missed verdicts.

    This shows how often identical code is called faster or slower on this machine (false alarms), and which
    slow-downs are detected.
    """
    from harness.artifacts.cache import Cache
    from harness.runner.noise_study.experiments import arms_for
    from harness.runner.noise_study.study import NoiseRun, baselines_of
    from harness.runner.run.run import plan_here
    from harness.suite.validation import read_suite

    shares = read_effects(effects)
    terminal = Terminal(quiet=quiet or as_json, verbose=verbose)
    checked = read_suite(suite)
    measure = _measure(checked.spec.measure, trials, seconds)
    plan, machine = plan_here(checked)
    baselines = baselines_of(plan)
    for group, reason in baselines.skipped.items():
        terminal.warn(f"{group} is left out: {reason}")
    if not baselines.cells:
        terminal.error("no Group of this suite has a baseline that can run here; see the reasons above")
        return ExitCode.NOTHING_MEASURED
    watcher = Watcher(terminal)
    folder = out or Path("noise") / checked.spec.suite / machine.slug
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
        print_json(_as_json(found, run))
    else:
        _show(found, terminal)
        terminal.say(f"Experiments: {folder}")
    if interrupted:
        terminal.warn("interrupted; complete experiments are kept, and the same command continues")
        return ExitCode.INTERRUPTED
    if not any(count for count, _ in found.values()):
        return ExitCode.NOTHING_MEASURED
    return ExitCode.SOME_FAILED if run.failed else ExitCode.OK


def read_effects(text: str) -> list[float]:
    """Parse ``1%,2%,5%`` into ascending shares. Raises HarnessError for shares outside (0, 1]."""
    shares = []
    for part in text.split(","):
        try:
            share = float(parse_share(part.strip()))
        except ValueError as error:
            raise HarnessError(f"--effects: {error}") from error
        if not 0 < share <= 1:
            raise HarnessError(
                f"--effects: {part.strip()} is not a slow-down; allowed: above 0% and up to 100%"
            )
        shares.append(share)
    return sorted(set(shares))


def _measure(measure: Measure, trials: int | None, seconds: str | None) -> Measure:
    """Return the suite's settings with those of the command line."""
    changes: dict[str, Any] = {} if trials is None else {"trials": trials}
    if seconds is not None:
        try:
            changes["max_time"] = float(parse_seconds(seconds if seconds[-1:].isalpha() else f"{seconds}s"))
        except ValueError as error:
            raise HarnessError(f"--seconds: {error}") from error
        if not 0 < changes["max_time"] < math.inf:
            raise HarnessError(f"--seconds: {seconds} is not above 0 and finite; write for example 10s")
    return measure.model_copy(update=changes)


def _summaries(baselines: Baselines, run: NoiseRun) -> Findings:
    from harness.analysis.noise_study.power import summarize

    found = run.experiments()
    return {
        planned.cell.name: (
            len(found[group]),
            summarize(found[group], run.effects, run.measure.target_ci, fixed=run.measure.trials != "auto"),
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
    "same code   false alarms: identical code called faster or slower; below, the 95 % Wilson interval",
    "1 %, 2 % …  detected: slow-downs of this size called slower",
    "wrong       slow-downs called faster",
    "±           half-width of the ratio's 95 % interval",
    "MDE         minimum detectable effect: the smallest slow-down called slower in 95 of 100 comparisons",
    "wall        duration of one comparison; each row uses the first Trials only",
)
ESTIMATED = (
    "estimate    computed from the same Trials, relabelled in many ways, with slow-downs added; in brackets,",
    "            the experiments with the lowest and the highest rate. It covers only the measured hours.",
)
NOT_ESTIMATED = ("An estimate of many comparisons needs a fixed number of Trials, for example --trials 12.",)


def _show(found: Findings, terminal: Terminal) -> None:
    for name, (count, prefixes) in found.items():
        terminal.say()
        if prefixes:
            roles = prefixes[-1].powers[0].roles
            each = f", each relabelled in {roles} ways" if roles > 1 else ""
            terminal.show(_table(f"{name}: {say_count(count, 'experiment')}{each}", prefixes))
            if any(prefix.relabel for prefix in prefixes):
                terminal.say()
                terminal.show(_estimates(f"{name}: estimate", prefixes))
        else:
            terminal.say(f"{name}: no complete experiment yet")
    terminal.say()
    estimated = any(prefix.relabel for _, prefixes in found.values() for prefix in prefixes)
    for line in (*LEGEND, *(ESTIMATED if estimated else NOT_ESTIMATED)):
        terminal.say(line, style="dim")


def _table(title: str, prefixes: list[Prefix]) -> Table:
    effects = sorted({power.effect for prefix in prefixes for power in prefix.powers})
    candidates = ["same code" if not effect else _percent(effect) for effect in effects]
    table = grid(title, ("Trials", "timed", "wall", "±", "MDE", *candidates, "wrong"), "right")
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
    """Return the table of rates that many comparisons would have, estimated from these Trials."""
    known = [(prefix, prefix.relabel) for prefix in prefixes if prefix.relabel]
    effects = [one.effect for one in known[-1][1].called]
    candidates = ["same code" if not effect else _percent(effect) for effect in effects]
    table = grid(title, ("Trials", "timed", "MDE", *candidates), "right")
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
