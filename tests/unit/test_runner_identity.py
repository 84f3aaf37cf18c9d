"""A Record's digests: each changes with its own kind and with nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_runner_plan import PLACE, write_onnx

from harness.artifacts.artifact import Artifact, content_digest
from harness.environment import speed_variables, withheld_notice
from harness.formats.registry import FORMATS
from harness.runner import identity as module
from harness.runner.identity import artifact_digest, cell_digests, cell_libraries
from harness.runner.plan import Place, PlannedCell, make_plan
from harness.store.identity import KINDS
from harness.suite.validation import read_suite

SAFE = "\2\0\0\0\0\0\0\0{}"
MODEL = {
    "torch": "my_code:build",
    "inputs": {"x": [4]},
    "weights": "w.safetensors",
    "dataset": "my_data:data",
}
SECTIONS: dict[str, Any] = {
    "suite": "s",
    "models": {"m": MODEL},
    "workloads": {"w": {"scenario": "single-stream"}},
    "techniques": {"t": [{"quantize": {"method": "dynamic"}}, {"runtime": "onnxruntime"}]},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_code.py").write_text("import numpy\ndef build(): ...\n")
    (tmp_path / "my_data.py").write_text("def data(split): ...\n")
    (tmp_path / "w.safetensors").write_text(SAFE)
    return tmp_path


def planned_in(folder: Path, place: Place = PLACE, **sections: Any) -> tuple[PlannedCell, dict[str, str]]:
    (folder / "s.yaml").write_text(yaml.safe_dump({**SECTIONS, **sections}, sort_keys=False))
    plan = make_plan(read_suite(folder / "s.yaml"), place)
    (planned,) = plan.cells.values()
    return planned, cell_digests(planned, plan)


def changed(folder: Path, before: dict[str, str], place: Place = PLACE, **sections: Any) -> set[str]:
    after = planned_in(folder, place, **sections)[1]
    return {name.removesuffix("_digest") for name in before if after.get(name) != before[name]}


def test_all_kinds_but_the_artifact_are_known_before_the_build(folder: Path) -> None:
    _, found = planned_in(folder)
    assert set(found) == {f"{kind}_digest" for kind in KINDS} - {"artifact_digest"}
    assert all(found.values())
    assert changed(folder, found) == set()


@pytest.mark.parametrize(
    ("file", "text", "kinds"),
    [
        ("my_code.py", "import numpy\ndef build(): return 1\n", {"code"}),
        ("my_code.py", '"""Documented."""\nimport numpy  # the library\n\ndef build(): ...\n', set()),
        ("my_code.py", "def build(): ...\n", {"code"}),
        ("my_code.py", "import numpy, yaml\ndef build(): ...\n", {"code", "libraries"}),
        ("my_data.py", "def data(split): return 1\n", {"data"}),
        ("my_data.py", "def data(split): ...  # later\n", set()),
        ("w.safetensors", SAFE + " ", {"weights"}),
    ],
)
def test_a_file_changes_its_own_kind(folder: Path, file: str, text: str, kinds: set[str]) -> None:
    before = planned_in(folder)[1]
    (folder / file).write_text(text)
    assert changed(folder, before) == kinds


@pytest.mark.parametrize(
    ("sections", "kinds"),
    [
        ({"workloads": {"w": {"scenario": "single-stream", "batch": 1}}}, set()),
        ({"workloads": {"w": {"scenario": "single-stream", "batch": 2}}}, {"settings"}),
        ({"hardware": {"one": {"threads": 1}}}, {"settings", "environment"}),
        ({"measure": {"seed": 1}}, {"technique"}),
        ({"measure": {"huge_pages": True}}, {"environment"}),
        ({"measure": {"environment": {"OMP_WAIT_POLICY": "active"}}}, {"environment"}),
        ({"measure": {"environment": {"ANY_OTHER": "1"}}}, {"environment"}),
        ({"measure": {"trials": 3}, "baseline": "t"}, set()),
        (
            {
                "techniques": {
                    "t": [
                        {"quantize": {"method": "dynamic", "reduce_range": True}},
                        {"runtime": "onnxruntime"},
                    ]
                }
            },
            {"technique"},
        ),
        (
            {
                "techniques": {
                    "t": [
                        {"quantize": {"method": "dynamic"}},
                        {"runtime": {"name": "onnxruntime", "graph_optimization": "extended"}},
                    ]
                }
            },
            {"technique", "settings"},
        ),
    ],
)
def test_a_setting_changes_its_own_kind(folder: Path, sections: dict[str, Any], kinds: set[str]) -> None:
    assert changed(folder, planned_in(folder)[1], **sections) == kinds


def test_all_threads_are_other_settings_on_a_machine_with_other_cores(folder: Path) -> None:
    """The Cell's id is the same, since it is made from the suite."""
    pairs = replace(PLACE, cores=(0, 1, 2, 3), nodes=(((0, 2), (1, 3)),))
    (cell, two), (same, before) = planned_in(folder), planned_in(folder, pairs)
    assert (cell.target.threads, same.target.threads, cell.cell.cell_id) == (2, 2, same.cell.cell_id)
    assert two["settings_digest"] == before["settings_digest"]
    logical = {"cpu": {"threads": "logical"}}
    assert changed(folder, before, pairs, hardware=logical) == {"settings", "environment"}
    four = replace(pairs, nodes=(((0,), (1,), (2,), (3,)),))
    assert changed(folder, before, four) == {"settings", "environment"}


