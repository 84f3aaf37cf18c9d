"""Tiny models as Artifacts, and the context that a build worker would give to a step."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.target import Target
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.formats.torch.outputs import named_outputs
from harness.techniques.registry import CONVERSIONS, TRANSFORMS
from harness.zoo.registry import Data

sys.path.append(str(Path(__file__).resolve().parents[1] / "models"))  # where tiny_factories.py is

VECTOR = (TensorSpec(name="x", shape=(8,)),)
IMAGE = (TensorSpec(name="image", shape=(1, 8, 8)),)
INPUTS = {
    "dense": VECTOR,
    "linear": VECTOR,
    "ones": VECTOR,
    "two_outputs": VECTOR,
    "named": VECTOR,
    "no_weights": VECTOR,
    "wide": (TensorSpec(name="x", shape=(64,)),),
    "conv": IMAGE,
    "residual": (TensorSpec(name="image", shape=(2, 6, 6)),),
    "single_conv": (TensorSpec(name="image", shape=(2, 6, 6)),),
    "tied_head": (TensorSpec(name="tokens", shape=(5,), dtype="int64", high=12),),
    "recurrent": (TensorSpec(name="x", shape=(5, 6)),),
    "summed": (TensorSpec(name="x", shape=(4, 6)),),
    "kinds": (TensorSpec(name="tokens", shape=(5,), dtype="int64", high=12),),
    "attention": (TensorSpec(name="x", shape=(5, 8)),),
    "upward": (TensorSpec(name="image", shape=(4, 5, 5)),),
    "two_inputs": (TensorSpec(name="query", shape=(4,)), TensorSpec(name="key", shape=(4,))),
}


@dataclass
class Context:
    """What a step may ask for (techniques/registry.py, BuildContext)."""

    inputs: tuple[TensorSpec, ...] = VECTOR
    data: Data | None = None
    seed: int = 0
    target: Target = field(default_factory=lambda: Target(batch=2, threads=1))
    cpu_features: frozenset[str] = frozenset()  # the reduced range, exact on any processor
    warnings: list[str] = field(default_factory=list)

    def training_data(self) -> Data:
        if self.data is None:
            raise BuildError("there is no training data: give the model a dataset")
        return self.data

    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def samples(inputs: tuple[TensorSpec, ...], count: int, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Seeded random samples, an array for each input."""
    rng = np.random.default_rng(seed)
    return tuple(spec.random(count, rng) for spec in inputs)


def training(inputs: tuple[TensorSpec, ...], count: int = 64, classes: int = 4) -> Data:
    """Random samples with random labels."""
    return Data(samples(inputs, count), np.random.default_rng(2).integers(0, classes, count))


def source(name: str, folder: Path, **kwargs: Any) -> Artifact:
    """Save the module of `tiny_factories:NAME`, its weights seeded, as an Artifact."""
    import torch

    torch.manual_seed(0)
    factory = f"tiny_factories:{name}"
    folder.mkdir(parents=True, exist_ok=True)
    module = torch_module.call_factory(factory, kwargs)
    if name == "conv":  # running statistics that are not those of a fresh batch norm
        module.norm.running_mean.uniform_(-1, 1)
        module.norm.running_var.uniform_(0.5, 2)
    torch_module.save_module(module, folder, factory, kwargs)
    return Artifact("source", torch_module.FORMAT, folder)


def build(
    step: str, artifact: Artifact, folder: Path, context: Context, **config: Any
) -> tuple[Artifact, Any]:
    """Run a step by name; return its Artifact and what it reports."""
    entry = (TRANSFORMS if step in TRANSFORMS else CONVERSIONS).get(step)
    folder.mkdir(parents=True)
    if entry.selector:
        config[entry.selector] = entry.variant
    report = entry.build(entry.config.model_validate(config), artifact, folder, context)
    return Artifact(step, entry.yields, folder), report


def eager(artifact: Artifact, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Outputs of the module itself."""
    import torch

    with torch.no_grad():
        result = torch_module.load_module(artifact.folder)(*(torch.from_numpy(array) for array in inputs))
    return tuple(part.numpy() for _, part in named_outputs(result))
