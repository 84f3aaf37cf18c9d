"""Failures of libraries become one line: the layer or node, the reason, the remedy."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError, DataError
from harness.formats.torch import module as torch_module
from harness.formats.torch.failures import layer_names
from harness.techniques.blame import check_excluded, naming
from harness.zoo.registry import Data

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


def network():
    return nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))


def test_the_layer_nearest_to_the_failure_is_named():
    module = network()
    with (
        pytest.raises(BuildError, match=r"^pruning failed at layer 1\.1: RuntimeError: mat1 .*; leave it$"),
        naming("pruning failed", layer_names(module), "leave it"),
    ):
        module[1](torch.zeros(1, 3))


def test_a_node_of_an_exported_graph_is_named_by_its_layer():
    graph = torch.export.export(network(), (torch.zeros(1, 4),)).module()
    (node,) = [n for n in graph.graph.nodes if n.op == "call_function" and "linear_1" in n.name]

    def handle(node):
        raise KeyError(node.name)

    with (
        pytest.raises(BuildError, match=r"^PT2E failed at layer 1\.1: KeyError: "),
        naming("PT2E failed", layer_names(network())),
    ):
        handle(node)


def test_without_a_layer_there_is_no_remedy_for_one():
    with (
        pytest.raises(BuildError, match=r"^it failed: ValueError: no memory$"),
        naming("it failed", lambda _: None),
    ):
        raise ValueError("no memory")


def test_a_name_in_the_message_counts_before_what_was_handled_last():
    with (
        pytest.raises(BuildError, match="at node first: "),
        naming("it failed", str, known=["first", "fir", "other"]),
    ):
        raise KeyError("7 first")


def test_errors_of_the_harness_pass_unchanged():
    with pytest.raises(DataError, match=r"^no file$"), naming("it failed", str):
        raise DataError("no file")


def test_unknown_names_are_told_with_a_similar_one_or_an_example():
    check_excluded(["a"], ["a", "b"])
    with pytest.raises(BuildError, match=r"'fc3' is the name of no layer or node; did you mean 'fc1'\?"):
        check_excluded(["fc3"], ["fc1", "conv"])
    with pytest.raises(
        BuildError, match=r"'zzz' is the name of no layer or node; there are 2, such as 'conv'"
    ):
        check_excluded(["zzz"], ["fc1", "conv"])


# ------------------------------------------------------------------ modules that cannot be exported


def branching(folder) -> Artifact:
    """A network in which one layer's code branches on values."""
    (folder / "m").mkdir(parents=True)
    factory = "coupled_nets:branching"
    torch_module.save_module(torch_module.call_factory(factory, {}), folder / "m", factory, {})
    return Artifact("m", torch_module.FORMAT, folder / "m")


@pytest.mark.parametrize(
    ("step", "says", "config"),
    [
        ("quantize/pt2e-static", "torch cannot export the module", {"calibration": {"samples": 8}}),
        ("quantize/torchao-weight-only", "torch cannot export the module", {}),
    ],
)
def test_a_layer_that_cannot_be_exported_is_named(step, says, config, tmp_path):
    pytest.importorskip("torchao")
    context = tiny.Context(tiny.VECTOR, Data(tiny.samples(tiny.VECTOR, 8)))
    with pytest.raises(BuildError, match=rf"^{says} at layer body\.1: ") as caught:
        tiny.build(step, branching(tmp_path), tmp_path / "q", context, **config)
    assert "\n" not in str(caught.value)


def test_layers_under_exclude_stay_in_float_in_a_pt2e_graph():
    pytest.importorskip("torchao")
    from harness.formats.low_precision.torch import _is_dequantized, _operands, _operator
    from harness.techniques.quantize.pt2e_static import _converted

    module = torch_module.call_factory("tiny_factories:dense", {}).eval()
    data = Data((np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32),))
    graph = _converted(module, data, 8, tiny.VECTOR, reduced=True, exclude=("0",))
    layers = [node for node in graph.graph.nodes if _operator(node) == "linear"]
    assert [all(map(_is_dequantized, _operands(node))) for node in layers] == [False, True]


def test_layers_under_exclude_are_not_given_to_torchao():
    pytest.importorskip("torchao")
    from harness.techniques.quantize.torchao import TorchaoWeightOnly, _included, is_dense

    module = network()
    fits = _included(is_dense, module, TorchaoWeightOnly(exclude=("1",)))
    assert [name for name, part in module.named_modules() if fits(part)] == ["0"]
