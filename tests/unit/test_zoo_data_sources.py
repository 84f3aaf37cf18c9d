"""A user's data: functions and files of each format, their splits, settings and identities."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from harness.errors import DataError
from harness.formats.tensors import TensorSpec
from harness.suite.json_schema import schema_text
from harness.zoo.data_sources.registry import DATA_SOURCES, DataConfig, DataSource
from harness.zoo.dataset_reference import DatasetReference
from harness.zoo.identities import dataset_identity
from harness.zoo.registry import Data
from harness.zoo.source import SOURCES
from harness.zoo.splits import half, overlap, place_of
from harness.zoo.user_code import load_data

X = np.arange(60, dtype=np.float32).reshape(20, 3)
LABELS = np.arange(20) % 5
ONE = (TensorSpec(name="x", shape=(3,)),)
IMAGE = (TensorSpec(name="image", shape=(3, 16, 16)),)
REFERENCE = TypeAdapter(DatasetReference)


def setting(value):
    """Read what a suite has after `dataset:`, as the suite is read, and as a worker gets it."""
    read = REFERENCE.validate_json(json.dumps(value), strict=True)
    assert REFERENCE.validate_python(REFERENCE.dump_python(read, mode="json")) == read
    return read


def load(value, folder, split="test", inputs=ONE):
    return load_data(setting(value), folder, split, inputs)


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Write a module `my_data` with this text."""

    def write(text):
        (tmp_path / "my_data.py").write_text(text)
        monkeypatch.delitem(sys.modules, "my_data", raising=False)
        return "my_data:data"

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write
    sys.modules.pop("my_data", None)


# ------------------------------------------------------------------ functions


@pytest.mark.parametrize(
    "text",
    [
        "def data(split): return [[len(split)] * 3]",
        "def data(split='train'): yield [float(len(split))] * 3",
        "def data(*arguments): return [[len(arguments[0])] * 3]",
        "def data(): return {'train': [[5] * 3], 'test': [[4] * 3]}",
        "data = {'train': [[5] * 3], 'test': [[4] * 3]}",
        "data = {'train': [[5] * 3], 'validation': [[4] * 3]}",
        "class data(list):\n def __init__(self, split): self.append([len(split)] * 3)",
    ],
)
def test_functions_get_the_split_or_return_all_splits(tmp_path, code, text):
    reference = code(text)
    for split in ("train", "test"):
        np.testing.assert_array_equal(load(reference, tmp_path, split).inputs[0], [[len(split)] * 3])


def test_a_function_may_be_in_a_file_that_is_named_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "given_data.py").write_text("def data(split): return [[len(split)] * 3]")
    monkeypatch.syspath_prepend(str(tmp_path))
    np.testing.assert_array_equal(load("nets/given_data.py:data", tmp_path).inputs[0], [[4.0] * 3])


def test_a_function_without_arguments_gives_the_same_samples_for_both_splits(tmp_path, code):
    reference = code("def data(): return [[1.0, 2.0, 3.0]]")
    assert len(load(reference, tmp_path, "train")) == len(load(reference, tmp_path, "test")) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "def data(split): return {'test': 1}[split]",
            "raised KeyError: 'train'; it was asked for 'train', and",
        ),
        (
            "def data(split): return None",
            r"the dataset 'my_data:data' \(train\) is None: there are no samples",
        ),
        ("data = {'test': 1}", r"\(train\) is None: there are no samples"),
        ("def data(split): return []", r"\(train\) has no samples"),
        ("def data(split): raise SystemError('x')", "the dataset 'my_data:data' raised SystemError: x"),
    ],
)
def test_a_split_that_is_missing_is_told_in_one_line(tmp_path, code, text, says):
    with pytest.raises(DataError, match=says) as told:
        load(code(text), tmp_path, "train")
    assert "\n" not in str(told.value)


