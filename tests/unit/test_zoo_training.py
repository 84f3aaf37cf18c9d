"""Training: the same seed gives the same weights, zeros stay zero when asked, and faults are told."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.errors import BuildError, DataError, UnknownNameError
from harness.zoo import checkpoints
from harness.zoo.registry import DATASETS, METRICS, MODELS, Data, Dataset, Recipe

torch = pytest.importorskip("torch")

from harness.zoo.fitting import OPTIMIZERS, fit, mean_score, one_cycle, predict  # noqa: E402
from harness.zoo.training import train_zoo_model  # noqa: E402

TOP1, BITS = METRICS.get("top-1"), METRICS.get("bits-per-byte")
RECIPE = Recipe(epochs=3, batch=16, learning_rate=0.02, seed=5)


def blobs(samples=96, seed=0):
    """Images (samples, 1, 8, 8) whose bright quarter is the label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, samples)
    images = 0.1 * rng.standard_normal((samples, 1, 8, 8)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[0, row : row + 4, column : column + 4] += 1
    return images, labels


def net(seed=0):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        nn = torch.nn
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(8 * 64, 4),
        )


def weights_after(recipe=RECIPE, **options):
    images, labels = blobs()
    module = net()
    fit(module, (images,), labels, recipe, **options)
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("augment", [None, "shift", "affine"])
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_the_same_seed_gives_the_same_weights_whatever_the_callers_random_state(augment, optimizer):
    recipe = Recipe(epochs=2, batch=16, learning_rate=0.02, seed=5, augment=augment, optimizer=optimizer)
    torch.manual_seed(1)
    first = weights_after(recipe)
    torch.manual_seed(2)
    second = weights_after(recipe)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_other_weights():
    other = weights_after(Recipe(epochs=3, batch=16, learning_rate=0.02, seed=6))
    assert not torch.equal(weights_after()["5.weight"], other["5.weight"])


def test_the_callers_random_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    weights_after()
    assert torch.equal(torch.rand(1), expected)


def test_training_learns_and_leaves_the_module_as_it_is_laid_out():
    images, labels = blobs()
    module = net()
    losses = fit(module, (images,), labels, RECIPE)
    assert len(losses) == RECIPE.epochs
    assert losses[-1] < losses[0]
    assert mean_score(module, Data(blobs(seed=9)[:1], blobs(seed=9)[1]), TOP1) > 0.9
    assert not module.training
    assert all(p.is_contiguous() for p in module.parameters())


def test_training_works_under_no_grad():
    with torch.no_grad():
        assert not torch.equal(weights_after()["5.weight"], net().state_dict()["5.weight"])


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_zeros_are_kept_when_asked_and_biases_still_train(optimizer):
    recipe = Recipe(epochs=2, batch=16, learning_rate=0.02, weight_decay=0.1, optimizer=optimizer)
    images, labels = blobs()
    for keep in (True, False):
        module = net()
        with torch.no_grad():
            for layer in (module[0], module[5]):
                layer.weight[
                    torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(0)) < 0.6
                ] = 0
        zeros = {name: p == 0 for name, p in module.named_parameters()}
        fit(module, (images,), labels, recipe, keep_zeros=keep)
        for name in ("0.weight", "5.weight"):
            weight = module.get_parameter(name)
            assert zeros[name].any()
            assert bool((weight[zeros[name]] == 0).all()) is keep
            assert (weight[~zeros[name]] != 0).all()
        assert zeros["1.bias"].all()
        assert (module.get_parameter("1.bias") != 0).any()


def test_frozen_parameters_do_not_move_and_nothing_to_train_is_told():
    images, labels = blobs()
    module = net()
    module[0].requires_grad_(False)
    before = module[0].weight.clone()
    fit(module, (images,), labels, RECIPE)
    assert torch.equal(module[0].weight, before)
    with pytest.raises(BuildError, match="nothing to train"):
        fit(module.requires_grad_(False), (images,), labels, RECIPE)


def test_progress_counts_every_step():
    seen = []
    weights_after(progress=seen.append)
    assert [p.step for p in seen] == list(range(1, 19))
    assert {(p.steps, p.epochs) for p in seen} == {(18, 3)}
    assert [p.epoch for p in seen] == [1] * 6 + [2] * 6 + [3] * 6


