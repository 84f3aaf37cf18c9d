"""``{hf: folder-or-name, task: text-generation}``: a checkpoint of transformers, local or from the hub."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.artifacts.cache import file_digest
from harness.errors import DataError, first_line
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.zoo.identities import dataset_identity, depends_identity
from harness.zoo.registry import Data, Split
from harness.zoo.source import (
    SOURCES,
    ModelIdentity,
    OwnModel,
    Source,
)
from harness.zoo.user_code import load_data

if TYPE_CHECKING:
    import torch

FACTORY = "harness.zoo.hf_module:build"
RANDOM = "random-tokens"
COMMIT = re.compile("[0-9a-f]{40}")
PADDED_POSITIONS = ("roberta", "xlm-roberta", "camembert")
"""Model types whose positions start after the padding id, so that fewer are left for tokens."""


@dataclass(frozen=True)
class Task:
    """How a task is loaded: transformers' auto class, images or text, and `last` (see hf_module)."""

    model: str
    images: bool = False
    last: bool = False


TASKS = {
    "feature-extraction": Task("AutoModel"),
    "fill-mask": Task("AutoModelForMaskedLM"),
    "image-classification": Task("AutoModelForImageClassification", images=True),
    "text-classification": Task("AutoModelForSequenceClassification"),
    "text-generation": Task("AutoModelForCausalLM", last=True),
}


class HfSource(OwnModel):
    """`hf` is a folder, relative to the suite, or a name on the hub; `task` as transformers names tasks."""

    hf: str = Field(min_length=1, description="a checkpoint's folder, or owner/name on the hub")
    task: Literal[
        "feature-extraction", "fill-mask", "image-classification", "text-classification", "text-generation"
    ]
    revision: str = Field(default="main", description="commit, branch or tag on the hub")
    tokens: int = Field(default=128, ge=1, description="tokens in a sample, if the task takes text")


def _identity(config: HfSource, folder: Path) -> ModelIdentity:
    place = folder / config.hf
    files: dict[str, str] = {}
    if place.is_dir():
        weights = sorted(place.glob("*.safetensors"))
        if not weights:
            raise DataError(f"{config.hf} contains no *.safetensors; pickled weights are not read")
        if not (place / "config.json").is_file():
            raise DataError(f"{config.hf} contains no config.json")
        files = {path.name: file_digest(path) for path in [*weights, *sorted(place.glob("*.json"))]}
    elif place.exists():
        raise DataError(f"{config.hf} is a file; name the checkpoint's folder")
    elif (  # a path, or below a folder that exists: no name on the hub
        config.hf.startswith((".", "/"))
        or config.hf.count("/") > 1
        or (place.parent != folder and place.parent.is_dir())
    ):
        raise DataError(f"{config.hf}: no such folder beside the suite")
    revision = config.revision if files else _commit(config)
    data = dataset_identity(config.dataset or RANDOM, folder)
    code = depends_identity(config.depends, folder)
    return ModelIdentity(code, [files, revision], data.digest, data.libraries, data.files)


def _commit(config: HfSource) -> str:
    """Return the commit of a revision, from the hub's local cache or from the hub, and keep it in the cache.

    So the commit that is loaded later is the one that identifies the model. Raises DataError.
    """
    found = _revision(config)
    if COMMIT.fullmatch(found) or importlib.util.find_spec("transformers") is None:
        return found  # without the library the Cells are skipped with that reason
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        hf_hub_download(config.hf, "config.json", revision=config.revision)
    except Exception as error:  # the hub's client has many errors
        raise DataError(
            f"{config.hf}: the hub did not give its revision {config.revision}: {first_line(error)}"
        ) from error
    return _revision(config)


def _revision(config: HfSource) -> str:
    """Return the commit that the hub's local cache has for the revision, else the revision."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = os.environ.get("HF_HOME") or Path(user) / "huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    ref = cache / f"models--{config.hf.replace('/', '--')}" / "refs" / config.revision
    return ref.read_text().strip() if ref.is_file() else config.revision


def _place(config: HfSource, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the checkpoint's folder, or its name on the hub with its revision."""
    place = folder / config.hf
    if place.is_dir():
        return str(place), {"local_files_only": True}
    return config.hf, {"revision": _revision(config)}


def _inputs(config: HfSource, made: Any) -> tuple[TensorSpec, ...]:
    """Return the inputs by the checkpoint's configuration. Raises DataError for too many tokens."""
    if TASKS[config.task].images:
        size, channels = getattr(made, "image_size", None), getattr(made, "num_channels", 3)
        if size is None:
            raise DataError(f"{config.hf}: its configuration has no image_size")
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        return (TensorSpec(name="pixel_values", shape=(channels, height, width)),)
    most, vocabulary = getattr(made, "max_position_embeddings", None), getattr(made, "vocab_size", None)
    if vocabulary is None:
        raise DataError(f"{config.hf}: its configuration has no vocab_size, so it takes no text")
    if most is not None and getattr(made, "model_type", "") in PADDED_POSITIONS:
        most -= (made.pad_token_id or 0) + 1
    if most is not None and config.tokens > most:
        raise DataError(f"{config.hf} takes at most {most} tokens, not {config.tokens}")
    return (
        TensorSpec(
            name="input_ids",
            shape=(config.tokens,),
            dtype="int64",
            high=vocabulary,
            avoid=_special_ids(made, vocabulary),
        ),
    )


def _special_ids(made: Any, vocabulary: int) -> tuple[int, ...]:
    """Return the ids in the configuration that are not text: padding, begin, end and others.

    A model may skip padding, or take its output from the position of the end.
    """
    named = [value for key, value in made.to_dict().items() if key.endswith("_token_id")]
    ids = {one for value in named for one in (value if isinstance(value, list) else [value])}
    return tuple(sorted(one for one in ids if isinstance(one, int) and 0 <= one < vocabulary))


def _build(config: HfSource, folder: Path, out: Path) -> tuple[TensorSpec, ...]:
    from harness.zoo import hf_module

    where, settings = _place(config, folder)
    inputs = _inputs(config, hf_module.read_config(where, **settings))
    task = TASKS[config.task]
    names = [spec.name for spec in inputs]
    module: torch.nn.Module = hf_module.load(where, task.model, names, last=task.last, **settings).eval()
    made = json.loads(module.model.config.to_json_string(use_diff=False))  # type: ignore[union-attr,operator]
    kwargs = {"config": made, "model": task.model, "inputs": names, "last": task.last}
    torch_module.save_module(module, out, FACTORY, kwargs)
    return inputs


def _data(config: HfSource, folder: Path, split: Split) -> Data:
    from harness.zoo import hf_module

    where, settings = _place(config, folder)
    inputs = _inputs(config, hf_module.read_config(where, **settings))
    return load_data(config.dataset or RANDOM, folder, split, inputs)


SOURCES.add(
    "hf",
    Source(
        key="hf",
        config=HfSource,
        format=torch_module.FORMAT,
        identity=_identity,
        build=_build,
        data=_data,
        has_data=lambda _: True,
        metric=lambda config: config.metric or ("top-1" if config.dataset else "cosine"),
        summary="a checkpoint of transformers: a local folder, or a name on the hub",
        dataset=lambda config: config.dataset or RANDOM,
        tokens=lambda config: None if TASKS[config.task].images else config.tokens,
        needs=lambda _: (("transformers",), "hf"),
    ),
)
