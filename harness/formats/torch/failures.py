"""Why torch could not export or convert a model, in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError, HarnessError, describe

if TYPE_CHECKING:
    import torch

REASONS = {
    "GuardOnDataDependentSymNode": "its forward branches on the values of a tensor, which a graph cannot "
    "express; write torch.where, or torch.cond"
}
"""What to say of errors, by their type, whose own text is about the exporter's inside."""


@contextlib.contextmanager
def exporting(what: str, module: torch.nn.Module) -> Iterator[None]:
    """Raise a BuildError with the layer of `module` and the first cause of an exporter's error.

    The cause is kept, so that the line of the user's code can be told.
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:  # exporters raise errors of many classes
        cause = first_cause(error)
        reason = REASONS.get(type(cause).__name__) or describe(cause)
        at = culprit(error, layer_names(module)) or culprit(cause, layer_names(module))
        raise BuildError(f"{what}{f' at {at}' if at else ''}: {reason}") from cause


def first_cause(error: BaseException) -> BaseException:
    """Return the error that led to this one."""
    seen = [error]
    while (cause := seen[-1].__cause__) is not None and cause not in seen:
        seen.append(cause)
    return seen[-1]


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
