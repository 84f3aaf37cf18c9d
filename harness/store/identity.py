"""What differs between two Records, and whether both measured the same: pure functions of their digests."""

from __future__ import annotations

from harness.store.record import Record

KINDS = (
    "code",
    "weights",
    "data",
    "technique",
    "libraries",
    "settings",
    "environment",
    "machine",
    "artifact",
)
"""What identifies a Record; its digest of each is the attribute ``<kind>_digest``."""
DECIDING = ("artifact", "libraries", "settings", "environment", "machine")
"""What determines the speed of a call; the other kinds act through the Artifact."""


def differences(a: Record, b: Record) -> tuple[str, ...]:
    """Return the kinds whose digests differ, in the order of `KINDS`; unknown ones are left out."""
    return tuple(kind for kind in KINDS if _equal(a, b, kind) is False)


def identical(a: Record, b: Record) -> bool | None:
    """Return whether both are the same by identity, so that no measurement is needed to say so.

    They are when Artifact content, libraries, settings, environment and machine are equal. None where none of
    these is known to differ and one is unknown.
    """
    equal = [_equal(a, b, kind) for kind in DECIDING]
    return False if False in equal else None if None in equal else True


def _equal(a: Record, b: Record, kind: str) -> bool | None:
    one, other = (getattr(record, f"{kind}_digest") for record in (a, b))
    return one == other if one and other else None
