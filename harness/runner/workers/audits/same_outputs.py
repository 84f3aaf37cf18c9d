"""same-outputs: timed calls must give the same outputs as the evaluation for the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.formats.tensors import Array
from harness.runner.workers.audits.registry import Audit, Finding, Inputs, audit, verdict

RELATIVE = 1e-3
"""Allowed difference, relative to the outputs' largest magnitude: threads may sum in another order."""
SHAPES = "shape {} in a timed call, {} in the evaluation"
CAUSE = "the model or its runtime does not compute the same in each call, so its time is not comparable"
MAX_VALUES = 1 << 16
"""Of a larger output so many values are kept, equally many of each sample, always at the same random places.
They are kept in the measured process, where 16 whole outputs of a GPT-2 prefill would take 300 MB."""


@audit
class SameOutputs(Audit):
    """Keeps the last output of each timed batch and compares it with the evaluation's for that batch."""

    name = "same-outputs"

    def __init__(self) -> None:
        self._kept: dict[int, list[tuple[tuple[int, ...], Array]]] = {}
        self._compared = 0
        self._faults: list[str] = []

    def timed(self, batch: int, outputs: Sequence[Any] | None) -> None:
        """Keep the outputs of a timed call."""
        if outputs is not None:
            arrays = [np.asarray(part) for part in outputs]
            self._kept[batch] = [(array.shape, sampled(array)) for array in arrays]

    def evaluated(self, batch: int, samples: int, _inputs: Inputs, outputs: Sequence[Array]) -> None:
        """Compare with the evaluation's outputs for the same batch."""
        timed = self._kept.get(batch)
        if timed is None:
            return
        self._compared += 1
        if len(timed) != len(outputs):
            self._faults.append(f"timed calls gave {len(timed)} outputs, the evaluation {len(outputs)}")
            return
        for position, ((shape, ours), output) in enumerate(zip(timed, outputs, strict=True)):
            theirs = np.asarray(output)
            fault: str | None = SHAPES.format(shape, theirs.shape)
            if shape == theirs.shape:
                fault = difference(_real(ours, samples), _real(sampled(theirs), samples))
            if fault:
                self._faults.append(f"output {position} for the same inputs: {fault}")

    def finding(self) -> Finding:
        """Return whether all outputs that could be compared were equal; the first fault stands for all."""
        faults = [f"{self._faults[0]}; {CAUSE}"] if self._faults else []
        return verdict(self.name, self._compared, faults, different=len(self._faults))


def sampled(output: Array) -> Array:
    """Return a copy of an output (samples, …); of a large one, a copy of MAX_VALUES values.

    The values are indexed directly, so that no second whole output is ever in memory.
    """
    if output.ndim < 2 or output.size <= MAX_VALUES:
        return np.array(output, copy=True)
    inner = output.shape[1:]
    many = max(MAX_VALUES // len(output), 1)
    places = np.random.default_rng(0).integers(0, int(np.prod(inner)), many)
    index: tuple[Any, ...] = (slice(None), *np.unravel_index(places, inner))
    found: Array = output[index]
    return found


def _real(output: Array, samples: int) -> Array:
    """Return the part of an output for real samples; an output without a batch axis is returned whole."""
    return output[:samples] if output.ndim else output


def difference(ours: Array, theirs: Array) -> str | None:
    """Return how two outputs differ by more than rounding, or None."""
    if ours.shape != theirs.shape:
        return SHAPES.format(ours.shape, theirs.shape)
    if ours.dtype.kind not in "fc":
        return None if np.array_equal(ours, theirs) else "other values in a timed call than in the evaluation"
    wide = np.complex128 if ours.dtype.kind == "c" else np.float64
    a, b = ours.astype(wide), theirs.astype(wide)
    finite = np.isfinite(a)
    if not np.array_equal(np.where(finite, 0, a), np.where(np.isfinite(b), 0, b), equal_nan=True):
        return "NaN or infinity in only one of a timed call and the evaluation"
    scale = float(np.max(np.abs(b[finite]), initial=0.0)) or 1.0
    worst = float(np.max(np.abs(a[finite] - b[finite]), initial=0.0))
    if worst <= RELATIVE * scale:
        return None
    share = f"{100 * worst / scale:.2g} % of" if worst < scale else f"{worst / scale:,.1f} times"
    allowed = f"{100 * RELATIVE:g} % is allowed"
    return f"a timed call differs from the evaluation by up to {share} the largest value; {allowed}"
