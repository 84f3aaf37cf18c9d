"""Techniques as they run: impossible ones are refused, formats are connected by the shortest chain."""

from __future__ import annotations

import contextlib
import itertools
import json
import math

import pytest
from suite_texts import content, problems, read, told

from harness.errors import HarnessError, SuiteError
from harness.runtimes.registry import RUNTIMES
from harness.suite.pipeline import Pipeline
from harness.techniques.registry import (
    CONVERSIONS,
    DEPLOYMENTS,
    TRANSFORMS,
    StepConfig,
    Transform,
    families,
    transform,
)
from harness.zoo.source import SOURCES, Source, SourceConfig

ORT, EAGER = {"runtime": "onnxruntime"}, {"runtime": "torch-eager"}
INT8, HALF = {"quantize": {"method": "static"}}, {"prune": {"structure": "channel", "pruning_ratio": 0.5}}
TWICE = {"replicate": {"replicas": 2}}
METHODS = ", ".join(sorted(families()["quantize"].variants))


def pipeline(folder, *steps) -> Pipeline:
    return read(folder, content(techniques={"t": list(steps)})).pipelines["t"]


@pytest.mark.parametrize(
    ("steps", "where", "says"),
    [
        ([], "", "has no runtime; add one of onnxruntime, openvino, torch-compile, torch-eager"),
        ([INT8], "", "has no runtime"),
        ([ORT, INT8], "[1].quantize", "quantize comes after the runtime; transforms come before it"),
        ([ORT, EAGER], "[1].runtime", "a second runtime; a technique has exactly one"),
        ([TWICE, ORT], "[0].replicate", "replicate comes before the runtime; a deployment comes after it"),
        ([ORT, TWICE, {"replicate": {"replicas": 3}}], "[2].replicate", "a second deployment"),
        (
            [{**INT8, **ORT}, ORT],
            "[0]",
            "a step has exactly one key, one of ",
        ),
        ([{}, ORT], "[0]", "a step has exactly one key"),
        ([{"quantize": None}, ORT], "[0].quantize", f"method is missing; allowed: {METHODS}"),
        ([{"quantize": {}}, ORT], "[0].quantize", f"method is missing; allowed: {METHODS}"),
        ([{"quantize": {"method": None}}, ORT], "[0].quantize.method", "unknown quantize method 'None'"),
        ([{"quantize": {"method": ["static"]}}, ORT], "[0].quantize.method", "unknown quantize method"),
        ([{"quantize": {"method": {"a": 1}}}, ORT], "[0].quantize.method", "unknown quantize method"),
        ([{"quantize": {"method": 8}}, ORT], "[0].quantize.method", "unknown quantize method '8'"),
        ([{"quantize": "statik"}, ORT], "[0].quantize.method", "did you mean 'static'"),
        ([{"quantize": ["static"]}, ORT], "[0].quantize", "found ['static']; allowed: a mapping, or a name"),
        ([{"quantize": {"method": "static", "dtype": "int4"}}, ORT], "[0].quantize.dtype", "allowed: 'int8'"),
        (
            [{"quantize": {"method": "static", "per_channel": "yes"}}, ORT],
            "[0].quantize.per_channel",
            "found 'yes'; allowed: true or false",
        ),
        (
            [{"quantize": {"method": "static", "reduce_range": "often"}}, ORT],
            "[0].quantize.reduce_range",
            "found 'often'; allowed: true or false, or 'auto'",
        ),
        (
            [{"quantize": {"method": "mixed", "min_sqnr_db": math.nan}}, ORT],
            "[0].quantize.min_sqnr_db",
            "found nan; allowed: a finite number",
        ),
        (
            [{"quantize": {"method": "qat", "learning_rate": math.inf}}, ORT],
            "[0].quantize.learning_rate",
            "found inf; allowed: a finite number",
        ),
        ([{"prune": "channel"}, ORT], "[0].prune.pruning_ratio", "is missing"),
        (
            [{"prune": {"structure": "channel", "pruning_ratio": 1}}, ORT],
            "[0].prune.pruning_ratio",
            "allowed: less than 1",
        ),
        (
            [{"prune": {"structure": "channel", "pruning_ratio": True}}, ORT],
            "[0].prune.pruning_ratio",
            "a number",
        ),
        (
            [{"prune": {"structure": "channel", "pruning_ratio": 0.5, "finetune": {"epoch": 1}}}, ORT],
            "[0].prune.finetune.epoch",
            "unknown key 'epoch'; did you mean 'epochs'",
        ),
        ([ORT, {"replicate": 2}], "[1].replicate", "found 2; allowed: a mapping"),
        ([ORT, {"replicate": None}], "[1].replicate.replicas", "is missing"),
        ([ORT, {"replicate": {"replicas": 1}}], "[1].replicate.replicas", "found 1; allowed: 2 or more"),
        ([{"runtime": None}], "[0].runtime", "must be a name or {name: …}; known: onnxruntime"),
        ([{"runtime": {"graph_optimization": "all"}}], "[0].runtime", "must be a name or {name: …}"),
        ([{"runtime": ["onnxruntime"]}], "[0].runtime", "must be a name or {name: …}"),
        ([{"runtime": {"name": "onnxruntime", "threds": 1}}], "[0].runtime.threds", "unknown key 'threds'"),
        (
            [{"runtime": {"name": "onnxruntime", "graph_optimization": "max"}}],
            "[0].runtime.graph_optimization",
            "found 'max'; allowed: 'disabled', 'basic', 'extended' or 'all'",
        ),
        (
            [INT8, EAGER],
            "",
            "torch-eager takes torch-module or torch-program or torch-script, and no conversion makes that "
            "from onnx",
        ),
        ([INT8, HALF, ORT], "", "prune/channel takes torch-module, and no conversion makes that from onnx"),
        *(
            (
                [{"quantize": method}, {"runtime": {"name": "onnxruntime", "graph_optimization": level}}],
                "",
                f"quantize/{name} would round values and still multiply in float: it writes quantize and "
                f"dequantize pairs, and ONNX Runtime fuses them with graph_optimization: extended or all, "
                f"not {level}",
            )
            for method, name in (("static", "static"), ("mixed", "mixed"), ("qat", "qat/onnx"))
            for level in ("disabled", "basic")
        ),
    ],
)
def test_a_pipeline_that_cannot_be_is_refused_where_it_goes_wrong(tmp_path, steps, where, says):
    found = problems(tmp_path, content(techniques={"my t": steps}))
    assert [problem.where for problem in found] == [f"techniques.my t{where}"]
    assert says in found[0].message


