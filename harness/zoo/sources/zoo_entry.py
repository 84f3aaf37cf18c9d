"""``{zoo: mnist-mlp}``: a model of the zoo, with its shipped checkpoint or with seeded random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.artifacts.cache import file_digest
from harness.errors import DataError
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.zoo.assets import locate_asset
from harness.zoo.identities import code_identity, dataset_identity
from harness.zoo.registry import MODELS, Data, Split
from harness.zoo.source import SOURCES, ModelIdentity, ModelName, Source, SourceConfig
from harness.zoo.user_code import load_data


class ZooSource(SourceConfig):
    """`zoo` is a name that `harness list models` shows."""

    zoo: ModelName


def _checkpoint(config: ZooSource, folder: Path) -> Path:
    return locate_asset(f"checkpoints/{config.zoo}.safetensors", folder)


def _identity(config: ZooSource, folder: Path) -> ModelIdentity:
    model = MODELS.get(config.zoo)
    code, data = code_identity(model.factory, folder), dataset_identity(model.dataset, folder)
    weights: Any = {"seed": model.seed}
    if model.recipe is not None:
        path = _checkpoint(config, folder)
        if not path.is_file():
            raise DataError(f"the checkpoint {path.name} is missing: harness train {config.zoo}")
        weights = file_digest(path)
    libraries, files = code.libraries | data.libraries, code.files + data.files
    return ModelIdentity(code.digest, weights, data.digest, libraries, files)


def _build(config: ZooSource, folder: Path, out: Path) -> tuple[TensorSpec, ...]:
    import torch

    from harness.zoo.checkpoints import load_weights

    model = MODELS.get(config.zoo)
    torch.manual_seed(model.seed)
    module = torch_module.call_factory(model.factory)
    if model.recipe is not None:
        weights = load_weights(_checkpoint(config, folder))
        torch_module.place_tensors(module, {name: torch.from_numpy(a) for name, a in weights.items()})
    torch_module.save_module(module, out, model.factory, {})
    return model.inputs


def _data(config: ZooSource, folder: Path, split: Split) -> Data | None:
    model = MODELS.get(config.zoo)
    return load_data(model.dataset, folder, split, model.inputs) if model.dataset else None


SOURCES.add(
    "zoo",
    Source(
        key="zoo",
        config=ZooSource,
        format=torch_module.FORMAT,
        identity=_identity,
        build=_build,
        data=_data,
        has_data=lambda config: MODELS.get(config.zoo).dataset is not None,
        metric=lambda config: MODELS.get(config.zoo).metric,
        dataset=lambda config: MODELS.get(config.zoo).dataset,
        tokens=lambda config: MODELS.get(config.zoo).tokens_per_sample,
        summary="a model of the zoo, with its shipped checkpoint or random weights",
        recognize=lambda argument, folder: (
            {"zoo": argument} if argument in MODELS and not (folder / argument).exists() else None
        ),
    ),
)
