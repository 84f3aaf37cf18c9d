"""Lists under a model's `dims`: each combination of sizes is a model, such as ``bert@sequence=64``."""

from __future__ import annotations

import itertools
from typing import Any


def expand_sizes(name: str, raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the models that a model's section declares, by name; without lists, that section alone."""
    dims = raw.get("dims")
    if not isinstance(dims, dict):
        return {name: raw}
    lists = {dim: sizes for dim, sizes in dims.items() if isinstance(sizes, list) and sizes}
    models = {}
    for sizes in itertools.product(*lists.values()):
        chosen = dict(zip(lists, sizes, strict=True))
        suffix = ",".join(f"{dim}={size}" for dim, size in chosen.items())
        models[f"{name}@{suffix}" if suffix else name] = {**raw, "dims": {**dims, **chosen}}
    return models