@pytest.mark.parametrize("batch", [7, 96, 1000])
def test_every_batch_is_full_and_a_small_set_is_one_batch(batch):
    seen = []
    weights_after(Recipe(epochs=1, batch=batch, learning_rate=1e-3), progress=seen.append)
    assert len(seen) == max(96 // batch, 1)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 100])
def test_the_rate_rises_then_falls_and_is_never_zero(steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=9.0)
    schedule, rates = one_cycle(optimizer, 0.5, steps), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert all(1e-5 < rate <= 0.5 for rate in rates)
    assert max(rates) > 0.4
    peak = rates.index(max(rates))
    assert all(a <= b for a, b in itertools.pairwise(rates[: peak + 1]))
    assert all(a >= b for a, b in itertools.pairwise(rates[peak:]))


def test_sequences_and_several_inputs_and_outputs_can_be_trained():
    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(5, 8)
            self.head = torch.nn.Linear(8, 5)

        def forward(self, ids, scale):
            hidden = self.embed(ids) * scale[:, None, None]
            return self.head(hidden), hidden

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, (64, 6))
    module = Tagger()
    losses = fit(module, (ids, np.ones(64, np.float32)), ids, Recipe(epochs=10, batch=8, learning_rate=0.05))
    assert losses[-1] < 0.3 * losses[0]
    assert mean_score(module, Data((ids, np.ones(64, np.float32)), ids), BITS) < 0.3


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        ({"optimizer": "adamv"}, UnknownNameError, "did you mean 'adamw'"),
        ({"augment": "shifts"}, UnknownNameError, "did you mean 'shift'"),
        ({"epochs": 0}, DataError, "at least one epoch"),
        ({"batch": 0}, DataError, "at least one"),
        ({"learning_rate": 1e30, "optimizer": "sgd"}, BuildError, "diverged at step"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_told(change, error, complaint):
    recipe = {"epochs": 1, "batch": 16, "learning_rate": 0.01, **change}
    with pytest.raises(error, match=complaint):
        weights_after(Recipe(**recipe))


def test_data_that_does_not_fit_is_told():
    images, labels = blobs(8)
    for inputs, truth in (((images,), labels[:7]), ((), labels), ((images[:0],), labels[:0])):
        with pytest.raises(DataError, match="as many samples"):
            fit(net(), inputs, truth, RECIPE)
    with pytest.raises(DataError, match="integer labels"):
        fit(net(), (images,), labels.astype(np.float32), RECIPE)
    with pytest.raises(DataError, match="do not fit labels"):
        fit(net(), (images,), np.stack([labels, labels], axis=1), RECIPE)
    with pytest.raises(DataError, match="labels"):
        mean_score(net(), Data((images,)), TOP1)


def test_predict_does_not_depend_on_the_batch_and_keeps_the_mode():
    images, _ = blobs(10)
    module = net().train()
    np.testing.assert_allclose(predict(module, (images,), 3), predict(module, (images,), 10), rtol=1e-5)
    assert module.training


def test_the_mean_score_is_over_all_samples_whatever_the_batch():
    images, labels = blobs(10)
    expected = np.mean(predict(net(), (images,)).argmax(axis=1) == labels)
    for batch in (3, 10, 100):
        assert mean_score(net(), Data((images,), labels), TOP1, batch) == pytest.approx(expected)


def test_a_zoo_model_is_trained_written_and_verified(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    data = Data((rng.standard_normal((64, 1, 28, 28)).astype(np.float32),), rng.integers(0, 10, 64))
    small = Dataset("mnist", "a few", lambda split, root: data, {"file": "sum"}, lambda: {"python": "3"})
    DATASETS.names()
    monkeypatch.setitem(DATASETS._items, "mnist", small)
    recipe = Recipe(epochs=1, batch=32, learning_rate=1e-3, seed=3)
    cards = [train_zoo_model("mnist-mlp", tmp_path / part, recipe=recipe) for part in "ab"]
    assert cards[0]["sha256"] == cards[1]["sha256"]
    path = checkpoints.place("mnist-mlp", tmp_path / "a")
    assert checkpoints.read(path)[1] == cards[0]
    assert cards[0]["dataset_md5"] == {"file": "sum"}
    assert cards[0]["dataset_provenance"] == {"python": "3"}
    assert cards[0]["metric"] == "top-1"
    assert 0 < cards[0]["quality"] < 1
    assert cards[0]["test_samples"] == 64
    assert cards[0]["parameters"] == 784 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10
    assert set(checkpoints.load_weights(path)) == {
        f"layers.{i}.{p}" for i in (0, 2, 4) for p in ("weight", "bias")
    }


def test_a_model_without_a_recipe_or_of_no_name_is_not_trained(tmp_path, monkeypatch):
    import dataclasses

    with pytest.raises(UnknownNameError, match="did you mean 'mnist-mlp'"):
        train_zoo_model("mnist-mpl", tmp_path)
    bare = dataclasses.replace(MODELS.get("mnist-mlp"), recipe=None)
    monkeypatch.setitem(MODELS._items, "mnist-mlp", bare)
    with pytest.raises(DataError, match="no recipe"):
        train_zoo_model("mnist-mlp", tmp_path)


def test_classes_may_be_the_second_axis_and_positions_without_a_class_do_not_count():
    images, _ = blobs(32)
    labels = (images[:, 0] > 0.5).astype(np.int64)
    recipe = Recipe(epochs=4, batch=16, learning_rate=0.1, seed=0)
    torch.manual_seed(0)
    first = torch.nn.Conv2d(1, 3, 1)
    last = torch.nn.Sequential(first, torch.nn.Flatten(2), torch.nn.Unflatten(2, (8, 8)))
    start = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    losses = fit(last, (images,), labels, recipe)
    assert losses[-1] < losses[0]
    half = np.concatenate([labels[:, :4], np.full_like(labels[:, 4:], 255)], axis=1)
    first.load_state_dict(start)
    ignored = fit(last, (images,), half, recipe)
    first.load_state_dict(start)
    assert ignored == fit(last, (images,), np.where(half == 255, -1, half), recipe) != losses
