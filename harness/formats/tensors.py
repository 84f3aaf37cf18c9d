"""Inputs of a model: their names, shapes and dtypes, and example values for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from harness.errors import unknown
from harness.formats import likely

Array = NDArray[np.generic]

DTYPES = ("float32", "float16", "float64", "int64", "int32", "int8", "uint8", "bool")


def _known_dtype(name: str) -> str:
    if name not in DTYPES:
        raise ValueError(unknown("dtype", name, DTYPES))
    return name


class TensorSpec(BaseModel):
    """One input of a model, without its batch dimension.

    `shape` is the shape of one sample: a 28 × 28 gray image is ``[1, 28, 28]``. Random integers lie in
    [0, `high`), without those in `avoid`; for token ids, `high` is the size of the vocabulary. `like` says
    what random values look like, where the name, dtype and shape do not tell (formats/likely.py).
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
    like: likely.Like | None = Field(
        default=None, description="what random inputs look like; default: by name, dtype and shape"
    )

    @model_validator(mode="after")
    def _leaves_some_integers(self) -> TensorSpec:
        if len({value for value in self.avoid if 0 <= value < self.high}) == self.high:
            raise ValueError(f"avoid: leaves none of the integers below {self.high}")
        if self.like == "image" and len(self.shape) < 2:
            raise ValueError("like: an image has at least two dimensions")
        if self.like == "tokens" and self.dtype.startswith(("float", "bool")):
            raise ValueError(f"like: tokens are integers, not {self.dtype}")
        return self

    def random(self, batch: int, rng: np.random.Generator) -> Array:
        """Return `batch` random samples, (batch, *shape), of the kind that `likely.kind` finds."""
        return likely.values(self, batch, rng)

    def sample_bytes(self) -> int:
        """Return the bytes of one sample."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def varied(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the inputs as random values are made for them.

    Where no input would differ between samples, such as a mask alone, all become plain random numbers.
    """
    if any(likely.kind(spec) not in likely.CONSTANT for spec in specs):
        return tuple(specs)
    return tuple(spec.model_copy(update={"like": "normal"}) for spec in specs)


def random_arrays(specs: Sequence[TensorSpec], batch: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Return `batch` random samples for each input."""
    return tuple(spec.random(batch, rng) for spec in varied(specs))


def describe_random(specs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """Say for each input what `random_arrays` gives it."""
    return tuple(map(likely.describe, varied(specs)))


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
