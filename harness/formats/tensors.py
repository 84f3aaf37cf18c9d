"""Inputs of a model: their names, shapes and dtypes, and example values for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from harness.errors import unknown

Array = NDArray[np.generic]

DTYPES = ("float32", "float16", "float64", "int64", "int32", "int8", "uint8", "bool")


def _known_dtype(name: str) -> str:
    if name not in DTYPES:
        raise ValueError(unknown("dtype", name, DTYPES))
    return name


class TensorSpec(BaseModel):
    """One input of a model, without its batch dimension.

    `shape` is the shape of one sample: a 28 × 28 gray image is ``[1, 28, 28]``. Random integers lie in
    [0, `high`), without those in `avoid`; for token ids, `high` is the size of the vocabulary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "input"
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        description="shape of one sample, without the batch dimension"
    )
    dtype: Annotated[str, AfterValidator(_known_dtype), WithJsonSchema({"enum": list(DTYPES)})] = "float32"
    high: int = Field(default=2, ge=1, description="exclusive upper bound of random integers")
    avoid: tuple[int, ...] = Field(
        default=(), description="integers that random inputs never contain, such as a padding id"
    )

    @model_validator(mode="after")
    def _leaves_some_integers(self) -> TensorSpec:
        if len(self._avoided()) == self.high:
            raise ValueError(f"avoid: leaves none of the integers below {self.high}")
        return self

    def _avoided(self) -> list[int]:
        return sorted({value for value in self.avoid if 0 <= value < self.high})

    def random(self, batch: int, rng: np.random.Generator) -> Array:
        """Return `batch` random samples, (batch, *shape): standard normal, or integers in [0, high)."""
        size = (batch, *self.shape)
        if self.dtype.startswith("float"):
            return rng.standard_normal(size).astype(self.dtype)
        if self.dtype == "bool":
            return rng.integers(0, 2, size=size).astype(self.dtype)
        avoided = self._avoided()
        values = rng.integers(0, self.high - len(avoided), size=size)
        for value in avoided:
            values += values >= value
        return values.astype(self.dtype)

    def sample_bytes(self) -> int:
        """Return the bytes of one sample."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def check_arrays(arrays: Sequence[Array], specs: Sequence[TensorSpec], what: str) -> list[str]:
    """Compare arrays of samples with the inputs of the model; return the faults found, one sentence each.

    `arrays` are (samples, *shape), one for each input, in the order of `specs`.
    """
    if len(arrays) != len(specs):
        return [f"{what}: {len(arrays)} arrays for {len(specs)} inputs ({', '.join(s.name for s in specs)})"]
    faults = []
    for array, spec in zip(arrays, specs, strict=True):
        if tuple(array.shape[1:]) != spec.shape:
            faults.append(
                f"{what}: input {spec.name!r} has samples of shape {tuple(array.shape[1:])}, not {spec.shape}"
            )
        if array.dtype != np.dtype(spec.dtype):
            faults.append(f"{what}: input {spec.name!r} has dtype {array.dtype}, not {spec.dtype}")
        if len(array) == 0:
            faults.append(f"{what}: input {spec.name!r} has no samples")
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            faults.append(f"{what}: input {spec.name!r} contains NaN or infinity")
    if len({len(array) for array in arrays}) > 1:
        faults.append(f"{what}: inputs have different numbers of samples: {[len(array) for array in arrays]}")
    return faults
