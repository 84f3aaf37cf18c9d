"""What goes into a model: names, shapes and types of its inputs, and example values for them."""

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
        raise ValueError(unknown("type", name, DTYPES))
    return name


class TensorSpec(BaseModel):
    """One input of a model, without its batch dimension.

    `shape` is one item's shape: a 28 × 28 grey image is ``[1, 28, 28]``; the batch is put before it.
    `high` bounds random integers (exclusive), a vocabulary's size for token ids; `avoid` are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "input"
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        description="shape of one item, without the batch dimension"
    )
    dtype: Annotated[str, AfterValidator(_known_dtype), WithJsonSchema({"enum": list(DTYPES)})] = "float32"
    high: int = Field(default=2, ge=1, description="exclusive upper bound of random integers")
    avoid: tuple[int, ...] = Field(
        default=(), description="integers that random ones leave out, such as a padding id"
    )

    @model_validator(mode="after")
    def _some_are_left(self) -> TensorSpec:
        if len(self._left_out()) == self.high:
            raise ValueError(f"avoid: leaves none of the integers below {self.high}")
        return self

    def _left_out(self) -> list[int]:
        return sorted({one for one in self.avoid if 0 <= one < self.high})

    def random(self, batch: int, rng: np.random.Generator) -> Array:
        """Return `batch` random items, shape (batch, *shape): standard normal, or integers in [0, high)."""
        size = (batch, *self.shape)
        if self.dtype.startswith("float"):
            return rng.standard_normal(size).astype(self.dtype)
        if self.dtype == "bool":
            return rng.integers(0, 2, size=size).astype(self.dtype)
        left_out = self._left_out()
        values = rng.integers(0, self.high - len(left_out), size=size)
        for one in left_out:
            values += values >= one
        return values.astype(self.dtype)

    def sample_bytes(self) -> int:
        """Bytes of one item."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def check_arrays(arrays: Sequence[Array], specs: Sequence[TensorSpec], what: str) -> list[str]:
    """Compare batches of items with what the model takes; return what is wrong, in words (empty: nothing).

    `arrays` are (items, *shape), one for each input, in the order of `specs`.
    """
    if len(arrays) != len(specs):
        return [f"{what}: {len(arrays)} arrays for {len(specs)} inputs ({', '.join(s.name for s in specs)})"]
    faults = []
    for array, spec in zip(arrays, specs, strict=True):
        if tuple(array.shape[1:]) != spec.shape:
            faults.append(
                f"{what}: input {spec.name!r} has items of shape {tuple(array.shape[1:])}, not {spec.shape}"
            )
        if array.dtype != np.dtype(spec.dtype):
            faults.append(f"{what}: input {spec.name!r} has type {array.dtype}, not {spec.dtype}")
        if len(array) == 0:
            faults.append(f"{what}: input {spec.name!r} has no items")
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            faults.append(f"{what}: input {spec.name!r} has NaN or infinity in it")
    if len({len(array) for array in arrays}) > 1:
        faults.append(f"{what}: inputs have different numbers of items: {[len(array) for array in arrays]}")
    return faults
