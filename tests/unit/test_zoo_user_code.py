"""A user's own Python: found without running it, known by its text, its data checked."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from harness import packages
from harness.artifacts.code import HARNESS, Imports, code_digest, harness_code
from harness.errors import DataError
from harness.packages import import_versions, requirement_versions
from harness.zoo import identities
from harness.zoo.datasets import random_tokens
from harness.zoo.identities import code_identity, dataset_identity, depends_identity, training_version
from harness.zoo.registry import DATASETS
from harness.zoo.source import SOURCES
from harness.zoo.user_code import find_module, load_data

RAISE = "raise AssertionError('it was run')\n"


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A suite's folder with a module, a package and a folder that is none; the working folder is another."""
    folder = tmp_path / "suite"
    (folder / "my_pkg" / "sub").mkdir(parents=True)
    (folder / "my_parts").mkdir()
    (tmp_path / "cwd").mkdir()
    for name in ("my_net", "my_pkg/__init__", "my_pkg/net", "my_pkg/sub/__init__", "my_parts/net"):
        (folder / f"{name}.py").write_text(RAISE)
    (tmp_path / "cwd" / "my_other.py").write_text(RAISE)
    monkeypatch.chdir(tmp_path / "cwd")
    return folder


@pytest.mark.parametrize(
    ("reference", "file"),
    [
        ("my_net:f", "my_net.py"),
        ("my_pkg:f", "my_pkg/__init__.py"),
        ("my_pkg.net:f", "my_pkg/net.py"),
        ("my_pkg.sub:f", "my_pkg/sub/__init__.py"),
        ("my_parts.net:f", "my_parts/net.py"),
    ],
)
def test_a_module_beside_the_suite_is_found_and_not_run(suite, reference, file):
    assert find_module(reference, suite) == suite / file


def test_a_module_in_the_working_folder_and_an_installed_one_are_found(suite):
    assert find_module("my_other:f", suite).name == "my_other.py"
    assert find_module("numpy.linalg:norm", suite).parts[-3:] == ("numpy", "linalg", "__init__.py")
    before = set(sys.modules)
    find_module("wsgiref.headers:Headers", suite)
    assert "wsgiref.headers" in before or "wsgiref.headers" not in sys.modules


@pytest.mark.parametrize("reference", ["no_such:f", "my_pkg.none:f", "sys:f", "marshal:f"])
def test_what_has_no_file_is_refused(suite, reference):
    with pytest.raises(
        DataError, match=f"no module '{reference[:-2]}' beside the suite, in the working folder"
    ):
        find_module(reference, suite)


@pytest.mark.parametrize("reference", [":f", ".net:f", "a..b:f", "a-b:f", "a b:f"])
def test_what_names_no_module_is_refused(suite, reference):
    with pytest.raises(DataError, match=r"is not package\.module:function"):
        find_module(reference, suite)


def test_the_identity_follows_the_text_of_the_module_and_of_its_package(suite):
    def change(file, reference):
        before = code_identity(reference, suite)
        assert code_identity(reference, suite) == before
        (suite / file).write_text(f"{RAISE}changed = {file!r}\n")
        return code_identity(reference, suite) != before

    assert change("my_net.py", "my_net:f")
    assert change("my_pkg/sub/__init__.py", "my_pkg.net:f")
    assert change("my_pkg/helper.py", "my_pkg.net:f")
    assert not change("my_net.py", "my_parts.net:f")


