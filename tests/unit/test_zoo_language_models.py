"""Language models: standard shapes, a cache that is one, and exports with the same outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.formats.tensors import TensorSpec
from harness.zoo.registry import DATASETS, MODELS

torch = pytest.importorskip("torch")

from harness.formats.torch.export import batch_shapes, example_tensors, quiet_exporter  # noqa: E402
from harness.formats.torch.work import flop_counter  # noqa: E402
from harness.zoo.nets import transformer  # noqa: E402

TINY = transformer.TransformerShape(vocabulary=100, context=32, width=64, layers=2, heads=4)
TOKENS = (TensorSpec(name="tokens", shape=(16,), dtype="int64", high=100),)
CACHE = tuple(TensorSpec(name=f"past_{index}", shape=(4, 16, 16)) for index in range(4))
TOKEN = (TensorSpec(name="token", shape=(1,), dtype="int64", high=100),)


def made(net, shape=TINY):
    torch.manual_seed(0)
    return net(shape).eval().requires_grad_(False)


CASES = {
    "every position": (transformer.LanguageModel, TOKENS),
    "prefill": (transformer.Prefill, TOKENS),
    "decode": (transformer.Decode, (*TOKEN, *CACHE)),
    "encoder": (lambda s: transformer.Encoder(transformer.TransformerShape(100, 32, 64, 2, 4)), TOKENS),
}


@pytest.fixture(params=CASES)
def case(request):
    net, specs = CASES[request.param]
    return made(net), specs


def test_going_on_from_the_cache_equals_reading_everything_again():
    prefill, decode, whole = (
        made(transformer.Prefill),
        made(transformer.Decode),
        made(transformer.LanguageModel),
    )
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 100, (2, 19)))
    _, *cache = prefill(tokens[:, :16])
    for position in range(16, 19):
        logits, *new = decode(tokens[:, position : position + 1], *cache)
        torch.testing.assert_close(logits, prefill(tokens[:, : position + 1])[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(logits, whole(tokens)[:, position], rtol=1e-5, atol=1e-6)
        cache = [torch.cat(pair, dim=2) for pair in zip(cache, new, strict=True)]
    for mine, again in zip(cache, prefill(tokens)[1:], strict=True):
        torch.testing.assert_close(mine, again, rtol=1e-5, atol=1e-6)


def test_no_position_sees_what_comes_after_it():
    whole = made(transformer.LanguageModel)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 100, (1, 16)))
    changed = tokens.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 100
    apart = (whole(tokens) - whole(changed)).abs().amax(dim=-1)[0]
    assert bool((apart[:9] == 0).all())
    assert bool((apart[9:] > 1e-4).all())


def test_the_encoder_sees_both_sides():
    net, _ = CASES["encoder"]
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 100, (1, 16)))
    changed = tokens.clone()
    changed[:, 15] = (changed[:, 15] + 1) % 100
    module = made(net)
    assert bool(((module(tokens) - module(changed)).abs().amax(dim=-1) > 1e-4).all())


def test_it_becomes_an_onnx_graph_with_a_free_batch_and_the_same_outputs(case, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    module, specs = case
    path = tmp_path / "model.onnx"
    with quiet_exporter():
        torch.onnx.export(
            module,
            example_tensors(specs, 2, seed=0),
            path,
            dynamo=True,
            dynamic_shapes=batch_shapes(module, specs),
            verbose=False,
        )
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        inputs = example_tensors(specs, batch, seed=batch)
        names = [value.name for value in session.get_inputs()]
        found = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        wanted = module(*inputs)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for mine, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-3, atol=1e-5)


def test_flops_count_products_and_attention_and_torch_and_the_graph_agree(case, tmp_path):
    onnx = pytest.importorskip("onnx")
    from harness.formats.onnx.flops import node_flops

    module, specs = case
    with flop_counter() as counter:
        module(*example_tensors(specs, 1, seed=0))
    positions, seen = (1, 17) if len(specs) > 1 else (16, 16)
    heads = 1 if len(specs) > 1 or isinstance(module, transformer.Prefill) else 16
    dense = 2 * positions * 2 * 12 * 64 * 64
    attention = 2 * 2 * 2 * positions * seen * 64
    head = 0 if isinstance(module, transformer.Encoder) else 2 * heads * 64 * 100
    assert counter.get_total_flops() == dense + attention + head
    with quiet_exporter():
        torch.onnx.export(
            module, example_tensors(specs, 1, seed=0), tmp_path / "model.onnx", dynamo=True, verbose=False
        )
    assert sum(node_flops(onnx.load(tmp_path / "model.onnx"))) == dense + attention + head


@pytest.mark.parametrize(
    ("name", "parameters"), [("bert-base", 108_891_648), ("gpt2-small-prefill", 124_439_808)]
)
def test_it_has_the_published_number_of_parameters(name, parameters):
    from harness.formats.torch.module import call_factory

    with torch.device("meta"):
        module = call_factory(MODELS.get(name).factory)
    assert sum(p.numel() for p in module.parameters()) == parameters


def test_shapes_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    gpt2, bert = transformers.GPT2Config(), transformers.BertConfig()
    assert (
        transformer.TransformerShape(
            gpt2.vocab_size, gpt2.n_positions, gpt2.n_embd, gpt2.n_layer, gpt2.n_head
        )
        == transformer.GPT2_SMALL
    )
    assert (
        transformer.TransformerShape(
            bert.vocab_size,
            bert.max_position_embeddings,
            bert.hidden_size,
            bert.num_hidden_layers,
            bert.num_attention_heads,
            bert.type_vocab_size,
        )
        == transformer.BERT_BASE
    )
    assert (gpt2.n_inner or 4 * gpt2.n_embd, bert.intermediate_size) == (4 * 768, 4 * 768)


def test_prefill_and_decode_have_the_same_inputs_and_weights():
    prefill, decode = MODELS.get("gpt2-small-prefill"), MODELS.get("gpt2-small-decode")
    assert prefill.seed == decode.seed
    shape = transformer.GPT2_SMALL
    cached = (shape.heads, prefill.tokens_per_sample, shape.width // shape.heads)
    assert [spec.shape for spec in decode.inputs[1:]] == [cached] * (2 * shape.layers)
    for mine, theirs in zip(
        made(transformer.Prefill).state_dict().values(),
        made(transformer.Decode).state_dict().values(),
        strict=True,
    ):
        assert torch.equal(mine, theirs)


def test_random_tokens_are_seeded_fit_the_model_and_stay_small():
    dataset = DATASETS.get("random-tokens")
    for name in ("bert-base", "gpt2-small-decode"):
        specs = MODELS.get(name).inputs
        first, again, other = (dataset.samples(s, Path(), specs) for s in ("test", "test", "train"))
        assert [x.shape[1:] for x in first.inputs] == [spec.shape for spec in specs]
        assert 0 <= first.inputs[0].min() <= first.inputs[0].max() < specs[0].high
        np.testing.assert_array_equal(first.inputs[0], again.inputs[0])
        assert not np.array_equal(first.inputs[0], other.inputs[0][: len(first)])
        assert 4 <= len(first) <= 16
        assert sum(x.nbytes for x in first.inputs) <= 160_000_000


def test_a_table_of_embeddings_is_no_weight_that_a_call_reads_but_a_tied_head_is(case, tmp_path):
    onnx = pytest.importorskip("onnx")
    from harness.formats.onnx.traffic import count_traffic as of_graph
    from harness.formats.torch.work import count_traffic as of_module

    module, specs = case
    example = example_tensors(specs, 1, seed=0)
    parameters = 4 * sum(p.numel() for p in module.parameters())
    table = 4 * 100 * 64 if isinstance(module, transformer.Encoder) else 0
    moved = of_module(module, example)
    assert moved["weight_bytes"] == parameters - table
    with quiet_exporter():
        torch.onnx.export(module, example, tmp_path / "model.onnx", dynamo=True, verbose=False)
    graph = of_graph(onnx.load(tmp_path / "model.onnx"))
    # The graph keeps the positions that are used, and equal ones of the untrained biases once.
    assert graph["weight_bytes"] == pytest.approx(parameters - table, abs=4 * 32 * 64 + 6000)
    products = moved["activation_bytes"]
    assert 0.9 * products < graph["activation_bytes"] < 2 * products  # attention is one operator in torch