def test_an_unknown_step_names_the_nearest(tmp_path):
    (text,) = told(tmp_path, content(techniques={"t": [{"prun": {}}, ORT]}))
    says = "s.yaml:19: techniques.t[0].prun: unknown step 'prun'; did you mean 'prune'? Known: "
    assert text.startswith(says)
    assert text.removeprefix(says).split(", ") == sorted({*families(), *DEPLOYMENTS.names(), "runtime"})


def test_a_fault_of_one_step_does_not_hide_those_of_others(tmp_path):
    steps = [{"quantize": "x"}, {"runtime": "y"}, {"replicate": {"replicas": 0}}]
    assert len(problems(tmp_path, content(techniques={"t": steps}))) == 3


def test_short_forms_mean_the_same(tmp_path):
    assert pipeline(tmp_path, {"quantize": "static"}, ORT) == pipeline(
        tmp_path, INT8, {"runtime": {"name": "onnxruntime", "graph_optimization": "all"}}
    )


def test_families_and_replicas_are_told(tmp_path):
    found = pipeline(tmp_path, HALF, INT8, ORT, TWICE)
    assert found.families == ["prune", "quantize", "replicate"]
    assert found.replicas == 2
    assert pipeline(tmp_path, ORT).replicas == 1


@pytest.mark.parametrize("quantize", ["dynamic", "weight-only"])
def test_what_multiplies_integers_without_any_fusion_goes_to_every_level(tmp_path, quantize):
    basic = {"runtime": {"name": "onnxruntime", "graph_optimization": "basic"}}
    assert pipeline(tmp_path, {"quantize": quantize}, basic).stages("onnx")[0].step.variant == quantize
    assert pipeline(tmp_path, INT8, {"runtime": "openvino"}).stages("onnx")


@pytest.mark.parametrize(
    ("steps", "format", "chain"),
    [
        ([EAGER], "torch-module", []),
        ([ORT], "onnx", []),
        ([ORT], "torch-module", ["export-onnx"]),
        ([INT8, ORT], "torch-module", ["export-onnx", "quantize/static"]),
        ([HALF, INT8, ORT, TWICE], "torch-module", ["prune/channel", "export-onnx", "quantize/static"]),
        ([HALF, HALF, EAGER], "torch-module", ["prune/channel", "prune/channel"]),
        ([{"runtime": "torch-compile"}], "torch-module", ["compile-aoti"]),
    ],
)
def test_conversions_are_inserted_where_a_form_does_not_fit(tmp_path, steps, format, chain):
    assert [stage.step.name for stage in pipeline(tmp_path, *steps).stages(format)] == chain


