"""``{program: model.pt2}``: a user's own `torch.export` program, as `torch.export.save` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from harness.errors import DataError, first_line
from harness.formats.file_kinds import PROGRAM
from harness.formats.tensors import DTYPES, TensorSpec
from harness.formats.torch import program as torch_program
from harness.zoo.model_file import FileConfig, Opened, file_source
from harness.zoo.source import SOURCES


class ProgramSource(FileConfig):
    """`program` is a file, relative to the suite. Inputs are read from its signature unless given."""

    program: str = Field(description="a file of torch.export.save, relative to the suite")


def _open(path: Path, given: tuple[TensorSpec, ...] | None) -> Opened:
    import torch

    try:
        program = torch.export.load(path)
    except Exception as error:  # torch raises errors of many classes
        raise DataError(f"torch {torch.__version__} cannot load it: {first_line(error)}") from error
    torch_program.take_positional(program)
    inputs = tuple(_spec(value, given) for value in torch_program.inputs_of(program))
    if given and (unknown := sorted({spec.name for spec in given} - {spec.name for spec in inputs})):
        raise DataError(f"inputs name {', '.join(unknown)}; it has {', '.join(spec.name for spec in inputs)}")
    return Opened(
        program,
        torch_program.as_module(program),
        inputs,
        torch_program.fixed_batch(program, axes=[spec.batch_axis for spec in inputs]),
    )


def _spec(value: tuple[str, Any], given: tuple[TensorSpec, ...] | None) -> TensorSpec:
    """Return the input of a signature, or the one of its name that the suite gives."""
    name, tensor = value
    shape = tuple(getattr(tensor, "shape", ()))
    spec = next((one for one in given or () if one.name == name), None)
    axis = 0 if spec is None else spec.batch_axis
    if not hasattr(tensor, "shape") or (axis is not None and len(shape) <= axis):
        raise DataError(f"input {name!r} is no tensor with the batch as dimension {axis or 0}")
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise DataError(f"input {name!r} has dtype {dtype}; allowed: {', '.join(DTYPES)}")
    free = [place for place, size in enumerate(shape) if place != axis and not isinstance(size, int)]
    if spec is None:
        if free:
            raise DataError(
                f"input {name!r} has free dimensions besides the batch; give its shape under inputs"
            )
        return TensorSpec(name=name, shape=shape[1:], dtype=dtype)
    wanted = spec.array_shape(1)
    fits = len(wanted) == len(shape) and all(
        place == axis or place in free or size == shape[place] for place, size in enumerate(wanted)
    )
    if not fits or spec.dtype != dtype:
        has = [size if isinstance(size, int) else "?" for place, size in enumerate(shape) if place != axis]
        raise DataError(f"input {name!r} is given as {list(spec.shape)} {spec.dtype}; it is {has} {dtype}")
    return spec


SOURCES.add(
    "program",
    file_source(
        "program",
        ProgramSource,
        kind=PROGRAM,
        wanted="a torch.export program (.pt2)",
        format=torch_program.FORMAT,
        open_file=_open,
        save=lambda opened, out: torch_program.store(opened.content, out, opened.inputs),
    ),
)
