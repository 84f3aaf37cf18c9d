"""A checkpoint of transformers as a model: made here, saved, loaded, and answering as transformers does."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from harness.errors import DataError
from harness.zoo.identities import dataset_identity
from harness.zoo.source import SOURCES

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SOURCE = SOURCES.get("hf")
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "vocab_size": 100}
BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def saved(folder, model):
    torch.manual_seed(0)
    model.save_pretrained(folder)
    return model.eval().requires_grad_(False)


@pytest.fixture
def gpt2(tmp_path):
    config = transformers.GPT2Config(**GPT2, bos_token_id=1, eos_token_id=2)
    return saved(tmp_path / "gpt2", transformers.GPT2LMHeadModel(config))


def built(tmp_path, **settings):
    from harness.formats.torch.module import load_module

    config, out = SOURCE.config(**settings), tmp_path / "out"
    out.mkdir()
    inputs = SOURCE.build(config, tmp_path, out)
    return load_module(out), inputs, config


def test_a_decoder_answers_for_its_last_position_as_transformers_does(tmp_path, gpt2):
    module, (spec,), config = built(tmp_path, hf="gpt2", task="text-generation", tokens=16)
    assert (spec.name, spec.shape, spec.dtype, spec.high) == ("input_ids", (16,), "int64", 100)
    data = SOURCE.data(config, tmp_path, "test")
    ids = torch.from_numpy(data.inputs[0][:3])
    torch.testing.assert_close(module(ids), gpt2(ids).logits[:, -1])
    assert SOURCE.metric(config) == "cosine"
    assert SOURCE.tokens(config) == 16
    assert SOURCE.needs(config) == (("transformers",), "hf")
    weight = module.model.lm_head.weight
    assert weight is module.model.transformer.wte.weight  # still tied


def test_encoders_and_classifiers_answer_as_transformers_does(tmp_path):
    config = transformers.BertConfig(**BERT, vocab_size=90, num_labels=3)
    model = saved(tmp_path / "bert", transformers.BertForSequenceClassification(config))
    module, (spec, mask), _ = built(tmp_path, hf="bert", task="text-classification", tokens=8)
    ids = torch.from_numpy(spec.random(2, np.random.default_rng(0)))
    ones = mask.random(2, np.random.default_rng(0))
    assert (mask.name, mask.shape, ones.tolist()) == ("attention_mask", (8,), np.ones((2, 8)).tolist())
    torch.testing.assert_close(module(ids, torch.from_numpy(ones)), model(ids).logits)
    half = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 0]] * 2)
    torch.testing.assert_close(module(ids, half), model(ids, attention_mask=half).logits)


def test_images_take_their_size_from_the_configuration(tmp_path):
    config = transformers.ViTConfig(**BERT, image_size=32, patch_size=8, num_labels=5)
    model = saved(tmp_path / "vit", transformers.ViTForImageClassification(config))
    module, (spec,), source = built(tmp_path, hf="vit", task="image-classification")
    assert spec.shape == (3, 32, 32)
    assert SOURCE.tokens(source) is None
    images = torch.from_numpy(spec.random(2, np.random.default_rng(0)))
    torch.testing.assert_close(module(images), model(images).logits)


def test_its_identity_follows_the_files(tmp_path, gpt2):
    config = SOURCE.config(hf="gpt2", task="text-generation")
    before = SOURCE.identity(config, tmp_path)
    assert before.data == dataset_identity("random-tokens", tmp_path).digest
    assert before == SOURCE.identity(config, tmp_path)
    path = tmp_path / "gpt2" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "n_head": 4}))
    assert SOURCE.identity(config, tmp_path) != before


def test_pickled_weights_files_and_folders_that_are_not_there_are_refused(tmp_path, gpt2):
    (tmp_path / "gpt2" / "model.safetensors").rename(tmp_path / "gpt2" / "pytorch_model.bin")
    for name, complaint in (
        ("gpt2", "pickled weights are not read"),
        ("gpt2/config.json", "is a file"),
        ("./none", "no such folder"),
    ):
        with pytest.raises(DataError, match=complaint):
            SOURCE.identity(SOURCE.config(hf=name, task="text-generation"), tmp_path)


def test_too_many_tokens_and_models_of_another_kind_are_refused(tmp_path, gpt2):
    with pytest.raises(DataError, match="takes at most 64 tokens, not 128"):
        built(tmp_path, hf="gpt2", task="text-generation")
    with pytest.raises(DataError, match="AutoModelForImageClassification"):
        SOURCE.data(SOURCE.config(hf="gpt2", task="image-classification"), tmp_path, "test")


def test_code_of_a_checkpoint_is_never_run(tmp_path, gpt2):
    path = tmp_path / "gpt2" / "config.json"
    content = json.loads(path.read_text()) | {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    path.write_text(json.dumps(content))
    (tmp_path / "gpt2" / "own.py").write_text("raise SystemExit('it was run')\n")
    with pytest.raises(DataError, match="no code of its own"):
        SOURCE.data(SOURCE.config(hf="gpt2", task="text-generation"), tmp_path, "test")


def test_a_name_that_cannot_be_reached_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    code = (
        "from pathlib import Path\n"
        "from harness.errors import DataError\n"
        "from harness.zoo.source import SOURCES\n"
        "source = SOURCES.get('hf')\n"
        "try:\n"
        "    source.build(source.config(hf='owner/none', task='fill-mask'), Path(), Path())\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("owner/none: transformers cannot load this checkpoint"), done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_a_model_whose_positions_begin_after_padding_takes_fewer_tokens(tmp_path):
    config = transformers.RobertaConfig(**BERT, vocab_size=90, max_position_embeddings=34, pad_token_id=1)
    saved(tmp_path / "roberta", transformers.RobertaModel(config))
    SOURCE.data(SOURCE.config(hf="roberta", task="feature-extraction", tokens=32), tmp_path, "test")
    with pytest.raises(DataError, match="takes at most 32 tokens, not 33"):
        SOURCE.data(SOURCE.config(hf="roberta", task="feature-extraction", tokens=33), tmp_path, "test")


def test_a_mistyped_folder_is_not_asked_of_the_hub(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(DataError, match="no such folder beside the suite"):
        SOURCE.identity(SOURCE.config(hf="checkpoints/none", task="fill-mask"), tmp_path)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that has one branch; returns what was asked of it."""
    import huggingface_hub

    asked = []

    def download(name, file, *, revision):
        asked.append((name, file, revision))
        if revision != "main":
            raise OSError(f"no revision {revision}\nand more")
        refs = tmp_path / "hub" / "models--owner--name" / "refs"
        refs.mkdir(parents=True)
        (refs / revision).write_text(COMMIT)
        return str(refs / revision)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return asked