# ------------------------------------------------- formats that nothing real has


class Nothing(StepConfig):
    """No settings."""


class CaffeSource(SourceConfig):
    """A model in a format that nothing converts."""

    caffe: str


def step(name, takes, yields):
    return Transform(name, None, None, Nothing, lambda *_: {}, takes, yields, "made by a test")


@pytest.fixture
def registered():
    """Return a function that registers things until the test ends."""
    added = []

    def register(registry, name, item):
        registry.names()
        registry.add(name, item)
        added.append((registry, name))

    yield register
    for registry, name in added:
        del registry._items[name]


@pytest.fixture
def caffe(registered):
    source = Source(
        key="caffe",
        config=CaffeSource,
        format="caffe",
        identity=lambda *_: {},
        build=lambda *_: (),
        data=lambda *_: None,
        has_data=lambda _: True,
        metric=lambda _: "top-1",
        summary="a Caffe model",
    )
    registered(SOURCES, "caffe", source)


def test_an_int8_step_on_a_caffe_only_form_is_told_apart_from_models_that_it_fits(tmp_path, caffe):
    """The technique is possible for the zoo's models; the Caffe model's Cells are skipped with the reason."""
    from harness.runner.plan import Place, make_plan

    models = {"old": {"caffe": "net.prototxt"}, "mlp": {"zoo": "mnist-mlp"}}
    suite = read(tmp_path, content(models=models, techniques={"int8": [INT8, ORT]}))
    plan = make_plan(suite, Place((0,), "no GPU", frozenset(), "m"))
    skips = {planned.cell.model.name: planned.skip for planned in plan.cells.values()}
    assert skips == {
        "old": "not for this model: quantize/static takes onnx, and no conversion makes that from caffe",
        "mlp": None,
    }


def test_a_step_whose_form_no_model_can_reach_is_refused(tmp_path, registered):
    registered(TRANSFORMS, "shrink", step("shrink", ("caffe",), "caffe"))
    registered(CONVERSIONS, "caffe-onnx", step("caffe-onnx", ("caffe",), "onnx"))
    (text,) = told(tmp_path, content(techniques={"t": [{"shrink": {}}, ORT]}))
    assert text == (
        "s.yaml:18: techniques.t: cannot be built from any model: "
        "shrink takes caffe, and no conversion makes that from "
        "onnx or torch-module or torch-program or torch-script"
    )


# ------------------------------------------------- one name, several formats


def halves(*formats):
    """Steps that a suite calls `halve`, one for each format."""
    made = []
    for format in formats:
        made.append(step(f"halve/{format}", (format,), format))
        object.__setattr__(made[-1], "family", "halve")
        object.__setattr__(made[-1], "implementation", format)
    return made


@pytest.mark.parametrize(
    ("steps", "chain"),
    [
        ([EAGER], ["halve/torch-module"]),
        ([{"runtime": "torch-compile"}], ["halve/torch-module", "compile-aoti"]),
        ([ORT], ["export-onnx", "halve/onnx"]),  # as near to the runtime as can be
        ([INT8, ORT], ["export-onnx", "halve/onnx", "quantize/static"]),
    ],
)
def test_a_step_is_done_in_the_form_that_leads_to_the_runtime(tmp_path, registered, steps, chain):
    for made in halves("torch-module", "onnx"):
        registered(TRANSFORMS, made.name, made)
    found = pipeline(tmp_path, {"halve": None}, *steps)
    assert [stage.step.name for stage in found.stages("torch-module")] == chain
    assert found.content()[0] == {"step": "halve"}
    assert found.families[0] == "halve"


def test_a_step_that_none_of_its_forms_leads_on_from_says_why_for_each(tmp_path, registered):
    for made in halves("caffe", "mxnet"):
        registered(TRANSFORMS, made.name, made)
    (found,) = problems(tmp_path, content(techniques={"t": [{"halve": {}}, ORT]}))
    assert "halve/caffe takes caffe, and no conversion makes that from onnx" in found.message
    assert "halve/mxnet takes mxnet, and no conversion makes that from onnx" in found.message


