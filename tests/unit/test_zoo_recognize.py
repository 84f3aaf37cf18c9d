"""What a user names on a command line becomes the model section of a suite, or an error says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_formats_file_kinds import LFS, graph

from harness.errors import DataError
from harness.zoo.source import SOURCES, recognize

BERT = {"model_type": "bert", "vocab_size": 9}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(graph())
    (tmp_path / "without_suffix").write_bytes(graph())
    (tmp_path / "my_net.py").write_text("def build(): ...\ndef small(): ...\ndef _own(): ...\n")
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "hubconf.py").write_text("from x import y\ndef tiny(): ...\n")
    return tmp_path


@pytest.mark.parametrize(
    ("argument", "section"),
    [
        ("net.onnx", {"onnx": "net.onnx"}),
        ("./net.onnx", {"onnx": "./net.onnx"}),
        ("without_suffix", {"onnx": "without_suffix"}),
        ("mnist-mlp", {"zoo": "mnist-mlp"}),
        ("my_net:build", {"torch": "my_net:build"}),
        ("repo/hubconf.py:tiny", {"torch": "repo/hubconf.py:tiny"}),
    ],
)
def test_a_model_is_recognized(folder: Path, argument: str, section: dict[str, str]) -> None:
    assert recognize(argument, folder) == section
    (key,) = section
    SOURCES.get(key).config.model_validate(section)  # a suite may hold it


def test_an_absolute_path_is_taken_from_any_folder(folder: Path) -> None:
    assert recognize(str(folder / "net.onnx"), Path("/")) == {"onnx": str(folder / "net.onnx")}


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"architectures": ["BertForSequenceClassification"]}, "text-classification"),
        ({"architectures": ["BertForTokenClassification"]}, "token-classification"),
        ({"architectures": ["BertForQuestionAnswering"]}, "question-answering"),
        ({"architectures": ["BertModel"]}, "feature-extraction"),
        ({}, "feature-extraction"),
        ({"architectures": ["GPT2LMHeadModel"]}, "text-generation"),
        ({"architectures": ["LlamaForCausalLM"]}, "text-generation"),
        ({"architectures": ["ViTModel"], "image_size": 32}, "image-feature-extraction"),
        ({"architectures": ["ViTForImageClassification"], "image_size": 32}, "image-classification"),
        ({"architectures": ["SegformerForSemanticSegmentation"], "num_channels": 3}, "image-segmentation"),
        ({"architectures": ["DetrForObjectDetection"], "backbone_config": {}}, "object-detection"),
        ({"architectures": ["Wav2Vec2ForCTC"], "feat_extract_norm": "group"}, "automatic-speech-recognition"),
        (
            {"architectures": ["Wav2Vec2ForSequenceClassification"], "feat_extract_norm": "group"},
            "audio-classification",
        ),
    ],
)
def test_the_task_of_a_checkpoint_follows_from_its_architecture(
    folder: Path, config: dict[str, object], task: str
) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "config.json").write_text(json.dumps(BERT | config))
    assert recognize("mine", folder) == {"hf": "mine", "task": task}


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("none.onnx", "'none.onnx': no such file or folder. A model is a file"),
        ("models/none.onnx", "no such file or folder"),
        ("mnist-mpl", "no such file or folder"),
        ("no_module:build", "no module 'no_module' beside the suite"),
        ("none.py:build", "none.py: no such file"),
        ("my_net.py", "name the function that returns the model: my_net.py:build or my_net.py:small"),
        ("repo", "name the function that returns the model: repo/hubconf.py:tiny"),
        ("pointer.onnx", "pointer.onnx is a Git LFS pointer, not the file itself; run git lfs pull"),
        ("bare", "bare is a folder without config.json"),
        ("t5", "t5: it is a T5ForConditionalGeneration; allowed are models for one of the tasks"),
        ("broken", "broken: its config.json is no configuration"),
    ],
)
def test_what_is_no_model_is_called_what_it_is(folder: Path, argument: str, says: str) -> None:
    (folder / "pointer.onnx").write_bytes(LFS)
    for name, config in (
        ("t5", json.dumps({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True})),
        ("broken", "[1]"),
        ("bare", ""),
    ):
        (folder / name).mkdir()
        (folder / name / ("config.json" if config else "notes")).write_text(config)
    with pytest.raises(DataError) as told:
        recognize(argument, folder)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


def test_a_name_on_the_hub_needs_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    (folder / "given.json").write_text(json.dumps({"architectures": ["BertForMaskedLM"]}))
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_, **__: str(folder / "given.json"))
    assert recognize("owner/name", folder) == {"hf": "owner/name", "task": "fill-mask"}

    def refuse(*_: object, **__: object) -> None:
        raise OSError("offline\nand more")

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    with pytest.raises(DataError, match=r"owner/name: the hub did not give its revision main: offline$"):
        recognize("owner/name", folder)
