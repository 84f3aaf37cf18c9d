"""`harness doctor`: is this machine fit to measure, and what to change."""

from __future__ import annotations

import json
import sys

from rich.table import Table
from rich.text import Text

from harness.console import Terminal
from harness.devices.doctor import examine
from harness.errors import ExitCode

STYLES = {"bad": "bold red", "warn": "yellow", "note": "cyan", "unknown": "dim", "ok": "green"}


def examine_machine(*, as_json: bool) -> ExitCode:
    """Print the findings, worst first."""
    findings = examine()
    if as_json:
        sys.stdout.write(json.dumps([finding.to_dict() for finding in findings], indent=1) + "\n")
        return ExitCode.OK
    terminal = Terminal()
    table = Table(box=None, pad_edge=False)
    for column in ("", "what", "is", "why it matters; what to do"):
        table.add_column(column, overflow="fold")
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
