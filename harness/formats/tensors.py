"""Inputs of a model: their names, shapes and dtypes, and example values for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from harness.errors import BuildError, unknown
from harness.formats import likely

Array = NDArray[np.generic]

DTYPES = ("float32", "float16", "float64", "int64", "int32", "int8", "uint8", "bool")


def _known_dtype(name: str) -> str:
    if name not in DTYPES:
        raise ValueError(unknown("dtype", name, DTYPES))
    return name


class TensorSpec(BaseModel):
    """One input of a model, without its batch dimension.

    `shape` is the shape of one sample: a 28 × 28 gray image is ``[1, 28, 28]``. `batch_axis` is the place of
    the batch in the model's own array; None: the array has no batch and is the same for every call. Random
    integers lie in [0, `high`), without those in `avoid`; for token ids, `high` is the vocabulary's size.
    `like` says what random values look like, where name, dtype and shape do not tell (formats/likely.py).

    Samples are kept as (samples, *shape), whatever the axis is; `place` makes the array of a call from them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "input"
    shape: tuple[Annotated[int, Field(ge=0)], ...] = Field(
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
    batch_axis: Annotated[int, Field(ge=0)] | None = Field(
        default=0, description="dimension that is the batch; null: none, the same array for every call"
    )
    value: float | None = Field(default=None, description="the only value, such as a sample rate")
    fill: Literal["random", "zeros", "ones"] = Field(
        default="random", description="values where there is no data; zeros: a state that stays empty"
    )

    @model_validator(mode="after")
    def _places_the_batch(self) -> TensorSpec:
        if self.batch_axis is not None and self.batch_axis > len(self.shape):
            raise ValueError(f"batch_axis: {self.batch_axis} is no dimension of {len(self.shape) + 1}")
        if self.value is not None and self.fill != "random":
            raise ValueError("value and fill: give one of them")
        whole = not self.dtype.startswith("float")
        if self.value is not None and whole and np.array(self.value).astype(self.dtype) != self.value:
            raise ValueError(f"value: {self.value:g} is no {self.dtype}")
        return self

    @model_validator(mode="after")
    def _leaves_some_integers(self) -> TensorSpec:
        if len({value for value in self.avoid if 0 <= value < self.high}) == self.high:
            raise ValueError(f"avoid: leaves none of the integers below {self.high}")
        if self.like == "image" and len(self.shape) < 2:
            raise ValueError("like: an image has at least two dimensions")
        if self.like == "tokens" and self.dtype.startswith(("float", "bool")):
            raise ValueError(f"like: tokens are integers, not {self.dtype}")
        return self

    @property
    def constant(self) -> float | None:
        """Return the only value of the input, or None where values differ."""
        return self.value if self.fill == "random" else float(self.fill == "ones")

    def array_shape(self, batch: int) -> tuple[int, ...]:
        """Return the shape of the array that a call with `batch` samples takes."""
        if self.batch_axis is None:
            return self.shape
        return (*self.shape[: self.batch_axis], batch, *self.shape[self.batch_axis :])

    def place(self, samples: Array) -> Array:
        """Return the array that a call takes, from its samples (samples, *shape)."""
        return place(samples, self.batch_axis)

    def example(self, batch: int, rng: np.random.Generator) -> Array:
        """Return a random array of `array_shape(batch)`."""
        return self.place(self.random(max(batch, 1), rng))

    def random(self, batch: int, rng: np.random.Generator) -> Array:
        """Return `batch` samples, (batch, *shape): the constant, or values of the kind that `likely` finds.

        Without a batch, all samples are the same.
        """
        size = (batch, *self.shape)
        if self.constant is not None:
            return np.full(size, self.constant, self.dtype)
        if self.batch_axis is None and batch > 1:
            return np.repeat(self.random(1, rng), batch, axis=0)
        return likely.values(self, batch, rng)

    def sample_bytes(self) -> int:
        """Return the bytes of one sample."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def varied(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the inputs as random values are made for them.

    Where no input would differ between samples, such as a mask alone, all become plain random numbers.
    """
    free = [spec for spec in specs if spec.constant is None]
    if any(likely.kind(spec) not in likely.CONSTANT for spec in free):
        return tuple(specs)
    return tuple(spec.model_copy(update={"like": "normal"}) for spec in specs)


def random_arrays(specs: Sequence[TensorSpec], batch: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Return `batch` random samples for each input."""
    return tuple(spec.random(batch, rng) for spec in varied(specs))


def describe_random(specs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """Say for each input what `random_arrays` gives it."""
    return tuple(
        likely.describe(spec) if spec.constant is None else f"{spec.name}: {spec.constant:g}"
        for spec in varied(specs)
    )


def place(samples: Array, axis: int | None) -> Array:
    """Return samples (samples, …) as an array whose dimension `axis` is the batch; None: the first sample."""
    return np.ascontiguousarray(np.moveaxis(samples, 0, axis)) if axis is not None else np.array(samples[0])


def count_samples(arrays: Sequence[Array], axes: Sequence[int | None]) -> int:
    """Return the samples in the arrays of one call; 1 where no input has a batch."""
    return next((a.shape[axis] for a, axis in zip(arrays, axes, strict=True) if axis is not None), 1)


def completed(arrays: Sequence[Array], specs: Sequence[TensorSpec]) -> tuple[Array, ...]:
    """Return arrays of samples for all `specs`, where those of constant inputs may be left out.

    Samples of an input without a batch may be one array of its shape. What does not fit stays as it is.
    """
    varying = [spec for spec in specs if spec.constant is None]
    count = next((len(a) for a, s in zip(arrays, varying, strict=False) if s.batch_axis is not None), 1)
    given = list(arrays)
    if len(arrays) == len(varying) < len(specs):
        rest = iter(arrays)
        rng = np.random.default_rng(0)
        given = [next(rest) if spec.constant is None else spec.random(1, rng)[0] for spec in specs]
    return tuple(
        np.broadcast_to(array, (count, *spec.shape))
        if (spec.batch_axis is None or spec.constant is not None) and array.shape == spec.shape
        else array
        for array, spec in zip(given, specs, strict=False)
    ) + tuple(given[len(specs) :])


def refuse_other_axes(specs: Sequence[TensorSpec], what: str) -> None:
    """Raise BuildError where an input's batch is not its first dimension: `what` cannot cut its samples."""
    for spec in specs:
        if spec.batch_axis != 0:
            axis = "null" if spec.batch_axis is None else spec.batch_axis
            raise BuildError(
                f"{what} needs the batch as first dimension; input {spec.name!r} has batch_axis: {axis}"
            )


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
