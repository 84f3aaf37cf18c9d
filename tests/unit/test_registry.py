"""A registry is filled on first use by its folder and by plug-ins; a broken plug-in harms nobody else."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

import harness.registry
from harness.errors import HarnessError, UnknownNameError
from harness.registry import Registry

PACKAGE = "fruits_of_test"


@pytest.fixture
def fruits(tmp_path, monkeypatch):
    """A registry over a fresh package of two modules, one in a folder below."""
    folder = tmp_path / PACKAGE
    (folder / "exotic").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "registry.py").write_text(
        f"from harness.registry import Registry\nFRUITS = Registry('fruit', {PACKAGE!r}, 'harness.fruits')\n"
    )
    (folder / "apple.py").write_text(f"from {PACKAGE}.registry import FRUITS\nFRUITS.add('apple', 1)\n")
    (folder / "exotic" / "__init__.py").write_text("")
    (folder / "exotic" / "mango.py").write_text(
        f"from {PACKAGE}.registry import FRUITS\nFRUITS.add('mango', 2)\n"
    )
    (tmp_path / "plug_good.py").write_text(f"from {PACKAGE}.registry import FRUITS\nFRUITS.add('plum', 3)\n")
    (tmp_path / "plug_twin.py").write_text(f"from {PACKAGE}.registry import FRUITS\nFRUITS.add('apple', 9)\n")
    (tmp_path / "plug_raises.py").write_text("raise RuntimeError('no licence')\n")
    (tmp_path / "plug_exits.py").write_text("raise SystemExit('no licence')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield __import__(f"{PACKAGE}.registry", fromlist=["FRUITS"]).FRUITS
    for name in [n for n in sys.modules if n.partition(".")[0] == PACKAGE or n.startswith("plug_")]:
        del sys.modules[name]


@pytest.fixture
def plugged(monkeypatch):
    """Return a function that makes modules stand as entry points of every group."""

    def plug(*modules):
        entries = [EntryPoint(name, name, "harness.fruits") for name in modules]
        monkeypatch.setattr(harness.registry, "entry_points", lambda group: entries)

    return plug


def test_broken_plug_ins_are_told_without_asking_for_them(fruits, plugged, monkeypatch, capsys):
    from harness.commands import list as listing

    plugged("plug_raises", "plug_good")
    monkeypatch.setitem(listing.KINDS, "fruits", lambda: dict.fromkeys(fruits.names(), "fruit"))
    listing.list_known("fruits", as_json=False)
    out, err = capsys.readouterr()
    assert "plum" in out
    assert "note: plug-in 'plug_raises' could not be loaded: plug_raises: RuntimeError: no licence\n" in err


def test_nothing_is_imported_before_the_first_question(fruits):
    assert f"{PACKAGE}.apple" not in sys.modules
    assert fruits.names() == ["apple", "mango"]
    assert f"{PACKAGE}.exotic.mango" in sys.modules


@pytest.mark.parametrize(
    "ask",
    [
        lambda r: r.get("apple"),
        lambda r: "apple" in r,
        lambda r: list(r.items()),
        lambda r: r.values(),
        lambda r: r.unknown("x"),
    ],
)
def test_every_question_loads_the_folder(fruits, ask):
    ask(fruits)
    assert f"{PACKAGE}.apple" in sys.modules


def test_names_items_and_values_are_in_the_same_order(fruits):
    assert list(fruits.items()) == list(zip(fruits.names(), fruits.values(), strict=True))
    assert fruits.values() == [1, 2]


def test_a_second_different_item_of_a_name_is_refused_and_the_first_stays():
    registry = Registry("fruit", "harness.stats")
    item = object()
    registry.add("apple", item)
    assert registry.add("apple", item) is item
    with pytest.raises(HarnessError, match="two fruits are called 'apple'"):
        registry.add("apple", object())
    assert registry._items["apple"] is item


def test_plug_ins_are_found(fruits, plugged):
    plugged("plug_good")
    assert fruits.get("plum") == 3
    assert fruits.broken == {}


@pytest.mark.parametrize(
    ("plug_in", "why"),
    [
        ("plug_raises", "plug_raises: RuntimeError: no licence"),
        ("plug_exits", "plug_exits: SystemExit: no licence"),
        ("plug_missing", "plug_missing: ModuleNotFoundError: No module named 'plug_missing'"),
        ("plug_twin", "plug_twin: HarnessError: two fruits are called 'apple'"),
    ],
)
def test_a_broken_plug_in_takes_no_other_down_and_is_told_when_a_name_is_missing(
    fruits, plugged, plug_in, why
):
    plugged(plug_in, "plug_good")
    assert fruits.names() == ["apple", "mango", "plum"]
    assert fruits.get("apple") == 1
    with pytest.raises(UnknownNameError) as caught:
        fruits.get("pear")
    text = f"plug-in {plug_in!r} could not be loaded: {why}"
    assert str(caught.value).startswith("unknown fruit 'pear'")
    assert text in str(caught.value)
    assert text in fruits.unknown("pear")


def test_the_real_registries_are_loaded_without_a_broken_plug_in():
    from harness.formats.registry import FORMATS
    from harness.runtimes.registry import RUNTIMES
    from harness.techniques.registry import CONVERSIONS, DEPLOYMENTS, TRANSFORMS
    from harness.zoo.registry import DATASETS, METRICS, MODELS
    from harness.zoo.source import SOURCES

    for registry in (
        FORMATS,
        RUNTIMES,
        CONVERSIONS,
        DEPLOYMENTS,
        TRANSFORMS,
        DATASETS,
        METRICS,
        MODELS,
        SOURCES,
    ):
        assert registry.names(), registry.kind
        assert registry.broken == {}


def test_every_form_that_a_step_or_runtime_names_is_registered():
    from harness.formats.registry import FORMATS
    from harness.runtimes.registry import RUNTIMES
    from harness.techniques.registry import CONVERSIONS, TRANSFORMS
    from harness.zoo.source import SOURCES

    named = {source.format for source in SOURCES.values()}
    for step in [*TRANSFORMS.values(), *CONVERSIONS.values()]:
        named |= {*step.takes, step.yields}
    for entry in RUNTIMES.values():
        named |= set(entry.takes)
    assert named <= set(FORMATS.names())
