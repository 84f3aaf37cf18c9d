"""Which layer or node a library failed on, and the setting that leaves layers and nodes as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.errors import BuildError, HarnessError, describe, nearest
from harness.techniques.registry import StepConfig

if TYPE_CHECKING:
    import torch

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


def culprit(error: BaseException, name: Callable[[Any], str | None]) -> str:
    """Return the name of the object on which a library failed; empty where none is found.

    Of the local variables in the frames that `error` passed, the last for which `name` returns one counts.
    """
    found, trace = "", error.__traceback__
    while trace is not None:
        values = trace.tb_frame.f_locals
        for value in (*values.values(), values.get("self")):
            found = _name(value, name) or found
        trace = trace.tb_next
    return found


def _name(value: Any, name: Callable[[Any], str | None]) -> str | None:
    try:
        return name(value)
    except Exception:  # an object that is not set up yet
        return None


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


def layer_names(module: torch.nn.Module) -> Callable[[Any], str | None]:
    """Return what names the layers of `module`, and the nodes of a graph that was exported from it."""
    import torch

    names = {id(part): name for name, part in module.named_modules() if name}

    def name(value: Any) -> str | None:
        if isinstance(value, torch.fx.Node):
            paths = [str(path) for path, _ in value.meta.get("nn_module_stack", {}).values()]
            path = paths[-1] if paths else ""
            return path.removeprefix("L__self__").partition("@")[0].strip("_") or None
        return names.get(id(value)) if isinstance(value, torch.nn.Module) else None

    return lambda value: f"layer {found}" if (found := name(value)) else None
