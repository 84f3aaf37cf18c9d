"""What the evaluation takes of the outputs, and metrics that are refused before anything is timed."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from harness.errors import BuildError
from harness.formats.outputs import OutputSpec
from harness.runner.workers.evaluation_view import View, checked, chosen_outputs, view_for
from harness.zoo.registry import METRICS
from harness.zoo.user_metric import find_metric

RNG = np.random.default_rng(0)
SPECS = tuple(OutputSpec(name, (3,), "float32") for name in ("logits", "mask"))


def viewed(metric: str, output: np.ndarray, labels: np.ndarray | None, stated: int | None = None):
    view, truth = view_for(METRICS.get(metric), View(), output, labels, stated)
    return view, view.of([output]), truth


def test_an_output_is_named_by_name_index_or_all() -> None:
    assert chosen_outputs(None, SPECS, 2) == (0,)
    assert chosen_outputs("mask", SPECS, 2) == (1,)
    assert chosen_outputs(-1, (), 2) == (1,)
    assert chosen_outputs("all", SPECS, 2) == (0, 1)
    with pytest.raises(BuildError, match=r"no output 'boxes'; it has logits, mask, or all"):
        chosen_outputs("boxes", SPECS, 2)
    with pytest.raises(BuildError, match=r"no output 2; it has 0 to 1, or all"):
        chosen_outputs(2, (), 2)


def test_agreement_of_an_image_is_the_share_of_pixels_of_the_same_class() -> None:
    reference = RNG.standard_normal((4, 3, 8, 8))
    found = reference.copy()
    found[0, :, :4] = -found[0, :, :4]  # another class in half of the pixels of one image
    view, truth, _ = viewed("agreement", reference, None)
    assert view.class_axis == 1
    assert METRICS.get("agreement").score((view.of([found]),), truth).tolist() == [0.5, 1, 1, 1]


def test_a_stated_class_axis_is_taken() -> None:
    output = RNG.standard_normal((4, 6, 3))
    assert viewed("agreement", output, None)[0].class_axis == 2
    assert viewed("agreement", output, None, stated=1)[0].class_axis == 1


@pytest.mark.parametrize(("output", "threshold"), [([[0.2], [0.9]], 0.5), ([[-2.0], [0.3]], 0.0)])
def test_binary_outputs_are_compared_with_a_threshold(output, threshold) -> None:
    view, seen, truth = viewed("top-1", np.array(output), np.array([0, 1]))
    assert view.threshold == threshold
    assert METRICS.get("top-1").score((seen,), truth).tolist() == [1, 1]


def test_all_outputs_together_count_alike_whatever_their_scale() -> None:
    view = View((0, 1), scales=(1.0, 1e-3))
    reference = [np.ones((2, 2)), np.full((2, 2), 1000.0)]
    small_one_wrong, large_one_wrong = [reference[0] * 2, reference[1]], [reference[0], reference[1] * 2]
    metric = METRICS.get("relative-error")
    first = metric.score((view.of(small_one_wrong),), view.of(reference))
    assert first.tolist() == pytest.approx(
        metric.score((view.of(large_one_wrong),), view.of(reference)).tolist()
    )


def test_a_view_survives_json() -> None:
    view = View((1, 0), None, 0.5, (1.0, 2.0))
    assert View.from_dict({**asdict(view), "outputs": [1, 0], "scales": [1.0, 2.0]}) == view


@pytest.mark.parametrize(
    ("metric", "output", "labels", "fits"),
    [
        ("agreement", RNG.standard_normal((8, 1)), None, "relative-error"),
        ("top-1", RNG.standard_normal((8, 1)), RNG.standard_normal(8), "rmse"),
        ("top-1", RNG.standard_normal((8, 3)), np.full(8, 7), "agreement"),
        ("rmse", RNG.standard_normal((8, 3)), RNG.integers(0, 3, 8), "top-1"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused_with_those_that_do(metric, output, labels, fits) -> None:
    with pytest.raises(BuildError, match=f"the metric {metric} does not fit: .*; metrics that fit: .*{fits}"):
        checked(metric, METRICS.get(metric), View(), output, labels, None)


def test_a_metric_that_fits_is_not_refused() -> None:
    labels = RNG.integers(0, 3, (8, 4, 4))
    checked("mean-iou", METRICS.get("mean-iou"), View(), RNG.standard_normal((8, 3, 4, 4)), labels, None)


def test_a_users_metric_scores_samples_or_all_at_once(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own_scores.py").write_text(
        "import numpy as np\n"
        "def each(outputs, labels):\n    return np.abs(outputs[:, 0] - labels['v'])\n"
        "each.unit, each.higher_is_better = 'mm', False\n"
        "def share(outputs, labels):\n    return float((outputs[:, 0] == labels['v']).mean())\n"
        "def wrong(outputs, labels):\n    return np.zeros((3, 3))\n"
        "def fails(outputs, labels):\n    raise KeyError('boxes')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    labels = np.array([(1.0,), (2.0,), (5.0,)], dtype=[("v", "f8")])  # labels of any kind
    outputs = (np.array([[1.0], [2.0], [3.0]]),)
    each = find_metric("own_scores:each", tmp_path)
    assert (each.unit, each.higher_is_better) == ("mm", False)
    assert each.score(outputs, labels).tolist() == [0, 0, 2]
    assert find_metric("own_scores.py:each", tmp_path).name == "own_scores.py:each"  # by its path
    assert find_metric("own_scores:share", tmp_path).score(outputs, labels).mean() == pytest.approx(2 / 3)
    for name, why in (("wrong", r"returned shape \(3, 3\)"), ("fails", "failed: KeyError.*boxes")):
        with pytest.raises(BuildError, match=why):
            checked(
                f"own_scores:{name}",
                find_metric(f"own_scores:{name}", tmp_path),
                View(),
                *outputs,
                labels,
                None,
            )
