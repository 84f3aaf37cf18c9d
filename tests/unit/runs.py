"""Synthetic Runs for tests: written through `harness.store.writing` and read back as any other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.analysis.compare.comparison import Comparison, comparison_of
from harness.measure.scenarios.registry import SCENARIOS
from harness.store.info import Commit, GroupInfo, RunInfo, Times
from harness.store.reading import Run, load
from harness.store.record import Record
from harness.store.schema import columns as columns_of
from harness.store.schema import record_of
from harness.store.writing import write_run

SAMPLES = 2_000


@dataclass(frozen=True)
class Technique:
    """One technique's true properties: how fast, how big, how good, or why it has no figures."""

    name: str
    speed: float = 1.0
    size: float = 1.0
    drop: float = 0.0
    families: tuple[str, ...] = ()
    runtime: str = "onnxruntime"
    replicas: int = 1
    status: str = "measured"
    reason: str | None = None
    build_s: float = 0.8
    audit: str | None = "passed"
    warnings: tuple[str, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """One Group: the baseline's time for a call, and the noise of a Block."""

    model: str = "cnn"
    workload: str = "online"
    hardware: str = "cpu"
    scenario: str = "single-stream"
    batch: int = 1
    device: str = "cpu"
    threads: int = 2
    call_s: float = 400e-6
    noise: float = 0.01
    size: int = 420_000
    quality: float | None = 0.9912
    metric: str = "top1"
    unit: str = "pt"
    more_is_better: bool = True


TECHNIQUES = (
    Technique("eager", runtime="torch-eager", build_s=0.05),
    Technique("compile", 1.62, 1.9, 0.0, runtime="torch-compile", build_s=41.0),
    Technique("onnxruntime", 2.38, 0.98),
    Technique("int8-dynamic", 1.31, 0.27, 0.0004, ("quantize",)),
    Technique("int8-static", 3.12, 0.26, 0.0006, ("quantize",), build_s=3.4),
    Technique("pruned-50", 3.65, 0.31, 0.0021, ("prune",), build_s=38.0),
    Technique("sparse-80", 2.36, 0.98, 0.0015, ("prune",), build_s=35.0, warnings=("zeros do not speed up",)),
    Technique("replicas-2", 2.9, 0.98, 0.0, ("replicate",), replicas=2),
    Technique("pruned-int8", 5.4, 0.09, 0.0085, ("prune", "quantize"), build_s=44.0),
)
GROUPS = (Group(), Group(workload="bulk", scenario="offline", batch=256, call_s=21e-3))


def make_run(
    folder: Path,
    groups: tuple[Group, ...] = GROUPS,
    techniques: tuple[Technique, ...] = TECHNIQUES,
    *,
    baseline: str = "eager",
    trials: int = 3,
    rounds: int = 12,
    control: bool = True,
    seed: int = 0,
    **info: Any,
) -> Run:
    """Write a Run into `folder` and open it. `info` replaces fields of `run.json`."""
    rng = np.random.default_rng(seed)
    tables: dict[str, list[dict[str, Any]]] = {"cells": [], "blocks": [], "scores": []}
    infos = []
    for group in groups:
        ids = {t.name: _hash(group, t.name) for t in techniques}
        infos.append(_group_info(group, ids.get(baseline, "")))
        baseline_scores = _right(group, 0.0, rng)
        for technique in techniques:
            arms = ["baseline", "control"] if technique.name == baseline and control else ["subject"]
            arms = ["baseline"] if technique.name == baseline and not control else arms
            for arm in arms:
                _add(tables, group, technique, ids[technique.name], arm, trials, rounds, rng)
            if technique.status == "measured" and baseline_scores is not None:
                scores = _worse(baseline_scores, technique.drop, rng)
                scores = scores if group.more_is_better else 1 - scores
                tables["scores"] += _score_rows(ids[technique.name], scores)
                _note_quality(tables["cells"], ids[technique.name], scores, technique, group)
    folder.mkdir(parents=True, exist_ok=True)
    _write_logs(folder, tables["cells"])
    write_run(folder, _info(infos, info), {**tables, "calls": _samples(tables["blocks"])})
    return load(folder)


def _samples(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """The timed calls of all Blocks, which leave the Blocks' rows."""
    calls = [block.pop("call_s") for block in blocks]
    columns: dict[str, Any] = {
        name: [value for b, c in zip(blocks, calls, strict=True) for value in [b[name]] * len(c)]
        for name in ("cell_id", "arm", "trial", "round", "sitting")
    }
    return columns | {"call_ns": (np.concatenate([np.zeros(0), *calls]) * 1e9).astype(np.int64)}


def record(**columns: Any) -> Record:
    """A Record with these columns."""
    known = {column.name for column in columns_of(Record)}
    assert set(columns) <= known, set(columns) - known
    names = ("cell_id", "group_id", "model", "technique", "workload", "hardware")
    return record_of({**dict.fromkeys(names, ""), "arm": "subject", "status": "measured"} | columns)


def comparison(**columns: Any) -> Comparison:
    """A Record that was compared, with these columns."""
    known = {column.name for column in columns_of(Record)}
    own = {name: value for name, value in columns.items() if name in known}
    return comparison_of(record(**own), **{k: v for k, v in columns.items() if k not in known})


def empty_run(folder: Path, **info: Any) -> Run:
    """A Run without a single Record."""
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder, _info([], info), {})
    return load(folder)


def vary(name: str, **changes: Any) -> tuple[Technique, ...]:
    """The usual techniques, one of them changed."""
    return tuple(replace(t, **changes) if t.name == name else t for t in TECHNIQUES)


def _hash(group: Group, name: str) -> str:
    text = f"{group.model}/{group.workload}/{group.hardware}/{name}"
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


def _group_info(group: Group, baseline: str) -> GroupInfo:
    options = {"qps": 900.0} if group.scenario == "server" else {}
    workload = SCENARIOS.get(group.scenario).workload(scenario=group.scenario, batch=group.batch, **options)
    return GroupInfo(
        group_id=_hash(group, ""),
        model=group.model,
        workload=group.workload,
        hardware=group.hardware,
        scenario=group.scenario,
        speed=workload.speed(),
        conditions=workload.conditions(),
        call=workload.timed_call(),
        batch=group.batch,
        device=group.device,
        threads=group.threads,
        baseline=baseline,
    )


def _info(groups: list[GroupInfo], changes: dict[str, Any]) -> RunInfo:
    fields: dict[str, Any] = {
        "harness_version": "0.1.0",
        "run_id": "7f3a91c2",
        "suite": "digits",
        "suite_file": "digits.yaml",
        "suite_text": "suite: digits\ndescription: MNIST digits, three small models\n",
        "status": "complete",
        "started_at": "2025-03-14T15:09:26+00:00",
        "finished_at": "2025-03-14T15:13:28+00:00",
        "commit": Commit(hash="4be1d8c0a93f5526bb01", dirty=False, subject="Measure replicas by wall time"),
        "machine": MACHINE,
        "versions": {"torch": "2.11.0", "onnxruntime": "1.23.1", "numpy": "2.4.6"},
        "settings": {"target_ci": 0.02, "max_time": 3.0, "trials": 3},
        "quality": {"max_drop": 0.5, "rule": "point"},  # the losses of a few techniques are close to it
        "groups": groups,
        "times": Times(
            wall_s=242.0, build_s=41.0, start_s=12.0, evaluation_s=30.0, warmup_s=9.0, timed_s=118.0
        ),
        "grade": {
            "letter": "B",
            "reasons": ["8.1 % of the measured time: the hypervisor took the cores away"],
            "remedies": ["use a machine whose cores are not shared"],
        },
        "clock": {"reading_ns": 38},
        "command": "harness run suites/digits.yaml",
    }
    return RunInfo(**{**fields, **changes})


MACHINE: dict[str, Any] = {
    "id": "9c41d2aa",
    "slug": "amd-epyc-2c-8g-9c41d2aa",
    "identity": {"cpu": "AMD EPYC 7B13", "cores": 2, "physical_cores": 1, "memory_gib": 8, "gpus": []},
    "state": {
        "os": "Debian GNU/Linux 13 (trixie)",
        "kernel": "Linux 6.18.44",
        "python": "CPython 3.13.5",
        "governor": None,
        "virtual": True,
        "libraries": {},
    },
}


def _add(
    tables: dict[str, list[dict[str, Any]]],
    group: Group,
    technique: Technique,
    cell_id: str,
    arm: str,
    trials: int,
    rounds: int,
    rng: np.random.Generator,
) -> None:
    row = _record(group, technique, cell_id, arm)
    if technique.status == "measured":
        blocks = _blocks(group, technique, cell_id, arm, trials, rounds, rng)
        tables["blocks"] += blocks
        calls = np.concatenate([b["call_s"] for b in blocks]) if blocks else np.zeros(0)
        row |= _speed_columns(group, row, blocks, calls)
    tables["cells"].append(row | technique.columns)


def _record(group: Group, technique: Technique, cell_id: str, arm: str) -> dict[str, Any]:
    steps = [{"step": family, "version": 1, "dtype": "int8"} for family in technique.families]
    row: dict[str, Any] = {
        "cell_id": cell_id,
        "group_id": _hash(group, ""),
        "model": group.model,
        "technique": technique.name,
        "workload": group.workload,
        "hardware": group.hardware,
        "families": list(technique.families),
        "runtime": technique.runtime,
        "pipeline": json.dumps([*steps, {"runtime": technique.runtime, "intra_op": group.threads}]),
        "scenario": group.scenario,
        "batch": group.batch,
        "device": group.device,
        "threads": group.threads,
        "replicas": technique.replicas,
        "arm": arm,
        "status": technique.status,
        "stage": "build" if technique.status == "failed" else None,
        "reason": technique.reason,
        "log": f"logs/{cell_id}.log" if technique.status != "skipped" else None,
        "warnings": list(technique.warnings),
    }
    if technique.status != "measured":
        return row
    base = {"torch-eager": 158e6, "torch-compile": 181e6}.get(technique.runtime, 44e6)
    work = group.batch * 60e3 + group.size * technique.size * 2 + 6e6
    return row | {
        "artifact_key": hashlib.sha256(cell_id.encode()).hexdigest(),
        "artifact_format": "onnx" if technique.runtime == "onnxruntime" else "torch-module",
        "artifact_bytes": int(group.size * technique.size),
        "artifact_zstd_bytes": int(group.size * technique.size * 0.9),
        "build_s": technique.build_s,
        "build_peak_rss_bytes": int(610e6),
        "build_details": json.dumps([{"step": "convert", "seconds": technique.build_s, "details": {}}]),
        "parameters": 105_866,
        "nonzero_parameters": 105_866,
        "flops_per_sample": 4.8e6 if "prune" not in technique.families else 1.6e6,
        "import_s": base / 150e6,
        "load_s": 0.011 * technique.size,
        "first_call_s": group.call_s * 9 / technique.speed,
        "rss_empty_bytes": int(base),
        "peak_rss_load_bytes": int(base + work * 0.5),
        "peak_rss_first_call_bytes": int(base + work * 0.9),
        "peak_rss_steady_bytes": int((base + work) * technique.replicas),
        "over_empty_load_bytes": int(work * 0.5),
        "over_empty_first_call_bytes": int(work * 0.9),
        "over_empty_steady_bytes": int((base + work) * technique.replicas - base),
        "pss_bytes": int(base + work * 0.7),
        "warmup_calls": 300,
        "steady": True,
        "worker_s": 11.0,
        "audit": technique.audit,
    }


def _blocks(
    group: Group,
    technique: Technique,
    cell_id: str,
    arm: str,
    trials: int,
    rounds: int,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    found = []
    calls = max(3, min(40, round(0.1 / group.call_s)))
    for trial in range(trials):
        drift = np.exp(rng.normal(0, group.noise / 2))
        for index in range(rounds):
            center = group.call_s / technique.speed * drift * np.exp(rng.normal(0, group.noise))
            call_s = center * (1 + rng.gamma(1.5, 0.02, calls))
            found.append(
                {
                    "cell_id": cell_id,
                    "arm": arm,
                    "trial": trial,
                    "round": index,
                    "order": len(found),
                    "start_s": float(index),
                    "duration_s": float(call_s.sum()),
                    "calls": calls,
                    "samples": calls * group.batch,
                    "median_s": float(np.median(call_s)),
                    "mean_s": float(call_s.mean()),
                    "min_s": float(call_s.min()),
                    "max_s": float(call_s.max()),
                    "tags": ["steal"] if index == 3 else [],
                    "evidence": json.dumps({"wall_s": float(call_s.sum()), "steal_s": 0.0}),
                    "sitting": f"7f3a91c2/{_hash(group, '')}",
                    "call_s": call_s,
                }
            )
    return found


def _speed_columns(
    group: Group, row: dict[str, Any], blocks: list[dict[str, Any]], calls: np.ndarray[Any, Any]
) -> dict[str, Any]:
    seconds = sum(block["duration_s"] for block in blocks)
    throughput = sum(block["samples"] for block in blocks) / seconds
    allowed = {0.5: 1, 0.9: 64, 0.95: 130, 0.99: 662}
    shown = {q: float(np.quantile(calls, q)) if len(calls) >= n else None for q, n in allowed.items()}
    return {
        "latency_mean_s": float(calls.mean()),
        "latency_min_s": float(calls.min()),
        "latency_std_s": float(calls.std()),
        "latency_p50_s": shown[0.5],
        "latency_p90_s": shown[0.9],
        "latency_p95_s": shown[0.95],
        "latency_p99_s": shown[0.99],
        "calls": len(calls),
        "blocks": len(blocks),
        "trials": len({block["trial"] for block in blocks}),
        "throughput_samples_per_s": throughput,
        "measured_s": seconds,
        "achieved_flop_per_s": row["flops_per_sample"] * throughput,
    }


def _right(group: Group, drop: float, rng: np.random.Generator) -> np.ndarray[Any, Any] | None:
    return None if group.quality is None else (rng.random(SAMPLES) < group.quality - drop).astype(float)


def _worse(scores: np.ndarray[Any, Any], drop: float, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """The same scores with the share `drop` of all samples lost, and a few more won and lost."""
    changed = scores.copy()
    right = np.flatnonzero(scores == 1)
    lost = rng.choice(right, size=round(drop * SAMPLES), replace=False)
    changed[lost] = 0.0
    return changed


def _score_rows(cell_id: str, scores: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    return [{"cell_id": cell_id, "sample": i, "score": float(s)} for i, s in enumerate(scores)]


def _note_quality(
    cells: list[dict[str, Any]],
    cell_id: str,
    scores: np.ndarray[Any, Any],
    technique: Technique,
    group: Group,
) -> None:
    mean = float(scores.mean())
    half = 1.96 * (mean * (1 - mean) / len(scores)) ** 0.5
    for row in cells:
        if row["cell_id"] == cell_id and row["arm"] != "control":
            row |= {
                "quality_metric": group.metric,
                "quality_unit": group.unit,
                "quality_higher_is_better": group.more_is_better,
                "quality": mean,
                "quality_low": mean - half,
                "quality_high": min(1.0, mean + half),
                "evaluation_samples": len(scores),
                "evaluation_s": 0.7,
            } | {key: value for key, value in technique.columns.items() if key.startswith("quality")}


def _write_logs(folder: Path, cells: list[dict[str, Any]]) -> None:
    (folder / "logs").mkdir(exist_ok=True)
    for row in cells:
        if row["status"] == "failed" and row["log"]:
            lines = [f"step {index}: ok" for index in range(40)] + [f"RuntimeError: {row['reason']}"]
            (folder / row["log"]).write_text("\n".join(lines), encoding="utf-8")
