"""The docs name what is there: files, verbs and entry point groups exist, and examples are valid."""

import re
from pathlib import Path

import pytest
import yaml

from harness.cli import VERBS
from harness.suite.validation import read_suite

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ADDED = {"harness/techniques/round_weights.py"}
"""Files that an example makes."""
PACKAGES = sorted(path.name for path in (ROOT / "harness").iterdir() if path.is_dir())
NETS = "def build(): ...\ndef encoder(): ...\ndef data(split): ...\n"


def examples(language: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for number, text in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)):
            found.append((f"{page.name}-{number}", text))
    return found


def ids(case: tuple[str, str]) -> str:
    return case[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)]
    folders = "|".join(PACKAGES)
    named = re.findall(
        rf"`((?:harness/|tests/|docs/|suites/)?(?:{folders}|unit|perf|integration)/[\w/.]+)`", text
    )
    at_root = re.findall(r"`((?:harness|tests|docs|suites)/[\w/.-]+)`", text)
    roots = (ROOT, ROOT / "harness", ROOT / "tests")
    missing = [name for name in links if name and not (page.parent / name).exists()]
    missing += [n for n in {*named, *at_root} - ADDED if not any((root / n).exists() for root in roots)]
    assert missing == []


def test_the_readme_lists_every_verb() -> None:
    assert set(re.findall(r"^\| `harness (\w+)", (ROOT / "README.md").read_text(), re.M)) == set(VERBS)


@pytest.mark.parametrize("case", examples("python"), ids=ids)
def test_every_python_example_compiles_and_its_imports_work(case: tuple[str, str]) -> None:
    compile(case[1], case[0], "exec")
    for line in re.findall(r"^from harness.*$", case[1], re.M):
        exec(line, {})


@pytest.mark.parametrize("case", examples("yaml"), ids=ids)
def test_every_suite_example_is_valid(case: tuple[str, str], tmp_path: Path) -> None:
    suite = {
        "suite": "example",
        "models": {"m": {"zoo": "mnist-cnn"}},
        "workloads": {"online": {"scenario": "single-stream"}, "bulk": {"scenario": "offline"}},
        "techniques": {"eager": [{"runtime": "torch-eager"}]},
        **yaml.safe_load(case[1]),
    }
    for model in suite["models"].values():
        checkpoint = (
            [f"{model['hf']}/{name}" for name in ("config.json", "model.safetensors")]
            if "hf" in model
            else []
        )
        dataset = model.get("dataset", "")
        paths = [dataset] if isinstance(dataset, str) else [dataset.get("images"), dataset.get("jsonl")]
        files = [path.replace("{split}", "train") for path in paths if path and ":" not in path]
        for name in filter(None, [model.get("onnx"), *model.get("depends", ()), *files, *checkpoint]):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
    for place in ("nets.py", "pkg/__init__.py", "pkg/mod.py"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(NETS)
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    read_suite(tmp_path / "suite.yaml")