def test_a_datasets_identity_is_its_sums_and_its_text(suite, monkeypatch):
    def mnist(**changes):
        monkeypatch.setitem(DATASETS._items, "mnist", replace(DATASETS.get("mnist"), **changes))
        return dataset_identity("mnist", suite).digest

    md5 = DATASETS.get("mnist").md5
    assert mnist() == mnist(md5=dict(md5)) != mnist(md5={**md5, "t10k-images-idx3-ubyte": "0"})
    assert mnist(md5=md5) != mnist(load=random_tokens.generate)
    assert dataset_identity(None, suite).digest == ""
    of_a_function = dataset_identity("my_net:f", suite)
    assert of_a_function.files == code_identity("my_net:f", suite).files
    (suite / "my_net.py").write_text("changed = 1\n")
    assert dataset_identity("my_net:f", suite).digest != of_a_function.digest


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("import helper", "helper.py"),
        ("import numpy, helper as h", "helper.py"),
        ("from helper import f", "helper.py"),
        ("def build():\n    import helper", "helper.py"),
        ("from shared import layers", "shared/layers.py"),
        ("from shared.layers import f", "shared/__init__.py"),
        ("import shared.layers", "shared/layers.py"),
        ("import in_cwd", "../cwd/in_cwd.py"),
        ("import middle", "helper.py"),
        ("from shared import *", "shared/__init__.py"),
    ],
)
def test_what_a_module_imports_from_beside_it_counts_and_is_not_run(suite, line, file):
    (suite / "shared").mkdir()
    for name in ("helper", "shared/__init__", "shared/layers", "../cwd/in_cwd", "unrelated"):
        (suite / f"{name}.py").write_text(RAISE)
    (suite / "middle.py").write_text("import helper\nimport my_net\n")  # in a circle
    (suite / "my_net.py").write_text(f"{line}\n")
    before = code_identity("my_net:f", suite)
    (suite / "unrelated.py").write_text("changed = 1\n")
    assert code_identity("my_net:f", suite) == before
    (suite / file).write_text("changed = 1\n")
    assert code_identity("my_net:f", suite) != before


def test_a_package_counts_with_what_it_imports_from_outside_itself(suite):
    (suite / "helper.py").write_text(RAISE)
    (suite / "my_pkg/net.py").write_text("from .sub import *\nfrom . import nothing\nimport helper\n")
    before = code_identity("my_pkg.net:f", suite)
    (suite / "helper.py").write_text("changed = 1\n")
    assert code_identity("my_pkg.net:f", suite) != before


def test_text_that_is_no_python_counts_as_text(suite):
    (suite / "my_net.py").write_text("def f(:\n")
    before = code_identity("my_net:f", suite)
    (suite / "my_net.py").write_text("def g(:\n")
    assert code_identity("my_net:f", suite) != before


def test_installed_packages_are_not_followed(suite):
    (suite / "my_net.py").write_text("import json, numpy, torch, harness.zoo.models\n")
    root = suite.resolve()
    imports = Imports([root, *map(Path, sys.path)], identities._is_installed)
    assert imports.closure([suite / "my_net.py"]) == [root / "my_net.py"]


@pytest.mark.parametrize("line", ["import numpy", "from numpy import linalg as l", "import helper"])
def test_versions_of_installed_packages_that_are_imported_count(suite, line, monkeypatch):
    real = packages.package_version
    (suite / "helper.py").write_text("def f():\n    import numpy.linalg, os, no_such\n")
    (suite / "my_net.py").write_text(f"{line}\n")
    before = code_identity("my_net:f", suite)
    assert code_identity("my_net:f", suite) == before
    monkeypatch.setattr(packages, "package_version", lambda name: "0.1" if name == "numpy" else real(name))
    assert code_identity("my_net:f", suite) != before
    (suite / "my_net.py").write_text("import os\n")
    without = code_identity("my_net:f", suite)
    monkeypatch.setattr(packages, "package_version", lambda name: "0.2" if name == "numpy" else real(name))
    assert code_identity("my_net:f", suite) == without


def test_a_module_is_known_by_its_distribution_and_an_installed_one_by_what_that_requires(suite):
    found = import_versions({"yaml", "numpy", "os", "no_such"})
    assert found == {"PyYAML": metadata.version("PyYAML"), "numpy": metadata.version("numpy")}
    assert set(requirement_versions("pydantic")) >= {"pydantic", "pydantic-core"}
    assert "email-validator" not in requirement_versions("pydantic")  # an extra


def test_a_zoo_model_is_known_by_the_code_that_it_uses(suite):
    files = harness_code().closure([HARNESS / "zoo/models/mnist_mlp.py"])
    names = {file.relative_to(HARNESS).as_posix() for file in files}
    assert names == {
        "formats/__init__.py",
        "formats/likely.py",
        "formats/tensors.py",
        "zoo/__init__.py",
        "zoo/models/mnist_mlp.py",
        "zoo/nets/__init__.py",
        "zoo/nets/plain.py",
    }
    found = code_identity("harness.zoo.models.mnist_mlp:build", suite)
    assert found.digest == code_digest(HARNESS.parent, files)


