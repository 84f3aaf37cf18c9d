"""Check whether this machine is fit to measure on: one Finding for each thing that changes timings, worst
first.

A check is one function in a module of `harness.devices.checks`, registered by `@check`; no other file names
it. A check that fails reports that in its own Finding, and the others still run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from harness.devices.host import Host
from harness.registry import Registry

Level = Literal["bad", "warn", "note", "unknown", "ok"]
"""`bad` makes results useless, `warn` makes them noisier, `note` must be known to interpret them."""


@dataclass(frozen=True)
class Finding:
    """What one check found: the present `value`, `why` it matters, and the `remedy`, if there is one."""

    name: str
    level: Level
    value: str
    why: str
    remedy: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


Seen = tuple[Level, str] | tuple[Level, str, str]
"""The result of a check: level, value, and the remedy where there is one."""

Check = Callable[[Host], Finding]

CHECKS: Registry[Check] = Registry("check", "harness.devices.checks", "harness.checks")


def check(name: str, why: str) -> Callable[[Callable[[Host], Seen]], Check]:
    """Register a function that examines the machine as the check `name`; `why` says why it matters."""

    def register(look: Callable[[Host], Seen]) -> Check:
        def examined(host: Host) -> Finding:
            try:
                level, value, *remedy = look(host)
            except Exception as error:  # an unusual machine must not stop the other checks
                return Finding(name, "unknown", f"could not be read: {type(error).__name__}: {error}", why)
            return Finding(name, level, value, why, remedy[0] if remedy else None)

        return CHECKS.add(name, examined)

    return register


def examine(host: Host | None = None) -> list[Finding]:
    """Return all findings, worst first, then by name; watches the machine for half a second.

    Run it while the machine is in the state in which it measures.
    """
    host = host or Host()
    order = get_args(Level)
    findings = [examined(host) for _, examined in CHECKS.items()]
    return sorted(findings, key=lambda finding: (order.index(finding.level), finding.name))