def test_the_machine_and_what_it_decides_change(folder: Path) -> None:
    before = planned_in(folder)[1]
    assert changed(folder, before, replace(PLACE, machine_id="there")) == {"machine"}
    vnni = replace(PLACE, cpu_features=frozenset({"avx2", "avx512_vnni"}))
    assert changed(folder, before, vnni) == {"technique"}


def test_the_code_of_steps_and_of_the_runtime_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.techniques import registry

    before = planned_in(folder)[1]
    with monkeypatch.context() as patch:
        patch.setattr(registry, "code_of", lambda *functions: "other")
        assert changed(folder, before) == {"technique"}
    monkeypatch.setattr(module, "code_of", lambda *functions: "other")
    assert changed(folder, before) == {"settings"}


def test_libraries_are_those_of_model_steps_runtime_and_python(folder: Path, monkeypatch) -> None:
    planned, before = planned_in(folder)
    assert {"numpy", "onnx", "onnxruntime", "onnxscript", "python", "torch"} <= set(cell_libraries(planned))
    monkeypatch.setattr(module.platform, "python_version", lambda: "9.9")
    assert changed(folder, before) == {"libraries"}


@pytest.mark.parametrize(
    ("name", "counts"),
    [("MALLOC_ARENA_MAX", True), ("OMP_WAIT_POLICY", False), ("OMP_NUM_THREADS", False), ("EDITOR", False)],
)
def test_variables_count_as_the_worker_has_them(folder: Path, monkeypatch, name: str, counts: bool) -> None:
    """The shell does not pass on how threads spin, are bound and how many there are."""
    before = planned_in(folder)[1]
    monkeypatch.setenv(name, "7")
    assert changed(folder, before) == ({"environment"} if counts else set())


def test_a_skipped_cell_has_what_is_known(folder: Path) -> None:
    planned, found = planned_in(folder, hardware={"gpu": {"device": "cuda"}})
    assert planned.skip == "there is no GPU"
    assert {name.removesuffix("_digest") for name in found} == {
        "code",
        "weights",
        "data",
        "settings",
        "environment",
        "machine",
    }


# ------------------------------------------------------------------ environment variables