def test_a_branch_counts_as_its_commit_which_the_hub_is_asked_once_and_depends_counts(tmp_path, hub):
    (tmp_path / "own.csv").write_text("1")
    config = SOURCE.config(hf="owner/name", task="fill-mask", depends=["own.csv"])
    first = SOURCE.identity(config, tmp_path)
    assert first.weights == [{}, COMMIT]
    (tmp_path / "own.csv").write_text("2")
    second = SOURCE.identity(config, tmp_path)
    assert second.weights == first.weights and second.code != first.code
    pinned = SOURCE.config(hf="owner/name", task="fill-mask", revision=COMMIT[::-1])
    assert SOURCE.identity(pinned, tmp_path).weights == [{}, COMMIT[::-1]]
    assert hub == [("owner/name", "config.json", "main")]


def test_a_branch_that_the_hub_does_not_tell_is_refused_before_anything_runs(tmp_path, hub):
    config = SOURCE.config(hf="owner/name", task="fill-mask", revision="typo")
    with pytest.raises(DataError) as told:
        SOURCE.identity(config, tmp_path)
    assert str(told.value) == "owner/name: the hub did not give its revision typo: no revision typo"


def test_what_is_built_is_the_commit_that_the_model_is_known_by(tmp_path, hub, monkeypatch):
    from harness.zoo import hf_module

    config = SOURCE.config(hf="owner/name", task="fill-mask")
    SOURCE.identity(config, tmp_path)
    seen = []
    monkeypatch.setattr(hf_module, "read_config", lambda where, **settings: seen.append((where, settings)))
    with pytest.raises(DataError):  # there is no such configuration
        SOURCE.data(config, tmp_path, "test")
    assert seen == [("owner/name", {"revision": COMMIT})]


