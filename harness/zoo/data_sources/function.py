"""``{function: "pkg.mod:data"}``: a user's function `data(split)`, or one without arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.errors import DataError, describe
from harness.formats.user_function import import_function
from harness.zoo.data_sources.registry import DATA_SOURCES, DataConfig, DataSource, Inputs
from harness.zoo.registry import Split
from harness.zoo.splits import TEST_NAMES
from harness.zoo.user_code import REFERENCE


class FunctionConfig(DataConfig):
    """A function that returns the samples of a split, or an object that holds them."""

    function: str = Field(pattern=REFERENCE, description="package.module:function")


def load(config: FunctionConfig, _folder: Path, split: Split, inputs: Inputs) -> Any:
    """Call the function; of a mapping by split, take this split. Raises DataError for what it raises."""
    try:
        found = import_function(config.function)
        if isinstance(found, type) or (callable(found) and not hasattr(found, "__getitem__")):
            found = found(split) if _takes_a_split(found) else found()
        names = ("train",) if split == "train" else TEST_NAMES
        by_split = isinstance(found, Mapping) and {"train", *TEST_NAMES} & set(found)
        if by_split and not any(spec.name in found for spec in inputs):
            found = next((found[name] for name in names if name in found), None)
    except Exception as error:
        hint = f"; it was asked for {split!r}, and the splits are train and test" * isinstance(
            error, KeyError
        )
        raise DataError(f"the dataset {config.function!r} raised {describe(error)}{hint}") from error
    return found


def _takes_a_split(function: Callable[..., Any]) -> bool:
    """Whether a function has a positional argument; true where its signature is not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters)


DATA_SOURCES.add(
    "function",
    DataSource(
        "function",
        FunctionConfig,
        "a Python function data(split), its split train or test",
        lambda text: re.fullmatch(REFERENCE, text) is not None,
        load,
    ),
)