def test_files_that_are_named_count_with_all_that_folders_hold(suite):
    (suite / "data/deep").mkdir(parents=True)
    (suite / "data/deep/a.npy").write_bytes(b"1")
    (suite / "table.csv").write_bytes(b"1")
    seen = {tuple(depends_identity(["data", "table.csv"], suite))}
    (suite / "data/deep/a.npy").write_bytes(b"2")
    seen.add(tuple(depends_identity(["data", "table.csv"], suite)))
    (suite / "data/deep/a.npy").rename(suite / "data/b.npy")
    seen.add(tuple(depends_identity(["data", "table.csv"], suite)))
    (suite / "table.csv").write_bytes(b"2")
    seen.add(tuple(depends_identity(["data", "table.csv"], suite)))
    (suite / "data/__pycache__").mkdir()
    (suite / "data/__pycache__/net.pyc").write_bytes(b"compiled when it was used")
    seen.add(tuple(depends_identity(["data", "table.csv"], suite)))
    assert len(seen) == 4
    with pytest.raises(DataError, match=r"none\.csv: no such file or folder beside the suite"):
        depends_identity(["none.csv"], suite)


# ------------------------------------------------------------------ data


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def data(split): raise OSError('disk')\n", "the dataset 'my_data:data' raised OSError: disk"),
        ("def other(split): pass\n", "the dataset 'my_data:data' raised AttributeError: "),
        ("import no_such_lib\n", "the dataset 'my_data:data' raised ModuleNotFoundError: "),
    ],
)
def test_a_dataset_that_fails_is_told_by_name(tmp_path, monkeypatch, text, says):
    (tmp_path / "my_data.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_data", raising=False)
    with pytest.raises(DataError, match=says):
        load_data("my_data:data", tmp_path, "train", ())
    sys.modules.pop("my_data", None)


# ------------------------------------------------------------------ the torch source


def torch_source(folder, **fields):
    source = SOURCES.get("torch")
    config = source.config.model_validate({"torch": "tiny_factories:dense", "inputs": {"x": [8]}, **fields})
    (folder / "out").mkdir(exist_ok=True)
    return source, config, lambda: source.build(config, folder, folder / "out")


def test_weights_of_a_file_are_put_into_a_users_module(tmp_path):
    torch = pytest.importorskip("torch")
    import tiny
    from safetensors.torch import save_file

    module = tiny.source("dense", tmp_path / "given")
    tensors = {
        name: torch.full_like(p, 0.5)
        for name, p in tiny.torch_module.load_module(module.folder).named_parameters()
    }
    save_file(tensors, tmp_path / "w.safetensors")
    _, config, build = torch_source(tmp_path, weights="w.safetensors")
    assert build() == config.inputs
    loaded = tiny.torch_module.load_module(tmp_path / "out")
    assert all(bool((p == 0.5).all()) for p in loaded.parameters())


def test_weights_that_do_not_fit_or_are_none_are_refused(tmp_path):
    pytest.importorskip("torch")
    import tiny  # noqa: F401 (puts tiny_factories on the path)

    (tmp_path / "w.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"w\.safetensors is no readable safetensors file"):
        torch_source(tmp_path, weights="w.safetensors")[2]()


def test_without_weights_the_random_ones_are_the_same_each_time(tmp_path):
    pytest.importorskip("torch")
    import tiny  # noqa: F401

    content = []
    for _ in range(2):
        torch_source(tmp_path)[2]()
        content.append((tmp_path / "out" / "weights.safetensors").read_bytes())
    assert content[0] == content[1]


def test_a_generated_datasets_identity_follows_its_code(suite, monkeypatch):
    entry = DATASETS.get("random-tokens")
    before = dataset_identity("random-tokens", suite)
    monkeypatch.setitem(DATASETS._items, "random-tokens", replace(entry, generate=DATASETS.get("mnist").load))
    assert dataset_identity("random-tokens", suite) != before


def test_training_items_that_follow_the_interpreter_are_told_by_it(monkeypatch):
    assert training_version("mnist") == training_version("my_net:f") == training_version(None) == ""
    before = training_version("stdlib-bytes")
    monkeypatch.setattr("sys.version", "3.99.0")
    assert training_version("stdlib-bytes") == "3.99.0" != before
