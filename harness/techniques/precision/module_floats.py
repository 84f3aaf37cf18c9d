"""bfloat16 and float16 for PyTorch modules, inputs and outputs kept in float32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.low_precision.shares import FLOAT, Product, in_words, tally
from harness.formats.tensors import TensorSpec
from harness.formats.torch import module as torch_module
from harness.formats.torch.export import example_tensors
from harness.formats.torch.work import HIDDEN, formulas, watch_operators
from harness.techniques.precision.settings import BFloat16, Float16
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import torch

_ABOUT: dict[str, Any] = {
    "implementation": "module",
    "takes": (torch_module.FORMAT,),
    "yields": torch_module.FORMAT,
    "packages": ("torch",),
    "keeps": ("parameters", "nonzero_parameters", "flops_per_sample"),
}


@transform(
    "precision",
    BFloat16,
    select=("dtype", "bf16"),
    summary="weights and arithmetic of a PyTorch module in bfloat16",
    **_ABOUT,
)
def to_bfloat16(_: BFloat16, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Cast the module, and report which arithmetic is really in bfloat16."""
    return _cast("bfloat16", source, out, context)


@transform(
    "precision",
    Float16,
    select=("dtype", "fp16"),
    summary="weights and arithmetic of a PyTorch module in float16",
    **_ABOUT,
)
def to_float16(_: Float16, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Cast the module, and report which arithmetic is really in float16."""
    return _cast("float16", source, out, context)


def _cast(dtype: str, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    import torch

    module = torch_module.load_module(source.folder)
    finite = {name for name, t in module.state_dict().items() if torch.isfinite(t).all()}
    module.to(getattr(torch, dtype))
    if lost := sorted(n for n, t in module.state_dict().items() if n in finite and not t.isfinite().all()):
        raise BuildError(f"{', '.join(lost[:3])}: weights beyond the largest number of {dtype}")
    torch_module.save_changed(module, source.folder, out, dtype=dtype)
    return _report(torch_module.load_module(out), context.inputs, dtype)


def _report(module: torch.nn.Module, inputs: tuple[TensorSpec, ...], dtype: str) -> dict[str, Any]:
    """Count, in a run on one item, products and convolutions by their type of float, and weights' bytes."""
    found = [
        Product(name, str(i), flops, dtype if is_half else FLOAT)
        for i, (name, is_half, flops) in enumerate(_computed(module, inputs))
    ]
    if all(product.kind == "float" for product in found):
        raise BuildError("nothing computes in 16 bits: the module has no dense or convolution operator")
    counted = tally(found)
    weights = [tensor for tensor in module.parameters() if tensor.dim() > 1]
    total = sum(tensor.nbytes for tensor in weights)
    return {
        **counted,
        "compute_dtype": in_words(counted["flops_by_type"]),
        "low_precision_weight_share": sum(t.nbytes for t in weights if t.itemsize == 2) / max(total, 1),
    }


def _computed(
    module: torch.nn.Module, inputs: tuple[TensorSpec, ...]
) -> list[tuple[str, bool, float | None]]:
    """Name, whether in 16 bits, and FLOPs (None where it hides them) of each product and convolution."""
    found: list[tuple[str, bool, float | None]] = []
    known = formulas()

    def look(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        hidden = operator.__name__ in HIDDEN
        if operator in known or hidden:
            first = result[0] if isinstance(result, (tuple, list)) else result
            flops = None if hidden else float(known[operator](*args, **kwargs, out_val=result))
            found.append((operator.__name__, first.itemsize == 2, flops))

    watch_operators(module, example_tensors(inputs, 1, seed=0), look)
    return found
