"""Which layer or node a library failed on, and the setting that leaves layers and nodes as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

from pydantic import Field

from harness.errors import BuildError, HarnessError, describe, nearest
from harness.formats.torch.failures import culprit
from harness.techniques.registry import StepConfig

REMEDY = "name it under exclude to leave it as it is"


class Excluding(StepConfig):
    """Layers or nodes that a step leaves as they are."""

    exclude: tuple[str, ...] = Field(
        default=(), description="names of layers (PyTorch) or nodes (ONNX, OpenVINO) to leave as they are"
    )


def check_excluded(exclude: Collection[str], known: Collection[str]) -> None:
    """Raise BuildError when a name under `exclude` is not `known`, with the most similar one."""
    for name in exclude:
        if name not in known:
            guess = nearest(name, known)
            hint = (
                f"did you mean {guess!r}?"
                if guess
                else f"there are {len(known)}, such as {min(known, default='')!r}"
            )
            raise BuildError(f"exclude: {name!r} is the name of no layer or node; {hint}")


@contextlib.contextmanager
def naming(
    failure: str, name: Callable[[Any], str | None], remedy: str = REMEDY, known: Collection[str] = ()
) -> Iterator[None]:
    """Raise a one-line BuildError for what a library raises: `failure`, the culprit, the reason, `remedy`.

    A `known` name in the library's own message counts before what `name` finds.
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:  # libraries raise anything
        said = [each for each in known if each in str(error)]
        at = f"node {max(said, key=len)}" if said else culprit(error, name)
        where, what = f" at {at}" if at else "", f"; {remedy}" if at and remedy else ""
        raise BuildError(f"{failure}{where}: {describe(error)}{what}") from error
