"""The structure of a module: which modules it consists of, and what of them a step changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError
from harness.formats.torch.state import plain_attributes

if TYPE_CHECKING:
    import torch


def settle(part: torch.nn.Module) -> None:
    """Turn a lazy module, which would find its width in its first call, into the one that it becomes."""
    import torch

    if isinstance(part, torch.nn.modules.lazy.LazyModuleMixin):
        part._initialize_hook.remove()
        part._load_hook.remove()
        if part.cls_to_become is not None:
            part.__class__ = part.cls_to_become


def changed_attributes(
    module: torch.nn.Module, fresh: torch.nn.Module, factory: str, again: Callable[[], torch.nn.Module]
) -> dict[str, dict[str, Any]]:
    """Return by module the plain attributes of `module` that `fresh`, the factory's own, has not.

    Raises BuildError when the modules of the two are not the same in number, name and class. Where classes
    differ that differ from one call of the factory to the next as well (`again` calls it), they do not count.
    """
    theirs, ours = dict(fresh.named_modules()), dict(module.named_modules())
    if missing := sorted(set(theirs) - set(ours)):
        raise BuildError(f"module {missing[0]!r} of {factory!r} is missing: {_CHANGED}")
    others = {name for name, part in ours.items() if name not in theirs or _kind(theirs[name]) != _kind(part)}
    if others and others <= set(theirs):
        third = dict(again().named_modules())
        others = {name for name in others if name in third and _kind(third[name]) == _kind(theirs[name])}
    changed: dict[str, dict[str, Any]] = {}
    for name, part in ours.items():
        if name in others:
            raise BuildError(f"module {name!r} is not what {factory!r} makes: {_CHANGED}")
        known = plain_attributes(theirs[name])
        differing = {k: v for k, v in plain_attributes(part).items() if k not in known or known[k] != v}
        if differing:
            changed[name] = differing
    return changed


_CHANGED = (
    "its structure was changed, by a step or because the factory makes another one in each call; "
    "make it deterministic, or export the model once with torch.export"
)


def _kind(part: torch.nn.Module) -> str:
    """Return the qualified name of a module's class: two calls of a factory may make two classes of it."""
    cls = getattr(part, "cls_to_become", None) or type(part)
    return f"{cls.__module__}.{cls.__qualname__}"
