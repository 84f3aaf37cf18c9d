"""`harness doctor`: check whether this machine is fit to measure."""

from __future__ import annotations

from rich.text import Text

from harness.commands import AsJson, new_app, print_json
from harness.console import Terminal, grid
from harness.devices.doctor import examine
from harness.errors import ExitCode

app = new_app()
STYLES = {"bad": "bold red", "warn": "yellow", "note": "cyan", "unknown": "dim", "ok": "green"}


@app.command()
def examine_machine(as_json: AsJson = False) -> ExitCode:
    """Check whether this machine is fit to measure, and print what to change, worst first."""
    findings = examine()
    if as_json:
        return print_json([finding.to_dict() for finding in findings])
    terminal = Terminal()
    table = grid("", ("", "check", "found", "why → what to do"))
    for finding in findings:
        advice = Text(finding.why)
        if finding.remedy:
            advice.append(f"\n→ {finding.remedy}", style="bold")
        known = finding.level in ("ok", "unknown")
        table.add_row(
            Text(finding.level, style=STYLES[finding.level]),
            finding.name,
            Text(str(finding.value)),
            Text("") if known else advice,
        )
    terminal.show(table)
    return ExitCode.OK
