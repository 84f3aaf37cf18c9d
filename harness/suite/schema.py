"""Sections of a suite file. Models, workloads and techniques are checked by registries (validation.py)."""

from __future__ import annotations

import fnmatch
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from harness.config import Config
from harness.environment import OWN
from harness.units import Points, Seconds, Share
from harness.zoo.registry import METRICS


def _known_metric(name: str) -> str:
    if name not in METRICS and ":" not in name:  # a user's metric is package.module:function
        raise ValueError(METRICS.unknown(name))
    return name


_MAX_NAME = 200
"""In bytes. File systems allow 255, and the pages of a report add to the name."""
_FOLDER_NAME = r"^[^/\\\x00-\x1f.][^/\\\x00-\x1f]*$"


def _names_a_folder(name: str) -> str:
    if re.fullmatch(_FOLDER_NAME, name) is None:
        raise ValueError(f"{name!r} cannot name a folder: not empty, no slash, no leading dot, one line")
    if len(name.encode()) > _MAX_NAME:
        raise ValueError(f"is too long to name a folder: at most {_MAX_NAME} bytes")
    return name


def _is_free_variable(name: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
        raise ValueError(f"{name!r} cannot name an environment variable: letters, digits and _ only")
    if name in OWN or name.startswith("HARNESS_"):
        raise ValueError(f"the harness sets {name} itself")
    return name


class Hardware(Config):
    """Device and thread budget; Cells for a device that this machine lacks are skipped with the reason."""

    device: Literal["cpu", "cuda"] = "cpu"
    threads: Annotated[int, Field(ge=1)] | Literal["all", "logical"] = Field(
        default="all",
        description="intra-op threads and pinned cores; all: one for each physical core that this process "
        "may use; logical: one for each hardware thread",
    )


class Quality(Config):
    """Quality budget, which is the allowed loss against the baseline, and how much is evaluated how."""

    max_drop: Points = Field(
        default=0.5, ge=0, description="allowed loss in percentage points, for accuracy and agreement"
    )
    by_metric: dict[Annotated[str, AfterValidator(_known_metric)], Annotated[float, Field(ge=0)]] = Field(
        default={},
        description="allowed loss by metric, for other units, such as cosine: 0.01; default: "
        "the metric's own budget, where it has one",
    )
    batch: int | None = Field(
        default=None,
        ge=1,
        description="batch of the evaluation, where it is larger than the workload's and outputs do not "
        "depend on it; default: the workload's",
    )
    samples: int | None = Field(
        default=None, ge=1, description="evaluate on so many samples, drawn at random; default: all"
    )
    time: Seconds | None = Field(
        default=None, gt=0, description="maximum time of one evaluation; samples are then taken at random"
    )
    rule: Literal["interval", "point"] = Field(
        default="interval",
        description="interval: a budget is held if the whole 95 % interval of the loss lies within it, or no "
        "sample differs; point: if the estimate does",
    )

    def budgets(self) -> dict[str, float]:
        """Return the allowed loss by metric, with the metrics' own budgets where the suite states none."""
        own = {name: getattr(metric, "budget", None) for name, metric in METRICS.items()}
        return {name: value for name, value in own.items() if value is not None} | self.by_metric


class Measure(Config):
    """How to measure. Durations are numbers of seconds, or text such as ``20s``."""

    target_ci: Share = Field(default=0.02, gt=0, lt=1, description="target half-width of the speed-up's CI")
    max_time: Seconds = Field(default=20.0, gt=0, description="maximum timed time of a Cell, over all Trials")
    trials: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] = Field(
        default="auto", description="fresh processes for each Cell; auto: as many as `target_ci` needs"
    )
    block_time: Seconds = Field(default=0.1, gt=0, description="target duration of one Block")
    warmup_time: Seconds = Field(default=1.0, ge=0, description="maximum duration of warm-up")
    huge_pages: bool = Field(
        default=False, description="use huge pages for malloc, for less variance (Linux, glibc)"
    )
    environment: dict[Annotated[str, AfterValidator(_is_free_variable)], str] = Field(
        default={}, description="environment variables of the measuring workers"
    )
    peak_time: Seconds = Field(
        default=2.0,
        ge=0,
        description="time to measure the machine's peaks, a sixth for each product; 0: none",
    )
    timeout: Seconds = Field(default=120.0, gt=0, description="maximum silence of a measuring worker")
    build_timeout: Seconds = Field(default=1800.0, gt=0, description="maximum duration of one build step")
    seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="seed of everything random: order, inputs, calibration"
    )


class Pattern(Config):
    """Selects Cells by name; `*` and `?` are wildcards, a list means any of them, a missing key means all."""

    model: str | list[str] = "*"
    technique: str | list[str] = "*"
    workload: str | list[str] = "*"
    hardware: str | list[str] = "*"


def name_matches(pattern: str, name: str) -> bool:
    """Return whether `pattern` matches `name`; only `*` and `?` are special."""
    return pattern == name or fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


class Suite(Config):
    """One suite file: models × techniques × workloads × hardware, and how to measure."""

    suite: Annotated[
        str, AfterValidator(_names_a_folder), WithJsonSchema({"type": "string", "pattern": _FOLDER_NAME})
    ] = Field(description="name of the suite and of its folders")
    description: str = ""
    models: dict[str, dict[str, Any]] = Field(min_length=1)
    workloads: dict[str, dict[str, Any]] = Field(min_length=1)
    hardware: dict[str, Hardware] = Field(default={"cpu": Hardware()}, min_length=1)
    techniques: dict[str, list[dict[str, Any]]] = Field(min_length=1)
    baseline: str | None = Field(
        default=None, description="technique that the others are compared with; default: the first"
    )
    quality: Quality = Quality()
    measure: Measure = Measure()
    exclude: list[Pattern] = Field(default=[], description="Cells to leave out")
    include: list[Pattern] = Field(default=[], description="excluded Cells to include again")
