"""The Artifact cache: whole entries or none, whoever writes at the same time."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from harness.artifacts.artifact import MANIFEST, Artifact, payload_bytes, read_artifact
from harness.artifacts.cache import Cache, default_root, digest, file_digest
from harness.errors import BuildError

STEP = {"step": "prune/channel", "build_s": 1.5, "build_peak_rss_bytes": 10, "details": {"a": 1}}


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def put(cache, key, payload=b"weights", steps=(STEP,)):
    with cache.staging() as staged:
        (staged / "sub").mkdir()
        (staged / "sub" / "model.bin").write_bytes(payload)
        return cache.put(key, "onnx", staged, list(steps), {"parameters": 7.0})


def test_what_was_put_comes_back(cache):
    artifact = put(cache, "k1", steps=[STEP, {**STEP, "build_s": 2.0, "build_peak_rss_bytes": 30}])
    assert cache.get("k1") == artifact
    assert artifact.key == "k1"
    assert artifact.format == "onnx"
    assert artifact.file("sub/model.bin").read_bytes() == b"weights"
    assert artifact.payload_bytes == 7
    assert artifact.statistics == {"parameters": 7.0}
    assert artifact.build_s == 3.5
    assert artifact.build_peak_rss_bytes == 30
    assert artifact.folder == cache.folder / "k1"


def test_the_compressed_size_is_that_of_each_file_and_follows_what_can_be_compressed(cache, monkeypatch):
    """Random bytes cannot be compressed; of float32 weights with 80 % zeros at least 7.1 of 32 bits are left:
    32 bits of each that is not zero, and the entropy of which these are, 0.72 bits."""
    rng = np.random.default_rng(0)
    chance = rng.bytes(200_000)
    random, zeros = put(cache, "r", chance), put(cache, "z", bytes(200_000))
    assert 200_000 <= random.zstd_bytes <= 200_100
    assert zeros.zstd_bytes < 100
    weights = np.frombuffer(rng.bytes(400_000), "<u4") * (rng.random(100_000) < 0.2)
    assert 0.22 < put(cache, "w", weights.tobytes()).zstd_bytes / 400_000 < 0.45
    with cache.staging() as staged:  # twice the same: no file knows another
        for name in ("a", "b"):
            (staged / name).write_bytes(chance)
        assert cache.put("two", "onnx", staged, [], {}).zstd_bytes == 2 * random.zstd_bytes
    monkeypatch.setattr("harness.artifacts.artifact.ZSTD_FRAME_BYTES", 50_000)
    assert 4 * 50_000 <= put(cache, "frames", chance).zstd_bytes <= 200_400
    assert cache.get("r").zstd_bytes == random.zstd_bytes


def test_data_is_not_compressed_and_a_manifest_of_an_older_version_says_nothing_of_it(cache):
    with cache.staging() as staged:
        (staged / "input_0.npy").write_bytes(bytes(100))
        assert cache.put("d", "data", staged, [], {}).zstd_bytes is None
    manifest = put(cache, "old").folder / MANIFEST
    content = json.loads(manifest.read_text())
    del content["zstd_bytes"]
    manifest.write_text(json.dumps(content))
    assert cache.get("old").zstd_bytes is None


def test_an_artifact_without_steps_cost_nothing(cache):
    artifact = put(cache, "k1", steps=[])
    assert (artifact.build_s, artifact.build_peak_rss_bytes) == (0.0, 0)


def test_what_was_never_put_is_missing(cache):
    assert cache.get("k1") is None
    put(cache, "k1")
    assert cache.get("k2") is None


def test_an_empty_key_is_missing_and_harms_nothing(cache):
    put(cache, "k1")
    assert cache.get("") is None
    assert cache.get("k1") is not None


def test_the_first_of_two_puts_is_kept(cache):
    put(cache, "k1", b"first")
    assert put(cache, "k1", b"second").file("sub/model.bin").read_bytes() == b"first"
    assert [path.name for path in cache.folder.iterdir()] == ["k1"]


def test_staging_is_gone_after_an_exception(cache):
    with pytest.raises(RuntimeError), cache.staging() as staged:
        (staged / "half").write_text("x")
        raise RuntimeError
    assert list(cache.folder.iterdir()) == []


def test_staging_is_empty_and_its_own_each_time(cache):
    with cache.staging() as one, cache.staging() as two:
        assert one != two
        assert list(one.iterdir()) == list(two.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / MANIFEST).write_text("{"),
        lambda folder: (folder / MANIFEST).write_text("[]"),
        lambda folder: (folder / MANIFEST).write_text("null"),
        lambda folder: (folder / MANIFEST).write_text('{"key": "k1"}'),
        lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe"),
        lambda folder: (folder / MANIFEST).unlink(),
        lambda folder: (folder / "sub" / "model.bin").write_bytes(b"w"),
        lambda folder: (folder / "sub" / "model.bin").unlink(),
        lambda folder: (folder / "more").write_bytes(b"w"),
    ],
)
def test_a_damaged_artifact_counts_as_missing_and_is_built_anew(cache, damage):
    damage(put(cache, "k1").folder)
    assert cache.get("k1") is None
    assert not (cache.folder / "k1").exists()
    assert put(cache, "k1") == cache.get("k1")


def test_an_unreadable_manifest_is_told_with_the_remedy(tmp_path):
    with pytest.raises(BuildError, match=r"contains no readable Artifact .*harness cache clear"):
        read_artifact(tmp_path)


def test_a_manifest_of_other_fields_is_refused(tmp_path):
    Artifact("k", "onnx", tmp_path).write_manifest()
    content = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**content, "future": 1}))
    with pytest.raises(BuildError, match="future"):
        read_artifact(tmp_path)


def test_the_manifest_is_not_payload(tmp_path):
    Artifact("k", "onnx", tmp_path).write_manifest()
    assert payload_bytes(tmp_path) == 0


def test_entries_are_listed_largest_first_without_the_damaged(cache):
    put(cache, "small", b"1")
    put(cache, "large", b"123")
    put(cache, "given", b"12", steps=[])
    (put(cache, "broken").folder / MANIFEST).write_text("")
    assert [(e.key, e.payload_bytes, e.last_step) for e in cache.entries()] == [
        ("large", 3, "prune/channel"),
        ("given", 2, ""),
        ("small", 1, "prune/channel"),
    ]


def test_clearing_removes_all_and_tells_the_bytes(cache):
    put(cache, "a", b"12345")
    (cache.folder / ".building-dead").mkdir()
    (cache.folder / ".building-dead" / "half").write_bytes(b"123")  # its worker was killed
    (cache.root / "inductor").mkdir()
    (cache.root / "inductor" / "probe.so").write_bytes(b"12")
    (cache.root / "mine").write_text("no cache of ours")
    assert cache.clear() == 10
    assert cache.entries() == []
    assert cache.clear() == 0
    assert [path.name for path in cache.root.iterdir()] == ["mine"]
    assert put(cache, "a").payload_bytes == 7


def test_a_cache_that_cannot_be_written_is_told(cache, monkeypatch):
    def refuse(*_):
        raise OSError("read-only")

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(BuildError, match="cannot be written"):
        put(cache, "k1")


WRITER = """
import sys
from pathlib import Path
from harness.artifacts.cache import Cache
cache, name = Cache(Path(sys.argv[1])), sys.argv[2].encode()
print("ready", flush=True)
sys.stdin.readline()
for i in range(60):
    with cache.staging() as staged:
        (staged / "a").write_bytes(name * 50)
        (staged / "b").write_bytes(name * 50)
        artifact = cache.put(f"k{i}", "onnx", staged, [], {})
    a, b = artifact.file("a").read_bytes(), artifact.file("b").read_bytes()
    assert a == b and len(a) == 50, (a, b)
