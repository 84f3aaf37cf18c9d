"""A look at a PyTorch model as given: a few calls that show its outputs and how it must be called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import BuildError, HarnessError, describe
from harness.formats.outputs import Examined, OutputSpec, unique_names
from harness.formats.tensors import Array, TensorSpec
from harness.formats.torch.execution import AS_DICT, BY_NAME, passes_by_name, set_execution
from harness.formats.torch.export import example_tensors
from harness.formats.torch.outputs import named_outputs
from harness.formats.torch.work import at_some_batch

if TYPE_CHECKING:
    import torch

RELATIVE = 1e-4
"""Outputs that differ by less, relative to their largest magnitude, count as equal."""
Outputs = list[tuple[str, "torch.Tensor"]]
RANDOM = (
    "two calls with the same inputs give different outputs (dropout left on, random numbers, or a state that "
    "the forward changes): its outputs cannot be compared, and audits of them fail"
)
BATCH = (
    "the outputs of a sample depend on the other samples of its batch (batch statistics, or activations "
    "quantized over the batch): compare quality at the same batch only"
)
OWN = "the model returns memory that its next call changes: each call copies its outputs, which is timed"


class Examination:
    """Calls `module` on random inputs; `execution` collects how it must be called (execution.py)."""

    def __init__(self, module: torch.nn.Module, inputs: tuple[TensorSpec, ...]) -> None:
        self.module, self.inputs = module, inputs
        self.execution: dict[str, Any] = {}
        self.warnings: list[str] = []

    def run(self) -> Examined:
        """Return the outputs and what to tell. Raises BuildError when no call works."""
        if passes_by_name(self.module, names := [spec.name for spec in self.inputs]):
            self._set(call=BY_NAME, names=names)
        batch = self._first_batch()
        if batch > 1:
            self.warnings.append(
                f"the model takes no batch of 1; what is counted per sample is of batch {batch}"
            )
        given = example_tensors(self.inputs, batch, 0)
        outputs = self._call(self._fresh(given))
        first = _arrays(outputs)
        second = self._call(given)
        kept = _arrays(second)
        larger = self._at(batch + 1)
        if _differ(kept, _arrays(second)):
            self._set(own_outputs=True)
            self.warnings.append(OWN)
        if _differ(first, kept):
            self.warnings.append(RANDOM)
        elif self._mixes(batch + 1 if larger else batch):
            self.warnings.append(BATCH)
        return Examined(self._specs(outputs, larger, batch), tuple(self.warnings))

    def _set(self, **execution: Any) -> None:
        set_execution(self.module, execution)
        self.execution |= execution

    def _call(self, tensors: Sequence[torch.Tensor]) -> Outputs:
        import torch

        with torch.no_grad():
            return named_outputs(self.module(*tensors))

    def _at(self, batch: int) -> Outputs:
        """Return the outputs at a batch, nothing where the model does not take it."""
        try:
            return self._call(example_tensors(self.inputs, batch, 1))
        except Exception:  # a model may raise anything
            return []

    def _first_batch(self) -> int:
        """Return a batch that the model takes, by the way of passing the inputs that works."""

        def attempt(batch: int) -> int:
            self._call(example_tensors(self.inputs, batch, 0))
            return batch

        try:
            return at_some_batch(attempt)
        except HarnessError:  # its outputs cannot be taken
            raise
        except Exception as error:
            if dtype := self._other_dtype():
                self._set(dtype=dtype)
                self.warnings.append(
                    f"its parameters are {dtype}: each call casts float inputs to it, and outputs to float32"
                )
            elif "call" not in self.execution:
                self._set(call=AS_DICT, names=[spec.name for spec in self.inputs])
            try:
                return at_some_batch(attempt)
            except HarnessError:
                raise
            except Exception as again:
                shown = again if dtype else error
                inputs = ", ".join(f"{spec.name} {list(spec.shape)} {spec.dtype}" for spec in self.inputs)
                raise BuildError(f"the model fails on random inputs ({inputs}): {describe(shown)}") from shown

    def _other_dtype(self) -> str | None:
        """Return the dtype of the first float parameter where no float input has it."""
        floats = (p for p in self.module.parameters() if p.is_floating_point())
        dtype = next((str(p.dtype).removeprefix("torch.") for p in floats), "float32")
        given = {spec.dtype for spec in self.inputs if spec.dtype.startswith("float")}
        return dtype if given and dtype not in given else None

    def _fresh(self, given: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return copies of the inputs, after seeing whether a call changes such copies."""
        import torch

        copies = [tensor.clone() for tensor in given]
        before = [tensor._version for tensor in copies]
        self._call(copies)
        changed = [
            i
            for i, (copy, version, own) in enumerate(zip(copies, before, given, strict=True))
            if copy._version != version or not torch.equal(copy, own)
        ]
        if changed:
            self._set(copied=changed)
            names = ", ".join(repr(self.inputs[i].name) for i in changed)
            self.warnings.append(
                f"the forward changes its input {names}: each call works on a copy, which is timed"
            )
        return [tensor.clone() for tensor in given]

    def _mixes(self, batch: int) -> bool:
        """Whether other samples beside it change a sample's outputs."""
        if batch < 2:
            return False
        ours, theirs = (example_tensors(self.inputs, batch, seed) for seed in (1, 2))
        for spec, one, other in zip(self.inputs, ours, theirs, strict=True):
            if (axis := getattr(spec, "batch_axis", 0)) is not None:
                last = one.shape[axis] - 1
                one.select(axis, last).copy_(other.select(axis, last))
        before = [part for part in _arrays(self._at(batch)) if part.shape[:1] == (batch,)]
        after = [part for part in _arrays(self._call(ours)) if part.shape[:1] == (batch,)]
        return _differ([part[:-1] for part in before], [part[:-1] for part in after])

    def _specs(self, outputs: Outputs, larger: Outputs, batch: int) -> tuple[OutputSpec, ...]:
        """Describe the outputs; the batch is the dimension that follows it from `batch` to one more."""
        names = unique_names([name for name, _ in outputs], [spec.name for spec in self.inputs])
        others: list[tuple[int, ...] | None] = [tuple(part.shape) for _, part in larger]
        others = others or [None] * len(outputs)
        specs = []
        for name, (_, part), other in zip(names, outputs, others, strict=True):
            axis, shape = _without_batch(tuple(part.shape), other, batch)
            specs.append(OutputSpec(name, shape, str(part.dtype).removeprefix("torch."), axis))
        return tuple(specs)