def test_forms_of_one_step_have_the_same_settings(registered):
    for made in halves("torch-module"):
        registered(TRANSFORMS, made.name, made)

    class Other(StepConfig):
        """Other settings."""

    register = transform(
        "halve", Other, takes=("onnx",), yields="onnx", summary="made by a test", implementation="onnx"
    )
    with pytest.raises(HarnessError, match="share a name in suites, not a config class"):
        register(lambda *_: {})


def test_float16_is_a_step_of_its_own(tmp_path):
    found = pipeline(tmp_path, {"precision": "fp16"}, ORT)
    assert found == pipeline(tmp_path, {"precision": {"dtype": "fp16"}}, ORT)
    assert [stage.step.name for stage in found.stages("onnx")] == ["precision/fp16/onnx"]


def shortest(edges, start, wanted):
    """Brute force: try all sequences of conversions, the short ones first."""
    for length in range(len(edges) + 1):
        for path in itertools.permutations(edges, length):
            at = start
            for source, target in path:
                if source != at:
                    break
                at = target
            else:
                if at in wanted:
                    return length
    return None


def test_the_inserted_chain_is_the_shortest(tmp_path, registered, monkeypatch):
    """All graphs over a few formats, against a search through all sequences of conversions."""
    import random

    rng = random.Random(0)
    formats = ["a", "b", "c", "d", "onnx"]
    found = pipeline(tmp_path, ORT)
    monkeypatch.setattr(CONVERSIONS, "_items", dict(CONVERSIONS._items))
    possible = [(x, y) for x in formats for y in formats if x != y]
    for _ in range(60):
        edges = rng.sample(possible, 6)
        CONVERSIONS._items.clear()
        for x, y in edges:
            CONVERSIONS.add(f"{x}-{y}", step(f"{x}-{y}", (x,), y))
        expected = shortest(edges, "a", {"onnx"})
        if expected is None:
            with pytest.raises(ValueError, match="takes onnx, and no conversion makes that from a"):
                found.stages("a")
            continue
        chain = [stage.step for stage in found.stages("a")]
        assert len(chain) == expected
        assert chain[0].takes == ("a",)
        assert chain[-1].yields == "onnx"
        assert all(b.takes == (a.yields,) for a, b in itertools.pairwise(chain))


# ------------------------------------------------------------------ settings

NO_DEFAULT = {"sparsity": 0.5, "pruning_ratio": 0.5, "replicas": 2, "min_sqnr_db": 20.0, "samples": 64}
NO_DEFAULT |= {"dtype": "bf16"}


def every_setting():
    """Yield the place in a suite, the class of the settings, and the field, of all steps and runtimes."""
    named = [({name: None}, entry.config) for name, entry in RUNTIMES.items()]
    named += [({entry.family: entry.variant}, entry.config) for entry in TRANSFORMS.values()]
    named += [({entry.family: None}, entry.config) for entry in DEPLOYMENTS.values()]
    for place, config in named:
        for field in config.model_fields:
            yield pytest.param(place, config, field, id=f"{config.__name__}.{field}")


@pytest.mark.parametrize(("place", "config", "field"), list(every_setting()))
def test_every_setting_of_a_step_and_a_runtime_can_be_written_in_a_suite(place, config, field, tmp_path):
    ((name, variant),) = place.items()
    fields = {n: NO_DEFAULT[n] for n, about in config.model_fields.items() if about.is_required()}
    default = config.model_fields[field].get_default(call_default_factory=True)
    unset = field in fields or default is None
    value = NO_DEFAULT[field] if unset else json.loads(config(**fields).model_dump_json())[field]
    fields[field] = value
    if name in RUNTIMES:
        choices = [[{"runtime": {"name": name, **fields}}]]
    elif name in DEPLOYMENTS:
        choices = [[ORT, {name: fields}]]
    else:
        selector = families()[name].selector
        step = {name: {**({selector: variant} if selector else {}), **fields}}
        choices = [[step, {"runtime": runtime}] for runtime in RUNTIMES.names()]
    for steps in choices:
        with contextlib.suppress(SuiteError):  # a runtime that does not take the step's format
            made = pipeline(tmp_path, *steps)
            used = [made.runtime_config, made.deployment_config, *(c.config for c in made.transforms)]
            (found,) = (one for one in used if type(one) is config)
            assert getattr(found, field) == getattr(config(**fields), field)
            return
    raise AssertionError("no runtime takes it")


def test_conversions_have_no_settings_since_a_suite_does_not_name_them():
    assert [name for name, entry in CONVERSIONS.items() if entry.config.model_fields] == []
