"""Installed packages: a distribution and its module may have different names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec

import pytest

from harness import packages
from harness.packages import import_versions, missing_package, module_of, versions_of


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, tuple[str, str]]], None]:
    """Return a function that makes these the only installed distributions: their modules and versions."""

    def install(found: dict[str, tuple[str, str]]) -> None:
        def version(name: str) -> str:
            if name not in found:
                raise metadata.PackageNotFoundError(name)
            return found[name][1]

        by_module: dict[str, list[str]] = {}
        for name, (module, _) in found.items():
            by_module.setdefault(module, []).append(name)
        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(metadata, "packages_distributions", lambda: by_module)
        monkeypatch.setattr(
            packages.importlib.util, "find_spec", lambda name: object() if name in by_module else None
        )
        clear()

    def clear() -> None:
        for cached in (packages.package_version, packages._providers, packages._by_module):
            cached.cache_clear()

    yield install  # type: ignore[misc]
    clear()


def test_a_module_may_come_from_another_distribution(installed) -> None:
    installed({"onnxruntime-gpu": ("onnxruntime", "1.30"), "opencv-python": ("cv2", "5")})
    assert versions_of(("onnxruntime", "numpy")) == {"onnxruntime-gpu": "1.30", "numpy": "absent"}
    assert versions_of(("opencv-python-headless:cv2",)) == {"opencv-python": "5"}
    assert missing_package(("onnxruntime", "opencv-python-headless:cv2"), None) is None
    assert import_versions({"cv2", "onnxruntime", "os"}) == {"onnxruntime-gpu": "1.30", "opencv-python": "5"}


def test_all_distributions_that_hold_a_module_count(installed) -> None:
    both = {"onnxruntime": ("onnxruntime", "1.29"), "onnxruntime-openvino": ("onnxruntime", "1.24")}
    installed(both)
    assert versions_of(("onnxruntime",)) == {"onnxruntime": "1.29", "onnxruntime-openvino": "1.24"}


def test_a_distribution_of_another_name_than_its_module_is_not_missing(installed) -> None:
    installed({"opencv-python-headless": ("cv2", "5")})
    assert missing_package(("opencv-python-headless",), None) is None
    assert module_of("opencv-python-headless") == "cv2"
    assert versions_of(("opencv-python-headless",)) == {"opencv-python-headless": "5"}


def test_what_is_missing_is_named_as_it_is_installed(installed) -> None:
    installed({})
    told = "opencv-python-headless is not installed: pip install opencv-python-headless"
    assert missing_package(("opencv-python-headless:cv2",), None) == told
    assert missing_package(("nncf",), "openvino") == (
        "nncf is not installed: pip install 'accel-harness[openvino]'"
    )
    assert versions_of(("opencv-python-headless:cv2",)) == {"opencv-python-headless": "absent"}


def test_the_packages_of_this_environment_are_found() -> None:
    assert find_spec("torch_pruning") is None or module_of("torch-pruning") == "torch_pruning"
    assert module_of("PyYAML") == "yaml"
    assert versions_of(("PyYAML",)) == {"PyYAML": metadata.version("PyYAML")}