"""


def test_two_processes_that_put_the_same_keys_never_mix(cache):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(cache.root), name], **pipes) for name in "xy"
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n", writer.stderr.read()
    for writer in writers:  # both at once
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=300)
        assert writer.returncode == 0, errors
    assert sorted(path.name for path in cache.folder.iterdir()) == sorted(f"k{i}" for i in range(60))
    assert all(cache.get(f"k{i}").payload_bytes == 100 for i in range(60))


def test_the_root_is_taken_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "mine"))
    assert default_root() == tmp_path / "mine"
    monkeypatch.chdir(tmp_path)
    for unset in (
        lambda: monkeypatch.setenv("HARNESS_CACHE", ""),
        lambda: monkeypatch.delenv("HARNESS_CACHE"),
    ):
        unset()
        assert default_root() == tmp_path / ".cache" / "harness"


def test_what_working_folders_share_is_in_the_users_cache(monkeypatch, tmp_path):
    home, xdg, mine = (tmp_path / name for name in ("home", "xdg", "mine"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("HARNESS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert Cache().user_root == home / ".cache" / "accel-harness"
    monkeypatch.setenv("XDG_CACHE_HOME", str(xdg))
    assert Cache().user_root == xdg / "accel-harness"
    assert Cache(mine).user_root == mine
    monkeypatch.setenv("HARNESS_CACHE", str(mine))
    assert Cache().user_root == mine


def test_digests_follow_content_and_not_the_order_of_keys():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    distinct = [
        {"a": 1},
        {"a": 1.5},
        {"a": "1"},
        {"a": True},
        {"a": None},
        {"a": [1]},
        {"b": 1},
        [1, 2],
        [2, 1],
        "",
        {},
    ]
    assert len({digest(content) for content in distinct}) == len(distinct)


def test_a_file_is_known_by_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    (tmp_path / "b").write_bytes(b"x" * 100_000)
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b")
    (tmp_path / "b").write_bytes(b"x" * 99_999)
    assert file_digest(tmp_path / "a") != file_digest(tmp_path / "b")
