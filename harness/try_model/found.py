"""What was found in a model, in a few lines: its kind, inputs, outputs, batch, parameters and opset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.analysis.words import numbers as say
from harness.suite.validation import Model

BATCH = "batch"
MAX_SHOWN = 6
"""Inputs, and outputs, that are shown; the others are counted."""


def found(model: Model, inspection: Mapping[str, Any], folder: Path) -> list[str]:
    """Return the lines; without an inspection only the kind of model and its size are known."""
    named = folder / str(getattr(model.config, model.source.key, ""))
    size = f", {say.quantity(named.stat().st_size, 'bytes')}" if named.is_file() else ""
    facts = [f"{model.name}: {model.source.summary}{size}"]
    if parameters := inspection.get("parameters"):
        facts.append(f"{say.quantity(parameters, 'count')} parameters")
    if opset := inspection.get("opsets", {}).get(""):
        facts.append(f"opset {opset}")
    batch = inspection.get("fixed_batch")
    inputs = [_tensor(one, _input_dims(one, batch)) for one in inspection.get("inputs", ())]
    outputs = [_tensor(one, _output_dims(one, batch)) for one in inspection.get("outputs", ())]
    return [
        "; ".join(facts),
        *([f"inputs: {_listed(inputs)}"] if inputs else []),
        *([f"outputs: {_listed(outputs)}"] if outputs else []),
        *([f"its batch is fixed to {batch}"] if batch else []),
    ]


def _tensor(about: Mapping[str, Any], dims: Iterable[Any] | None) -> str:
    shape = "" if dims is None else f" [{', '.join(map(str, dims))}]"
    return f"{about['name']} {about.get('dtype') or 'unknown dtype'}{shape}"


def _input_dims(about: Mapping[str, Any], batch: int | None) -> list[Any]:
    """Return the dimensions of an input, the batch at its axis."""
    dims, axis = list(about.get("shape", ())), about.get("batch_axis", 0)
    if axis is not None:
        dims.insert(axis, batch or BATCH)
    return dims


def _output_dims(about: Mapping[str, Any], batch: int | None) -> list[Any] | None:
    """Return the dimensions of an output; what is free in its first one is taken for the batch."""
    dims = about.get("dims")
    if dims is None:
        return None
    first = [dim if isinstance(dim, int) else batch or BATCH for dim in dims[:1]]
    return [*first, *("?" if dim is None else dim for dim in dims[1:])]


def _listed(texts: list[str]) -> str:
    more = f" and {len(texts) - MAX_SHOWN} more" if len(texts) > MAX_SHOWN else ""
    return ", ".join(texts[:MAX_SHOWN]) + more