def test_variables_that_change_speed_are_kept_without_folders_and_secrets() -> None:
    given = {
        "OMP_NUM_THREADS": "4",
        "KMP_AFFINITY": "granularity=fine,compact,1,0",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=2",
        "LD_PRELOAD": "/usr/lib/libjemalloc.so.2:/home/me/lib/other.so",
        "LD_PRELOADED": "x",
        "MALLOC_CONF": "background_thread:true",
        "XLA_FLAGS": "--xla_dump_to=/home/me/dump --xla_gpu=1",
        "TORCHINDUCTOR_CACHE_DIR": "/home/me/cache/",
        "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128",
        "CUDA_VISIBLE_DEVICES": "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
        "NVIDIA_API_KEY": "nvapi-1",
        "TF_VAR_password": "x",
        "TF_TOKEN_registry": "x",
        "TF_CLI_CONFIG_FILE": "/home/me/.terraformrc",
        "TF_NUM_INTRAOP_THREADS": "2",
        "OV_CACHE_DIR": "ov",
        "OVERLAY": "x",
        "HOME": "/home/me",
    }
    found = speed_variables(given)
    device = found.pop("CUDA_VISIBLE_DEVICES")
    assert device.startswith("GPU-")
    assert len(device) == 12
    assert device != given["CUDA_VISIBLE_DEVICES"][:12]
    assert found == {
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=2",
        "KMP_AFFINITY": "granularity=fine,compact,1,0",
        "LD_PRELOAD": "libjemalloc.so.2:other.so",
        "MALLOC_CONF": "background_thread:true",
        "OMP_NUM_THREADS": "4",
        "OV_CACHE_DIR": "ov",
        "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128",
        "TF_NUM_INTRAOP_THREADS": "2",
        "TORCHINDUCTOR_CACHE_DIR": "cache/",
        "XLA_FLAGS": "--xla_dump_to=dump --xla_gpu=1",
    }


def test_variables_of_the_shell_that_workers_do_not_get_are_named_with_their_values() -> None:
    assert withheld_notice({"MALLOC_CONF": "x", "HOME": "/home/me"}) == ""
    assert withheld_notice({"OMP_PLACES": "/a/places", "GOMP_CPU_AFFINITY": "0", "OMP_STACKSIZE": "4M"}) == (
        "workers do not get these variables of the shell: GOMP_CPU_AFFINITY=0, OMP_PLACES=places; the suite "
        "sets the number of threads (hardware: threads) and the other variables (measure: environment)"
    )


# ------------------------------------------------------------------ the Artifact's content


def test_content_is_known_by_names_and_bytes_without_the_manifest(tmp_path: Path) -> None:
    def folder(name: str, **files: str) -> Path:
        place = tmp_path / name
        (place / "sub").mkdir(parents=True)
        for file, text in files.items():
            (place / file.replace("__", "/")).write_text(text)
        return place

    one = folder("1", a="x", sub__b="y")
    Artifact("k", "onnx", one).write_manifest()
    same = folder("2", sub__b="y", a="x")
    assert content_digest(one) == content_digest(same)
    others = [
        folder("3", a="x", sub__b="z"),
        folder("4", a="x", b="y"),
        folder("5", a="x"),
        folder("6", a="y", sub__b="x"),
        folder("7", a="x", sub__b="y", c=""),
    ]
    assert len({content_digest(place) for place in [one, *others]}) == 6


def test_an_artifact_that_refers_to_the_models_code_counts_with_it(folder: Path) -> None:
    assert {name for name, entry in FORMATS.items() if not entry.holds_code} == {"torch-module"}
    before = planned_in(folder)[0]
    (folder / "my_code.py").write_text("def build(): return 2\n")
    after = planned_in(folder)[0]

    def of(planned: PlannedCell, format: str, content: str = "c") -> str:
        return artifact_digest(planned, Artifact("k", format, folder, content_digest=content))

    assert of(before, "torch-module") != of(after, "torch-module")
    assert of(before, "torch-module") != of(before, "torch-module", "d")
    assert of(before, "onnx") == of(after, "onnx") == "c"
    assert of(before, "torch-module", "") == ""


def test_an_onnx_file_counts_as_weights(folder: Path) -> None:
    write_onnx(folder / "m.onnx")
    models = {"m": {"onnx": "m.onnx"}}
    before = planned_in(folder, models=models)[1]
    write_onnx(folder / "m.onnx", seed=1)
    assert changed(folder, before, models=models) == {"weights"}


def test_digests_can_be_written(folder: Path) -> None:
    json.dumps(planned_in(folder)[1])