def _without_batch(
    shape: tuple[int, ...], larger: tuple[int, ...] | None, batch: int
) -> tuple[int | None, tuple[int, ...] | None]:
    """Return the axis of the batch and the other sizes, None where they follow the batch or the data too."""
    if larger is None:  # only one batch works
        return (0, shape[1:]) if shape[:1] == (batch,) else (None, shape)
    if len(larger) != len(shape):
        return None, None
    changed = [i for i, (one, other) in enumerate(zip(shape, larger, strict=True)) if one != other]
    axis = next((i for i in changed if (shape[i], larger[i]) == (batch, batch + 1)), None)
    if len(changed) > 1 or (changed and axis is None):
        return axis, None
    return axis, tuple(size for i, size in enumerate(shape) if i != axis)


def _arrays(outputs: Outputs) -> list[Array]:
    return [part.detach().cpu().numpy().copy() for _, part in outputs]


def _differ(ours: Sequence[Array], theirs: Sequence[Array]) -> bool:
    if [one.shape for one in ours] != [other.shape for other in theirs]:
        return True
    return any(_differs(one, other) for one, other in zip(ours, theirs, strict=True))


def _differs(one: Array, other: Array) -> bool:
    if one.dtype.kind not in "fc":
        return not np.array_equal(one, other)
    scale = float(np.max(np.abs(one[np.isfinite(one)]), initial=0.0)) or 1.0
    return not np.allclose(one, other, rtol=0, atol=RELATIVE * scale, equal_nan=True)