def test_an_input_whose_value_is_stated_is_not_in_the_data(tmp_path, code):
    reference = code("import numpy as np\ndef data(split): return np.ones((2, 3), 'f'), [0, 1]")
    data = load(reference, tmp_path, inputs=(*ONE, TensorSpec(name="rate", shape=(), value=16000)))
    assert [array.shape for array in data.inputs] == [(2, 3)]
    np.testing.assert_array_equal(data.labels, [0, 1])


# ------------------------------------------------------------------ arrays in files


def test_npz_has_each_input_under_its_name(tmp_path):
    for split, shift in (("train", 0), ("test", 100)):
        np.savez(tmp_path / f"{split}.npz", x=X + shift, labels=LABELS, other=[1])
    data = load("{split}.npz", tmp_path)
    np.testing.assert_array_equal(data.inputs[0], X + 100)
    np.testing.assert_array_equal(data.labels, LABELS)
    with pytest.raises(DataError, match=r"has no image; it has x, labels, other"):
        load("{split}.npz", tmp_path, inputs=IMAGE)


def test_npy_is_memory_mapped_and_has_its_labels_in_another_file(tmp_path):
    for split in ("train", "test"):
        np.save(tmp_path / f"x-{split}.npy", X)
        np.save(tmp_path / f"y-{split}.npy", LABELS)
    data = load({"npy": "x-{split}.npy", "labels": "y-{split}.npy"}, tmp_path)
    assert isinstance(data.inputs[0], np.memmap)
    np.testing.assert_array_equal(data.inputs[0], X)
    np.testing.assert_array_equal(data.labels, LABELS)
    assert load("x-{split}.npy", tmp_path).labels is None


def test_a_file_without_splits_is_divided_always_the_same_way(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, labels=LABELS)
    parts = [load("d.npz", tmp_path, split) for split in ("train", "test")]
    assert min(map(len, parts)) > 3
    assert overlap(parts[1], lambda: parts[0]) == ()
    rows = np.concatenate([part.inputs[0] for part in parts])
    np.testing.assert_array_equal(np.sort(rows[:, 0]), X[:, 0])
    for part in parts:  # labels stay with their samples
        np.testing.assert_array_equal(part.labels, (part.inputs[0][:, 0] / 3) % 5)
        assert part.notes == ("one half of 20 samples, by a hash; the other half is the other split",)
    np.testing.assert_array_equal(load("d.npz", tmp_path).inputs[0], parts[1].inputs[0])


def test_a_file_of_too_few_samples_to_divide_is_refused(tmp_path):
    np.save(tmp_path / "d.npy", X[:1])
    with pytest.raises(DataError, match="none of its 1 samples falls into the split t"):
        for split in ("train", "test"):
            load("d.npy", tmp_path, split)


@pytest.mark.parametrize("name", ["d.npz", "d.npy"])
def test_damaged_arrays_are_told(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=rf"{name} is no readable np[yz] file of numbers"):
        load(name, tmp_path)


def test_pickled_arrays_are_not_read(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.array([{}, []], dtype=object))
    with pytest.raises(DataError, match=r"d\.npz is no readable npz file of numbers"):
        load("d.npz", tmp_path)


# ------------------------------------------------------------------ JSON lines


