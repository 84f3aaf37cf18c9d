"""Expansion into Cells and Groups, against a brute-force oracle; ids that follow content, not names."""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import replace

import pytest
from pydantic import create_model
from suite_texts import content, read

from harness.errors import SuiteError
from harness.suite.matrix import expand
from harness.suite.schema import name_matches

RUNTIMES = ("torch-eager", "onnxruntime", "torch-compile")
FIELDS = ("model", "technique", "workload", "hardware")


def names_of(groups):
    return [
        (c.model.name, c.pipeline.name, c.workload_name, c.hardware_name) for g in groups for c in g.cells
    ]


def ids(folder, **sections):
    """Cell ids by the four names."""
    groups = expand(read(folder, content(**sections)))
    return dict(zip(names_of(groups), (c.cell_id for g in groups for c in g.cells), strict=True))


def test_every_model_technique_workload_and_hardware_is_a_cell_once(tmp_path):
    hardware = {"one": {"threads": 1}, "gpu": {"device": "cuda"}}
    suite = read(tmp_path, content(hardware=hardware))
    groups = expand(suite)
    models, techniques = list(suite.models), list(suite.pipelines)
    expected = [
        (m, t, w, h)
        for m, w, h in itertools.product(models, suite.spec.workloads, hardware)
        for t in techniques
    ]
    assert names_of(groups) == expected
    assert len({c.cell_id for g in groups for c in g.cells}) == len(expected)
    for group in groups:
        assert {c.group_id for c in group.cells} == {group.group_id}
        assert group.baseline is group.cells[0]
    assert groups[0].name == "mlp / online / one"
    assert groups[0].cells[1].name == "mlp / ort / online / one"


def test_the_baseline_is_the_first_technique_or_the_one_that_is_named(tmp_path):
    assert {g.baseline.pipeline.name for g in expand(read(tmp_path, content()))} == {"eager"}
    assert {g.baseline.pipeline.name for g in expand(read(tmp_path, content(baseline="int8")))} == {"int8"}


def test_a_group_whose_baseline_is_excluded_has_none(tmp_path):
    exclude = [{"technique": "eager", "workload": "bulk"}]
    groups = expand(read(tmp_path, content(exclude=exclude)))
    assert {g.cells[0].workload_name: g.baseline is not None for g in groups} == {
        "online": True,
        "bulk": False,
    }


def test_excluding_everything_is_refused(tmp_path):
    with pytest.raises(SuiteError, match=r"s\.yaml:\d+: exclude: leaves no Cell"):
        expand(read(tmp_path, content(exclude=[{}])))


def test_what_is_excluded_can_be_taken_back(tmp_path):
    groups = expand(read(tmp_path, content(exclude=[{}], include=[{"model": "mlp", "technique": "ort"}])))
    assert names_of(groups) == [("mlp", "ort", "online", "cpu"), ("mlp", "ort", "bulk", "cpu")]


# ------------------------------------------------------------------ patterns against an oracle


