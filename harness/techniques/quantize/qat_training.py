"""Training with fake quantization by torchao's PT2E; the trained weights go back into the module.

In the forward pass, each quantized layer gets inputs and weights rounded to the integers that the runtime
will use; the backward pass ignores the rounding (Jacob et al., "Quantization and Training of Neural Networks
for Efficient Integer-Arithmetic-Only Inference", CVPR 2018). A batch norm is folded into the convolution
before it, so that the weights are rounded as they will be after folding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError
from harness.techniques.finetuning import Training, train
from harness.techniques.quantize.pt2e_static import exported_graph
from harness.techniques.registry import BuildContext

if TYPE_CHECKING:
    import torch

_EPS = 2.0**-12
"""Smallest scale, that of torchao's quantizer for x86."""


@dataclass(frozen=True)
class Grid:
    """The integers to train for: weights in [-weight_max, weight_max], activations in [0, activation_max]."""

    weight_max: int
    activation_max: int
    per_channel: bool


def train_quantized(
    module: torch.nn.Module, grid: Grid, config: Training, context: BuildContext
) -> list[float]:
    """Train `module` in place with fake quantization; return the mean loss of each epoch (nats).

    Weights that pruning set to zero stay zero. Raises BuildError when nothing would be quantized, or when the
    trained weights cannot be copied back.
    """
    _check_batch_norms(module)
    module.requires_grad_(True).train()
    prepared = fake_quantized(module, grid, context)
    # The graph was exported in training mode: torchao's switch would put its own constants into batch norms.
    prepared.train = prepared.eval = lambda *_: prepared
    losses = train(prepared, config, context, keep_zeros=True)
    _copy_back(prepared, module)
    module.requires_grad_(False).eval()
    return losses


def fake_quantized(module: torch.nn.Module, grid: Grid, context: BuildContext) -> Any:
    """Export `module` in its current mode, its batch free, and insert fake quantization around its layers."""
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer().set_global(_settings(grid))
    prepared = prepare_qat_pt2e(exported_graph(module, context.inputs), quantizer)
    if not any(
        node.op == "call_module" and "post_process" in str(node.target) for node in prepared.graph.nodes
    ):
        raise BuildError("nothing would be quantized: the module has no dense or convolution layer")
    _restore_batch_norms(prepared, module)
    return prepared


def _settings(grid: Grid) -> Any:
    """Return quantizer settings: moving averages for activation ranges, current ranges for weights.

    torchao's fused fake quantization is faster, but rounds symmetric weights with other scales.
    """
    import torch
    from torchao.quantization.pt2e import (
        FakeQuantize,
        MovingAverageMinMaxObserver,
        MovingAveragePerChannelMinMaxObserver,
    )
    from torchao.quantization.pt2e.quantizer import QuantizationSpec
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import QuantizationConfig

    def spec(observer: Any, averaging: float, **about: Any) -> Any:
        fake = FakeQuantize.with_args(observer=observer, averaging_constant=averaging, eps=_EPS)
        return QuantizationSpec(observer_or_fake_quant_ctr=fake, **about)

    activations = spec(
        MovingAverageMinMaxObserver,
        0.01,
        dtype=torch.uint8,
        quant_min=0,
        quant_max=grid.activation_max,
        qscheme=torch.per_tensor_affine,
    )
    weights = spec(
        MovingAveragePerChannelMinMaxObserver if grid.per_channel else MovingAverageMinMaxObserver,
        1.0,
        dtype=torch.int8,
        quant_min=-grid.weight_max,
        quant_max=grid.weight_max,
        qscheme=torch.per_channel_symmetric if grid.per_channel else torch.per_tensor_symmetric,
        ch_axis=0 if grid.per_channel else None,
    )
    return QuantizationConfig(activations, activations, weights, None, True)


def _check_batch_norms(module: torch.nn.Module) -> None:
    """Refuse factors of zero: training divides by them to undo the folding."""
    import torch

    kinds = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)
    for name, part in module.named_modules():
        if isinstance(part, kinds) and part.affine and (part.weight == 0).any():
            raise BuildError(f"the batch norm {name!r} has factors of zero, which training cannot fold")


def _restore_batch_norms(prepared: Any, module: torch.nn.Module) -> None:
    """Restore each batch norm's momentum and epsilon, which torchao sets to 0.1 and 1e-5."""
    import torch

    aten = torch.ops.aten

    def norm(variance: Any) -> Any:
        name, _, leaf = str(getattr(variance, "target", "")).rpartition(".")
        return module.get_submodule(name) if leaf == "running_var" else None

    for node in prepared.graph.nodes:
        if node.target is aten.batch_norm.default and (found := norm(node.args[4])) is not None:
            momentum = node.args[6] if found.momentum is None else found.momentum
            node.args = (*node.args[:6], momentum, found.eps, *node.args[8:])
        elif node.target is aten.add.Tensor and (found := norm(node.args[0])) is not None:
            node.args = (node.args[0], found.eps)
    prepared.recompile()


def _copy_back(prepared: Any, module: torch.nn.Module) -> None:
    """Copy trained weights and statistics; a weight with two names is exported under one of them."""
    trained = prepared.state_dict()
    own = module.state_dict()
    found = {name: trained[name] for name in own if name in trained}
    shared = {own[name].data_ptr() for name in found}
    if lost := [name for name in own if name not in found and own[name].data_ptr() not in shared]:
        raise BuildError(f"the exported module lacks {', '.join(lost[:3])}: it cannot be trained this way")
    module.load_state_dict(found, strict=False)