def test_json_lines_hold_token_ids_of_different_lengths(tmp_path):
    specs = (
        TensorSpec(name="input_ids", shape=(4,), dtype="int64", high=50),
        TensorSpec(name="attention_mask", shape=(4,), dtype="int64"),
    )
    lines = ['{"input_ids": [5, 6, 7], "label": 1, "text": "a"}', "", '{"input_ids": [8], "label": 0}']
    (tmp_path / "test.jsonl").write_text("\n".join(lines))
    data = load({"jsonl": "{split}.jsonl", "pad": 9}, tmp_path, inputs=specs)
    np.testing.assert_array_equal(data.inputs[0], [[5, 6, 7, 9], [8, 9, 9, 9]])
    np.testing.assert_array_equal(data.inputs[1], [[1, 1, 1, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(data.labels, [1, 0])
    with pytest.raises(DataError, match=r"\{split\}\.jsonl: there is no train\.jsonl beside the suite"):
        load("{split}.jsonl", tmp_path, "train", specs)


@pytest.mark.parametrize(
    ("line", "says"), [("{", "d.jsonl:2 is no JSON"), ("[1]", "d.jsonl:2 is no mapping")]
)
def test_the_line_that_cannot_be_read_is_named(tmp_path, line, says):
    (tmp_path / "d.jsonl").write_text(f'{{"x": [1, 2, 3]}}\n{line}\n')
    with pytest.raises(DataError, match=says):
        load("d.jsonl", tmp_path)


# ------------------------------------------------------------------ images


@pytest.fixture
def photos(tmp_path):
    """Write plain images: photos/<below>, each of one color."""
    image = pytest.importorskip("PIL.Image")

    def write(below, color=(255, 0, 51), size=(16, 16), mode="RGB"):
        path = tmp_path / "photos" / below
        path.parent.mkdir(parents=True, exist_ok=True)
        image.new(mode, size, color).save(path)

    return write


def test_classes_count_in_the_order_of_their_names_over_both_splits(tmp_path, photos):
    for place in ("train/cat/a.png", "train/dog/b.png", "val/dog/c.png", "val/.hidden/d.txt.png"):
        photos(place)
    data = load("photos/", tmp_path, inputs=IMAGE) if False else None
    (tmp_path / "photos/val/.hidden/d.txt.png").unlink()
    data = load("photos/", tmp_path, inputs=IMAGE)
    np.testing.assert_array_equal(data.labels, [1])
    np.testing.assert_array_equal(load("photos/", tmp_path, "train", IMAGE).labels, [0, 1])


def test_folders_that_are_numbers_are_the_classes(tmp_path, photos):
    for number in (2, 10, 7):
        photos(f"train/{number}/a.png")
        photos(f"test/{number}/b.png")
    np.testing.assert_array_equal(load("photos/", tmp_path, inputs=IMAGE).labels, [10, 2, 7])


def test_pixels_are_normalized_as_the_suite_says(tmp_path, photos):
    photos("train/a.png")
    photos("test/a.png")
    data = load("photos/", tmp_path, inputs=IMAGE)
    assert data.inputs[0].shape == (1, 3, 16, 16)
    assert data.labels is None
    normalized = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(data.inputs[0][0, :, 5, 5], normalized, rtol=1e-5)
    assert (
        data.notes[1]
        == "normalized with ImageNet's mean 0.485, 0.456, 0.406 and deviation 0.229, 0.224, 0.225"
    )
    own = load({"images": "photos", "mean": [0.5], "std": [0.25]}, tmp_path, inputs=IMAGE)
    np.testing.assert_allclose(own.inputs[0][0, :, 5, 5], [2, -2, -1.2], rtol=1e-5)
    assert own.notes[1] == "normalized with mean 0.5 and deviation 0.25"


def test_integers_and_the_place_of_the_channels_follow_the_model(tmp_path, photos):
    photos("train/a.png")
    photos("test/a.png")
    last = (TensorSpec(name="image", shape=(16, 16, 3), dtype="uint8"),)
    data = load("photos/", tmp_path, inputs=last)
    np.testing.assert_array_equal(data.inputs[0][0, 5, 5], [255, 0, 51])
    assert data.notes[1] == "pixels from 0 to 255"
    gray = (TensorSpec(name="image", shape=(1, 16, 16)),)
    pixel = load("photos/", tmp_path, inputs=gray).inputs[0][0, 0, 5, 5]
    luminance = round(0.299 * 255 + 0.114 * 51) / 255
    assert pixel == pytest.approx((luminance - 0.449) / 0.226, rel=0.02)


def test_images_are_resized_by_the_shorter_side_and_cropped_in_the_center(tmp_path, photos):
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "photos/test").mkdir(parents=True)
    (tmp_path / "photos/train").mkdir()
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 255  # the middle third
    image.fromarray(wide).save(tmp_path / "photos/test/a.png")
    pixels = (TensorSpec(name="image", shape=(16, 16, 3), dtype="uint8"),)
    data = load({"images": "photos", "resize": 16}, tmp_path, inputs=pixels)
    assert (data.inputs[0][0, :, 2:-2] == 255).all()
    assert data.notes[0] == "images resized to 16 pixels (shorter side) and cropped to 16 × 16"
    edges = load({"images": "photos", "resize": 64}, tmp_path, inputs=pixels).inputs[0]
    assert (edges == 255).all()
    assert load("photos/", tmp_path, inputs=pixels).notes[0].startswith("images resized to 18 pixels")


def test_a_folder_without_splits_is_divided_by_the_names_of_its_files(tmp_path, photos):
    for i in range(20):
        photos(f"{'ab'[i % 2]}/{i}.png", color=(i, i, i))
    pixels = (TensorSpec(name="image", shape=(16, 16, 3), dtype="uint8"),)
    parts = [load("photos/", tmp_path, split, pixels) for split in ("train", "test")]
    colors = [set(part.inputs[0][:, 0, 0, 0].tolist()) for part in parts]
    assert colors[0] | colors[1] == set(range(20))
    assert not colors[0] & colors[1]
    for part in parts:
        np.testing.assert_array_equal(part.labels, part.inputs[0][:, 0, 0, 0] % 2)
        assert part.notes[0].startswith("one half of the files, by a hash of their names")


def test_classes_that_are_links_are_followed(tmp_path, photos):
    photos("train/a/1.png")
    photos("../elsewhere/2.png")
    photos("test/a/3.png")
    (tmp_path / "photos/train/b").symlink_to(tmp_path / "elsewhere")
    np.testing.assert_array_equal(load("photos/", tmp_path, "train", IMAGE).labels, [0, 1])


@pytest.mark.parametrize(
    ("files", "inputs", "says"),
    [
        (["train/a.png"], IMAGE, "photos/ has a folder for one split only; it needs train and test"),
        (["train/a.png", "test/a.txt"], IMAGE, "photos/ has no images of the split test: .bmp, "),
        (["train/a/a.png", "test/a/a.png", "test/b.png"], IMAGE, "b.png is in no class's folder, others are"),
        (
            ["train/a.png", "test/a.png"],
            ONE,
            "photos/: images fit one input of 1 or 3 channels; the model takes x",
        ),
    ],
)
def test_folders_that_cannot_be_read_are_told(tmp_path, photos, files, inputs, says):
    for file in files:
        photos(file) if file.endswith("png") else (tmp_path / "photos" / file).parent.mkdir()
    with pytest.raises(DataError) as told:
        load("photos/", tmp_path, inputs=inputs)
    assert says in str(told.value)


def test_a_file_that_is_no_image_is_named(tmp_path, photos):
    photos("train/a.png")
    photos("test/a.png")
    (tmp_path / "photos/test/a.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"a\.png is no readable image"):
        load("photos/", tmp_path, inputs=IMAGE)


# ------------------------------------------------------------------ samples in both splits


def data_of(rows):
    return Data((np.asarray(rows, np.float32).reshape(-1, 1),))


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ([0, 1, 2, 3], "train and test are the same 4 samples"),
        ([3, 2, 1, 0], "train and test are the same 4 samples"),
        ([3, 9, 0, 8, 7], "2 of 4 test samples are training samples too"),
        ([7, 8, 9], None),
        ([], None),
    ],
)
def test_test_samples_that_are_training_samples_are_counted(train, says):
    found = overlap(data_of([0, 1, 2, 3]), lambda: data_of(train))
    assert (found == ()) if says is None else found[0].startswith(says)


def test_samples_are_the_same_only_if_all_inputs_are():
    test = Data((np.zeros((3, 2)), np.arange(3)))
    assert overlap(test, lambda: Data((np.zeros((3, 2)), np.arange(2, 5))))[0].startswith("1 of 3")


def test_a_training_split_that_cannot_be_loaded_hides_nothing():
    def load_train():
        raise KeyError("train")

    assert overlap(data_of([1]), load_train) == ()


def test_half_keeps_equal_samples_together():
    data = data_of([1, 2, 3, 4, 5, 6, 7, 8] * 3)
    parts = [half(data, split, "d") for split in ("train", "test")]
    assert overlap(parts[1], lambda: parts[0]) == ()
    assert sum(map(len, parts)) == 24


# ------------------------------------------------------------------ what a suite may write


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("mnits", "unknown dataset 'mnits'; did you mean 'mnist'?.*a file by its path, a folder with /"),
        ({"npz": "a.npz", "images": "b/"}, "takes exactly one of the keys function, images, jsonl, npy, npz"),
        ({"path": "a.npz"}, "takes exactly one of the keys"),
        ({"npz": "a.npz", "padd": 0}, "unknown key 'padd'; did you mean 'pad'"),
        ({"npz": "a.npz", "samples": 0}, "samples: input should be greater than or equal to 1"),
        ({"function": "data"}, "function: string should match pattern"),
    ],
)
def test_a_dataset_that_cannot_be_is_refused_in_the_suite(value, says):
    with pytest.raises(ValidationError, match=says):
        REFERENCE.validate_json(json.dumps(value), strict=True)


