"""What is seen of a compiled graph: products by whole names, weights where they are stored, no failures."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from harness.formats.aoti import graph as aoti_graph  # noqa: E402


@pytest.mark.parametrize(
    "name",
    [
        *(
            "mm",
            "addmm",
            "bmm",
            "baddbmm",
            "_int_mm",
            "_weight_int8pack_mm",
            "convolution",
            "conv_transpose2d",
        ),
        *(
            "linear",
            "_linear_pointwise",
            "qlinear_unary",
            "qconv2d_pointwise",
            "qconv_pointwise",
            "mkldnn_rnn_layer",
        ),
        "_scaled_dot_product_flash_attention_for_cpu",
    ],
)
def test_products_are_known_by_a_word_of_their_name(name: str) -> None:
    assert aoti_graph._is_product(name)


@pytest.mark.parametrize(
    "name", ["lgamma", "cummax", "upsample_bilinear2d", "linear_prepack", "convert_element_type"]
)
def test_names_that_contain_a_product_are_none(name: str) -> None:
    assert not aoti_graph._is_product(name)


def graph_of_two_products(between):
    """x @ w, then `between`, then that as the second operand of another product."""
    graph = torch.fx.Graph()
    x, w = graph.placeholder("arg0"), graph.placeholder("w")
    first = graph.call_function(torch.ops.aten.mm.default, (x, w))
    last = graph.call_function(torch.ops.aten.mm.default, (x, between(graph, first, w)))
    for node in graph.nodes:
        node.meta["val"] = torch.zeros(4, 4)
    return graph, last


def relu(graph, first, w):
    return graph.call_function(torch.ops.aten.relu.default, (first,))


def view(graph, first, w):
    return graph.call_function(torch.ops.aten.t.default, (w,))


@pytest.mark.parametrize(("between", "stored"), [(relu, None), (view, "float32")])
def test_what_a_product_made_is_no_stored_weight(between, stored) -> None:
    graph, _ = graph_of_two_products(between)
    note, seen = aoti_graph.watch()
    note(graph)
    assert [one.stored for one in seen.products] == ["float32", stored]


def test_a_product_that_cannot_be_read_is_unknown() -> None:
    graph, last = graph_of_two_products(view)
    last.meta["val"] = SimpleNamespace()
    last.args = (last.args[0], last.args[1])
    note, seen = aoti_graph.watch()
    broken = SimpleNamespace(op="call_function", target=torch.ops.aten.mm.default, name="broken")
    note(SimpleNamespace(nodes=[*graph.nodes, broken]))
    assert (seen.products[-1].name, seen.products[-1].flops) == ("broken", None)
    assert seen.products[0].flops == 2 * 4 * 4 * 4
