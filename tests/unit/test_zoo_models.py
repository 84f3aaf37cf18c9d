"""The zoo's registries stay light, and its networks take what techniques do to them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from harness.zoo.registry import DATASETS, METRICS, MODELS

NAMES = ("mnist-cnn", "mnist-mlp", "mnist-resnet")
MAX_FLOPS = 60e6


def test_reading_all_registries_imports_no_ml_library():
    code = (
        "import sys\n"
        "from harness.zoo.registry import DATASETS, METRICS, MODELS\n"
        "from harness.zoo import checkpoints\n"
        "assert MODELS.names() and DATASETS.names() and METRICS.names()\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'torch_pruning', 'pandas', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_model_names_a_dataset_a_metric_and_its_source():
    assert set(NAMES) <= set(MODELS.names())
    for name, model in MODELS.items():
        assert model.name == name
        assert model.summary
        assert model.source
        assert model.metric in METRICS
        assert model.dataset is None or model.dataset in DATASETS


@pytest.fixture(params=NAMES)
def model(request):
    return MODELS.get(request.param)


def build(model):
    pytest.importorskip("torch")
    from harness.formats.torch.module import call_factory

    return call_factory(model.factory)


def images(count):
    import torch

    return torch.from_numpy(np.random.default_rng(0).standard_normal((count, 1, 28, 28)).astype(np.float32))


def test_logits_are_finite_and_the_cost_is_bounded(model):
    module = build(model)
    from torch.utils.flop_counter import FlopCounterMode

    logits = module(images(3))
    assert logits.shape == (3, 10)
    assert bool(logits.isfinite().all())
    with FlopCounterMode(display=False) as counter:
        module(images(1))
    assert 0 < counter.get_total_flops() <= MAX_FLOPS


def test_it_exports_with_a_free_batch(model):
    from harness.formats.torch.export import batch_shapes

    module = build(model)
    import torch

    program = torch.export.export(module, (images(2),), dynamic_shapes=batch_shapes(module, model.inputs))
    for count in (1, 5):
        torch.testing.assert_close(
            program.module()(images(count)), module(images(count)), rtol=1e-4, atol=1e-5
        )


def test_its_channels_can_be_pruned_and_it_trains_on(model):
    module = build(model)
    import torch_pruning as tp

    from harness.zoo.fitting import fit
    from harness.zoo.registry import Recipe

    before, _ = tp.utils.count_ops_and_params(module, images(2))
    head = [part for part in module.modules() if type(part).__name__ == "Linear"][-1]
    tp.pruner.BasePruner(
        module,
        images(2),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=[head],
        round_to=8,
    ).step()
    after, _ = tp.utils.count_ops_and_params(module, images(2))
    assert after < 0.6 * before
    assert module(images(4)).shape == (4, 10)
    recipe = Recipe(epochs=1, batch=4, learning_rate=1e-3)
    fit(module, (images(8).numpy(),), np.arange(8), recipe)
    assert bool(module(images(4)).isfinite().all())


def test_the_deepest_becomes_an_onnx_graph_with_the_same_outputs(tmp_path):
    ort = pytest.importorskip("onnxruntime")
    from harness.formats.torch.export import batch_shapes, quiet_exporter

    model = MODELS.get("mnist-resnet")
    module = build(model)
    import torch

    path = tmp_path / "model.onnx"
    with quiet_exporter():
        torch.onnx.export(
            module,
            (images(2),),
            path,
            dynamo=True,
            dynamic_shapes=batch_shapes(module, model.inputs),
            verbose=False,
        )
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 5):
        (found,) = session.run(None, {session.get_inputs()[0].name: images(count).numpy()})
        np.testing.assert_allclose(found, module(images(count)).detach().numpy(), rtol=1e-3, atol=1e-4)