def test_a_source_with_settings_survives_its_way_to_a_worker():
    source = SOURCES.get("onnx").config
    config = source.model_validate({"onnx": "m.onnx", "dataset": {"images": "p", "mean": [0.5], "pad": 1}})
    again = source.model_validate(config.model_dump(mode="json"))
    assert again == config
    assert again.dataset.mean == (0.5,)
    assert not SOURCES.get("onnx").random_samples(config)


def test_every_format_has_a_reference_or_settings():
    recognized = {"a.npz", "a.npy", "a.jsonl", "a/", "pkg.mod:data"}
    found = [[key for key, one in DATA_SOURCES.items() if one.recognize(text)] for text in sorted(recognized)]
    assert sorted(found) == [["function"], ["images"], ["jsonl"], ["npy"], ["npz"]]


def test_the_identity_of_files_follows_their_content_and_the_settings(tmp_path):
    np.save(tmp_path / "d.npy", X)
    seen = {dataset_identity(setting("d.npy"), tmp_path).digest}
    assert dataset_identity(setting({"npy": "d.npy"}), tmp_path).digest in seen
    seen.add(dataset_identity(setting({"npy": "d.npy", "samples": 3}), tmp_path).digest)
    np.save(tmp_path / "d.npy", X + 1)
    seen.add(dataset_identity(setting("d.npy"), tmp_path).digest)
    assert len(seen) == 3
    with pytest.raises(DataError, match=r"none\.npy: no such file or folder beside the suite"):
        dataset_identity(setting("none.npy"), tmp_path)


class CsvConfig(DataConfig):
    csv: str


def test_another_format_is_one_entry_and_gets_splits_padding_and_dtypes(tmp_path, monkeypatch):
    def read(config, folder, split, _inputs):
        return {"x": np.loadtxt(place_of(config.csv, folder, split), delimiter=",", ndmin=2)}

    entry = DataSource(
        "csv", CsvConfig, "text", lambda text: text.endswith(".csv"), read, files=lambda config: (config.csv,)
    )
    DATA_SOURCES.names()  # the harness's own are loaded before
    monkeypatch.setitem(DATA_SOURCES._items, "csv", entry)
    (tmp_path / "a.csv").write_text("".join(f"{i},{i + 0.5}\n" for i in range(20)))
    parts = [load({"csv": "a.csv", "pad": 7}, tmp_path, split) for split in ("train", "test")]
    rows = np.concatenate([part.inputs[0] for part in parts])
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], [[i, i + 0.5, 7] for i in range(20)])
    assert rows.dtype == np.float32
    before = dataset_identity(setting("a.csv"), tmp_path)
    (tmp_path / "a.csv").write_text("1,2\n")
    assert dataset_identity(setting("a.csv"), tmp_path) != before
    assert '"csv": {' in schema_text()
