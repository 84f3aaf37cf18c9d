"""Why torch could not export or convert a model, in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.errors import BuildError, HarnessError, describe

REASONS = {
    "GuardOnDataDependentSymNode": "its forward branches on the values of a tensor, which a graph cannot "
    "express; write torch.where, or torch.cond"
}
"""What to say of errors, by their type, whose own text is about the exporter's inside."""


@contextlib.contextmanager
def exporting(what: str) -> Iterator[None]:
    """Raise a BuildError with the first cause of an exporter's error, without the exporter's own advice.

    The cause is kept, so that the line of the user's code can be told.
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:  # exporters raise errors of many classes
        cause = first_cause(error)
        reason = REASONS.get(type(cause).__name__) or describe(cause)
        raise BuildError(f"{what}: {reason}") from cause


def first_cause(error: BaseException) -> BaseException:
    """Return the error that led to this one."""
    seen = [error]
    while (cause := seen[-1].__cause__) is not None and cause not in seen:
        seen.append(cause)
    return seen[-1]
