"""What differs between two Records, and whether both measured the same: pure functions of their digests."""

from __future__ import annotations

from typing import Protocol

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


class Identified(Protocol):
    """Has a digest of each kind; None where it is unknown (a Run of an older version)."""

    @property
    def code_digest(self) -> str | None:
        """Of the model's code."""
        ...

    @property
    def weights_digest(self) -> str | None:
        """Of the model's weights; of the whole file where it holds graph and weights."""
        ...

    @property
    def data_digest(self) -> str | None:
        """Of the model's dataset."""
        ...

    @property
    def technique_digest(self) -> str | None:
        """Of the steps' settings that differ from their defaults, and of the steps' code."""
        ...

    @property
    def libraries_digest(self) -> str | None:
        """Of the versions of Python and of all libraries, by distribution."""
        ...

    @property
    def settings_digest(self) -> str | None:
        """Of workload and target, and of the settings and the code of runtime and deployment."""
        ...

    @property
    def environment_digest(self) -> str | None:
        """Of the environment variables that change speed, as the worker has them."""
        ...

    @property
    def machine_digest(self) -> str | None:
        """Of the machine's id."""
        ...

    @property
    def artifact_digest(self) -> str | None:
        """Of the content of the Artifact that is timed."""
        ...


def differences(a: Identified, b: Identified) -> tuple[str, ...]:
    """Return the kinds whose digests differ, in the order of `KINDS`; unknown ones are left out."""
    return tuple(kind for kind in KINDS if _equal(a, b, kind) is False)


def identical(a: Identified, b: Identified) -> bool | None:
    """Return whether both are the same by identity, so that no measurement is needed to say so.

    They are when Artifact content, libraries, settings, environment and machine are equal. None where none of
    these is known to differ and one is unknown.
    """
    equal = [_equal(a, b, kind) for kind in DECIDING]
    return False if False in equal else None if None in equal else True


def _equal(a: Identified, b: Identified, kind: str) -> bool | None:
    one, other = (getattr(record, f"{kind}_digest") for record in (a, b))
    return one == other if one and other else None
