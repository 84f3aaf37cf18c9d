"""Whether a Record may stand on the leaderboard: what its audits found, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def audit_columns(findings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the columns `audit` and `audit_reasons` (store/schema.py) from the findings of all audits.

    One failed audit fails the Record; None where no audit could look at anything.
    """
    known = list(findings)
    states = {finding["state"] for finding in known}
    state = "failed" if "failed" in states else "passed" if "passed" in states else None
    reasons = [f"{finding['audit']}: {reason}" for finding in known for reason in finding["reasons"]]
    return {"audit": state, "audit_reasons": reasons}
