"""``{hf: folder-or-name, task: text-generation}``: a checkpoint of transformers, local or from the hub."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field, WithJsonSchema

from harness.artifacts.cache import file_digest
from harness.errors import DataError, MissingPackageError, first_line, unknown
from harness.formats.file_kinds import SAFETENSORS, check_file, file_kind
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.zoo.hf_tasks import MASK, TASKS, guess_task, task_inputs
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
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+(?<!\.onnx|.\.pt2|.\.pth|..\.py|..\.pt)")


def _known_task(name: str) -> str:
    if name not in TASKS:
        raise ValueError(unknown("task", name, TASKS))
    return name


TaskName = Annotated[str, AfterValidator(_known_task), WithJsonSchema({"enum": list(TASKS)})]


class HfSource(OwnModel):
    """`hf` is a folder, relative to the suite, or a name on the hub; `task` as transformers names tasks."""

    hf: str = Field(min_length=1, description="a checkpoint's folder, or owner/name on the hub")
    task: TaskName
    revision: str = Field(default="main", description="commit, branch or tag on the hub")
    tokens: int = Field(default=128, ge=1, description="tokens in a sample, if the model takes text")
    image_size: int | None = Field(
        default=None, ge=1, description="height and width of images; default: the checkpoint's"
    )
    audio_samples: int = Field(default=16_000, ge=1, description="length of a sample of audio")


def _identity(config: HfSource, folder: Path) -> ModelIdentity:
    place = folder / config.hf
    files: dict[str, str] = {}
    if place.is_dir():
        weights = sorted(place.glob("*.safetensors"))
        if not (place / "config.json").is_file():
            raise DataError(f"{config.hf} is {file_kind(place).text}; wanted: a checkpoint of transformers")
        if not weights:
            raise DataError(
                f"{config.hf} contains no *.safetensors; pickled weights are not read, "
                "since that may run code. save_pretrained() of transformers writes safetensors"
            )
        for path in weights:
            check_file(path, f"{config.hf}/{path.name}", "safetensors weights", SAFETENSORS)
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
    _ask_hub(config.hf, config.revision)
    return _revision(config)


def _ask_hub(name: str, revision: str) -> Path:
    """Return the config.json of a revision, from the hub's local cache or from the hub. Raises DataError."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise MissingPackageError("transformers", "hf") from error
    disable_progress_bars()
    try:
        return Path(hf_hub_download(name, "config.json", revision=revision))
    except Exception as error:  # the hub's client has many errors
        raise DataError(
            f"{name}: the hub did not give its revision {revision}: {first_line(error)}"
        ) from error


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


def _recognize(argument: str, folder: Path) -> dict[str, Any] | None:
    """Take a folder with config.json, or a name on the hub; the task follows from the configuration."""
    place = folder / argument
    if place.is_dir():
        path = place / "config.json"
        if not path.is_file():
            return None
    elif place.exists() or place.parent.is_dir() or HUB_NAME.fullmatch(argument) is None:
        return None
    else:
        path = _ask_hub(argument, "main")
    try:
        return {"hf": argument, "task": guess_task(json.loads(path.read_bytes()))}
    except (ValueError, AttributeError) as error:
        raise DataError(f"{argument}: its config.json is no configuration of a model: {error}") from error
    except DataError as error:
        raise DataError(f"{argument}: {error}") from error


def _configuration(config: HfSource, folder: Path) -> tuple[Any, tuple[TensorSpec, ...]]:
    """Return the checkpoint's configuration and the inputs that follow from it. Raises DataError."""
    from harness.zoo import hf_module

    where, settings = _place(config, folder)
    made, task = hf_module.read_config(where, **settings), TASKS[config.task]
    known = hf_module.parameter_names(where, made, task.model)
    sizes = config.model_dump(include={"tokens", "image_size", "audio_samples"})
    try:
        return made, task_inputs(task, made, known, **sizes)
    except DataError as error:
        raise DataError(f"{config.hf}: {error}") from error


def _load(config: HfSource, folder: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Load the checkpoint; return its module and what makes the module again without the weights."""
    from harness.zoo import hf_module

    where, settings = _place(config, folder)
    task, names = TASKS[config.task], [spec.name for spec in _configuration(config, folder)[1]]
    wanted: dict[str, Any] = {"inputs": names, "last": task.last, "outputs": list(task.outputs)}
    module: Any = hf_module.load(where, task.model, settings, **wanted)
    made = json.loads(module.model.config.to_json_string(use_diff=False))
    return module.eval(), {"config": made, "model": task.model, **wanted}


def _build(config: HfSource, folder: Path, out: Path) -> tuple[TensorSpec, ...]:
    module, kwargs = _load(config, folder)
    torch_module.save_module(module, out, FACTORY, kwargs)
    return _configuration(config, folder)[1]


def _inspect(config: HfSource, folder: Path) -> dict[str, Any]:
    from harness.zoo.module_inspection import inspect_module

    return inspect_module(_load(config, folder)[0], _configuration(config, folder)[1], config.hf)


def _data(config: HfSource, folder: Path, split: Split) -> Data:
    """Return the dataset's samples; where it has only ids, the mask leaves out the padding."""
    made, inputs = _configuration(config, folder)
    dataset, masked = config.dataset or RANDOM, [spec.name for spec in inputs[1:]] == [MASK]
    try:
        data = load_data(dataset, folder, split, inputs)
    except DataError:
        if not masked:
            raise
        with contextlib.suppress(DataError):  # the first error tells more
            return _with_mask(load_data(dataset, folder, split, inputs[:1]), made, inputs[1])
        raise
    if masked and len(data.inputs) == 1:
        return _with_mask(data, made, inputs[1])
    if masked and not np.isin(data.inputs[1], (0, 1)).all():
        raise DataError(
            f"the dataset {dataset!r} ({split}): {MASK} has values other than 0 and 1; if they are labels, "
            "return {'input_ids': …, 'labels': …}"
        )
    return data


def _with_mask(data: Data, made: Any, spec: TensorSpec) -> Data:
    pad = getattr(made, "pad_token_id", None)
    mask = np.ones_like(data.inputs[0]) if pad is None else data.inputs[0] != pad
    return replace(data, inputs=(*data.inputs, mask.astype(spec.dtype)))


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
        tokens=lambda config: config.tokens if TASKS[config.task].takes == "input_ids" else None,
        needs=lambda _: (("transformers",), "hf"),
        recognize=_recognize,
        inspect=_inspect,
    ),
)