def test_random_ids_leave_out_padding_and_what_else_stands_for_no_text(tmp_path):
    config = transformers.BertConfig(
        **BERT, vocab_size=9, pad_token_id=0, eos_token_id=[3, 5], bos_token_id=99
    )
    saved(tmp_path / "bert", transformers.BertModel(config))
    source = SOURCE.config(hf="bert", task="feature-extraction", tokens=40)
    data = SOURCE.data(source, tmp_path, "train")
    assert set(np.unique(data.inputs[0])) == {1, 2, 4, 6, 7, 8}


def test_a_mask_follows_the_padding_of_a_dataset_that_has_only_ids(tmp_path, monkeypatch):
    config = transformers.BertConfig(**BERT, vocab_size=9, pad_token_id=0)
    saved(tmp_path / "bert", transformers.BertModel(config))
    (tmp_path / "padded_ids.py").write_text(
        "import numpy as np\n"
        "def data(split): return np.array([[5, 6, 0, 0], [7, 8, 3, 0]]), np.array([1, 0])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    source = SOURCE.config(hf="bert", task="feature-extraction", tokens=4, dataset="padded_ids:data")
    data = SOURCE.data(source, tmp_path, "test")
    assert data.inputs[1].tolist() == [[1, 1, 0, 0], [1, 1, 1, 0]]
    assert data.inputs[1].dtype == np.int64
    assert data.labels.tolist() == [1, 0]


def test_answers_have_both_outputs_of_a_question(tmp_path):
    config = transformers.BertConfig(**BERT, vocab_size=90)
    model = saved(tmp_path / "bert", transformers.BertForQuestionAnswering(config))
    module, inputs, source = built(tmp_path, hf="bert", task="question-answering", tokens=8)
    tensors = [torch.from_numpy(spec.random(2, np.random.default_rng(0))) for spec in inputs]
    answers = module(*tensors)
    assert list(answers) == ["start_logits", "end_logits"]
    torch.testing.assert_close(answers["end_logits"], model(tensors[0]).end_logits)
    found = SOURCE.inspect(source, tmp_path)
    assert found["outputs"] == [
        {"name": name, "dtype": "float32", "dims": [None, 8]} for name in ("start_logits", "end_logits")
    ]
    assert found["parameters"] == sum(one.numel() for one in model.parameters())


def test_audio_is_a_waveform_of_a_given_length(tmp_path):
    sizes = {"conv_dim": (8, 8), "conv_kernel": (10, 4), "conv_stride": (5, 4), "num_feat_extract_layers": 2}
    config = transformers.Wav2Vec2Config(
        **BERT, **sizes, vocab_size=12, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2
    )
    saved(tmp_path / "wave", transformers.Wav2Vec2ForCTC(config))
    source = SOURCE.config(hf="wave", task="automatic-speech-recognition", audio_samples=400)
    assert SOURCE.tokens(source) is None
    found = SOURCE.inspect(source, tmp_path)
    assert [(i["name"], i["shape"], i["dtype"]) for i in found["inputs"]] == [
        ("input_values", [400], "float32")
    ]
    frames = ((400 - 10) // 5 + 1 - 4) // 4 + 1
    assert found["outputs"] == [{"name": "output", "dtype": "float32", "dims": [None, frames, 12]}]


def test_an_image_without_a_size_in_the_configuration_takes_that_of_the_suite(tmp_path):
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", num_labels=4
    )
    saved(tmp_path / "resnet", transformers.ResNetForImageClassification(config))
    with pytest.raises(DataError, match="resnet: its configuration has no image_size; give image_size"):
        SOURCE.data(SOURCE.config(hf="resnet", task="image-classification"), tmp_path, "test")
    source = SOURCE.config(hf="resnet", task="image-classification", image_size=40)
    assert SOURCE.inspect(source, tmp_path)["inputs"][0]["shape"] == [3, 40, 40]


def test_a_task_that_the_harness_does_not_know_is_refused_with_those_that_it_does():
    with pytest.raises(ValueError, match="unknown task 'text-classificatio'; did you mean 'text-classificat"):
        SOURCE.config(hf="bert", task="text-classificatio")


def test_a_checkpoint_whose_weights_are_a_pointer_is_told(tmp_path, gpt2):
    (tmp_path / "gpt2" / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid 1\n"
    )
    with pytest.raises(DataError, match=r"gpt2/model\.safetensors is a Git LFS pointer"):
        SOURCE.identity(SOURCE.config(hf="gpt2", task="text-generation"), tmp_path)