def oracle(pattern: str, name: str) -> bool:
    """Match `*` and `?` by trying every length, nothing else being special."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(oracle(pattern[1:], name[i:]) for i in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and oracle(pattern[1:], name[1:])


def test_only_star_and_question_mark_are_special():
    rng = random.Random(0)
    letters = "ab[]!.*?-"
    for _ in range(3000):
        pattern = "".join(rng.choices(letters, k=rng.randrange(6)))
        name = "".join(rng.choices("ab[]!.-", k=rng.randrange(6)))
        assert name_matches(pattern, name) == oracle(pattern, name), (pattern, name)


@pytest.mark.parametrize("name", ["a*b", "[ab]", "it's", "größe 1", "A"])
def test_a_name_matches_itself_and_case_counts(name):
    assert name_matches(name, name)
    assert not name_matches(name, name.swapcase() + "x")
    assert not name_matches("a", "A")


def test_exclude_and_include_against_brute_force(tmp_path):
    """Random patterns of names, wildcards and lists, over all Cells of random suites."""
    rng = random.Random(1)
    models = {"m1": {"zoo": "mnist-mlp"}, "m2": {"zoo": "mnist-cnn"}, "n [1]": {"zoo": "mnist-resnet"}}
    workloads = {f"w{b}": {"scenario": "offline", "batch": b} for b in (1, 12, 2)}
    hardware = {f"h{t}": {"threads": t} for t in (1, 2)}
    techniques = {
        name: [{"runtime": runtime}] for name, runtime in zip(("t", "tt", "u"), RUNTIMES, strict=True)
    }
    choices = {
        "model": ["*", "m?", "m1", "n [1]", "?2", "*1*"],
        "technique": ["*", "t*", "t", "?", "u", "*t"],
        "workload": ["*", "w1*", "w?", "w2", "w12"],
        "hardware": ["*", "h1", "h?", "*2"],
    }
    every = list(itertools.product(models, techniques, workloads, hardware))

    def pattern():
        fields = rng.sample(FIELDS, rng.randrange(1, 4))
        return {
            f: rng.choice(choices[f]) if rng.random() < 0.6 else rng.sample(choices[f], 2) for f in fields
        }

    def matches(pattern, names):
        given = (pattern.get(field, "*") for field in FIELDS)
        tests = [[g] if isinstance(g, str) else g for g in given]
        return all(any(oracle(t, n) for t in own) for own, n in zip(tests, names, strict=True))

    for _ in range(60):
        exclude = [pattern() for _ in range(rng.randrange(4))]
        include = [pattern() for _ in range(rng.randrange(3))]
        expected = {
            names
            for names in every
            if not any(matches(p, names) for p in exclude) or any(matches(p, names) for p in include)
        }
        data = content(
            models=models,
            workloads=workloads,
            hardware=hardware,
            techniques=techniques,
            exclude=exclude,
            include=include,
        )
        suite = read(tmp_path, data)
        if expected:
            found = names_of(expand(suite))
            assert set(found) == expected
            assert len(found) == len(expected)
        else:
            with pytest.raises(SuiteError, match="leaves no Cell"):
                expand(suite)


# ------------------------------------------------------------------ identity


def renamed(**sections):
    data = content(**sections)
    for section in ("models", "workloads", "hardware", "techniques"):
        data[section] = {f"other {name}": value for name, value in data[section].items()}
    return {**data, "suite": "another", "description": "words"}


def test_ids_do_not_change_with_names_order_or_what_is_beside(tmp_path):
    before = ids(tmp_path)
    after = ids(tmp_path, **renamed())
    assert {tuple(f"other {n}" for n in names): cell_id for names, cell_id in before.items()} == after
    data = content()
    for section in ("models", "workloads", "hardware", "techniques"):
        data[section] = dict(reversed(data[section].items()))
    data["workloads"]["bulk"] = {"batch": 8, "scenario": "offline"}
    assert ids(tmp_path, **data) == before
    only = ids(tmp_path, models={"mlp": {"zoo": "mnist-mlp"}}, measure={"trials": 9}, baseline="ort")
    assert only.items() <= before.items()


def test_ids_are_the_same_where_defaults_are_written_out(tmp_path):
    before = ids(tmp_path)
    techniques = content()["techniques"]
    techniques["int8"][0] = {
        "quantize": {"method": "static", "dtype": "int8", "calibration": {"samples": 512}}
    }
    techniques["eager"] = [{"runtime": {"name": "torch-eager"}}]
    workloads = {"online": {"scenario": "single-stream", "batch": 1}, "bulk": content()["workloads"]["bulk"]}
    assert ids(tmp_path, techniques=techniques, workloads=workloads) == before


def test_ids_do_not_change_with_the_order_of_a_factorys_arguments(tmp_path):
    def model(kwargs):
        return {"m": {"torch": "json:dumps", "inputs": {"x": [1]}, "kwargs": kwargs}}

    one, two = ({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"d": 2, "c": 1}, "a": 1})
    assert ids(tmp_path, models=model(one)) == ids(tmp_path, models=model(two))
    assert ids(tmp_path, models=model(one)) != ids(tmp_path, models=model({**one, "a": 2}))


@pytest.mark.parametrize(
    "change",
    [
        {"models": {"mlp": {"zoo": "mnist-resnet"}, "cnn": {"zoo": "mnist-cnn"}}},
        {"workloads": {"online": {"scenario": "offline"}, "bulk": {"scenario": "offline", "batch": 8}}},
        {"workloads": {"online": {"scenario": "single-stream", "batch": 2}, "bulk": {"scenario": "offline"}}},
        {"hardware": {"cpu": {"threads": 2}}},
        {"hardware": {"cpu": {"device": "cuda", "threads": 1}}},
        {"techniques": {"eager": [{"runtime": "torch-compile"}]}},
        {"techniques": {"ort": [{"runtime": {"name": "onnxruntime", "graph_optimization": "basic"}}]}},
        {
            "techniques": {
                "int8": [{"quantize": {"method": "static", "per_channel": False}}, {"runtime": "onnxruntime"}]
            }
        },
        {"techniques": {"int8": [{"quantize": "dynamic"}, {"runtime": "onnxruntime"}]}},
    ],
)
def test_ids_change_with_content(tmp_path, change):
    before, after = ids(tmp_path), ids(tmp_path, **change)
    (section,) = change
    changed = [name for name, value in change[section].items() if value != content()[section].get(name)]
    place = {"models": 0, "techniques": 1, "workloads": 2, "hardware": 3}[section]
    for names in before.keys() & after.keys():
        assert (before[names] != after[names]) == (names[place] in changed), names


def test_ids_are_hexadecimal_and_do_not_change_between_processes(tmp_path):
    found = ids(tmp_path)
    assert all(re.fullmatch("[0-9a-f]{20}", cell_id) for cell_id in found.values())
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from harness.suite.matrix import expand\n"
        "from harness.suite.validation import read_suite\n"
        "print(*(c.cell_id for g in expand(read_suite(Path(sys.argv[1]))) for c in g.cells))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s.yaml")],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PATH": ""},
    )
    assert done.stdout.split() == list(found.values())


def test_ids_do_not_change_where_an_option_is_added(tmp_path, monkeypatch):
    """An option with a default: of a step, nested settings, a runtime, a workload, a model, hardware."""
    from harness.measure.scenarios.registry import SCENARIOS
    from harness.runtimes.registry import RUNTIMES
    from harness.suite import schema
    from harness.techniques.registry import TRANSFORMS
    from harness.zoo.source import SOURCES

    data = content(hardware={"cpu": {"threads": 1}})
    before = ids(tmp_path, **data)

    def grown(config):
        return create_model(f"{config.__name__}Grown", __base__=config, added=(int, 3))

    def add(registry, name, field="config"):
        entry = registry.get(name)
        monkeypatch.setitem(registry._items, name, replace(entry, **{field: grown(getattr(entry, field))}))

    static = TRANSFORMS.get("quantize/static").config
    nested = grown(static.model_fields["calibration"].annotation)
    more = create_model("More", __base__=static, calibration=(nested, nested()), added=(bool, False))
    entry = replace(TRANSFORMS.get("quantize/static"), config=more)
    monkeypatch.setitem(TRANSFORMS._items, "quantize/static", entry)
    for name in ("onnxruntime", "torch-eager"):
        add(RUNTIMES, name)
    for name in ("single-stream", "offline"):
        add(SCENARIOS, name, "workload")
    add(SOURCES, "zoo")
    hardware = grown(schema.Hardware)
    suite = create_model("Suite", __base__=schema.Suite, hardware=(dict[str, hardware], ...))
    monkeypatch.setattr("harness.suite.validation.Suite", suite)
    assert ids(tmp_path, **data) == before
    data["techniques"]["int8"][0]["quantize"] = {"method": "static", "added": True}
    changed = ids(tmp_path, **data)
    assert {names[1] for names in before if changed[names] != before[names]} == {"int8"}
    monkeypatch.setattr(hardware, "version", 2)
    assert not set(ids(tmp_path, **data).values()) & set(before.values())
