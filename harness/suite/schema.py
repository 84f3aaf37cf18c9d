"""The suite file's sections. Models, workloads and techniques are checked by registries (validation.py)."""

from __future__ import annotations

import fnmatch
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from harness.config import Config
from harness.errors import unknown
from harness.units import Points, Seconds, Share
from harness.zoo.registry import METRICS


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(unknown("metric", name, METRICS.names()))
    return name


_LONGEST_NAME = 200
"""Bytes; file systems take 255, and pages of a report add to it."""
_FOLDER_NAME = r"^[^/\\\x00-\x1f.][^/\\\x00-\x1f]*$"


def _names_a_folder(name: str) -> str:
    if re.fullmatch(_FOLDER_NAME, name) is None:
        raise ValueError(f"{name!r} cannot name a folder: not empty, no slash, no dot first, one line")
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"is too long to name a folder: {_LONGEST_NAME} bytes at most")
    return name


class Hardware(Config):
    """A target; one that this machine lacks is skipped with its reason."""

    device: Literal["cpu", "cuda"] = "cpu"
    threads: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        default="all", description="intra-op threads and pinned cores; all: as many as this process is given"
    )


class Quality(Config):
    """The budget: by how much the quality metric may drop below the baseline's."""

    max_drop: Points = Field(
        default=0.5, ge=0, description="in points, for metrics that count in points (accuracy, agreement)"
    )
    by_metric: dict[Annotated[str, AfterValidator(_known_metric)], Annotated[float, Field(ge=0)]] = Field(
        default={}, description="for a metric of another unit, such as cosine: 0.01; without one, no budget"
    )


class Measure(Config):
    """How to measure. Times are seconds or ``20s``; `max_time` is timed time for each Cell."""

    target_ci: Share = Field(default=0.02, gt=0, lt=1, description="wanted half-width of the speed-up")
    max_time: Seconds = Field(default=20.0, gt=0, description="timed seconds a Cell, all Trials together")
    trials: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] = Field(
        default="auto", description="fresh processes a Cell; auto: as many as `target_ci` takes"
    )
    block_time: Seconds = Field(default=0.1, gt=0, description="aimed length of one Block")
    warmup_time: Seconds = Field(default=1.0, ge=0, description="warm-up ends at the latest after this")
    huge_pages: bool = Field(
        default=False, description="ask malloc for huge pages: less luck of placement (Linux, glibc)"
    )
    peak_time: Seconds = Field(
        default=2.0,
        ge=0,
        description="measuring the machine's roofs: about a sixth of it each product; 0: not at all",
    )
    timeout: Seconds = Field(default=120.0, gt=0, description="longest silence of a measuring worker")
    build_timeout: Seconds = Field(default=1800.0, gt=0, description="longest time of one build step")
    seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="of everything random: order, inputs, calibration"
    )


class Pattern(Config):
    """Cells by name; `*` and `?` are wildcards, a list means any of it, a missing key means all."""

    model: str | list[str] = "*"
    technique: str | list[str] = "*"
    workload: str | list[str] = "*"
    hardware: str | list[str] = "*"


def name_matches(pattern: str, name: str) -> bool:
    """Whether `name` is meant by `pattern`, in which only `*` and `?` are special."""
    return pattern == name or fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


class Suite(Config):
    """One suite file: models × techniques × workloads × hardware, and how to measure."""

    suite: Annotated[
        str, AfterValidator(_names_a_folder), WithJsonSchema({"type": "string", "pattern": _FOLDER_NAME})
    ] = Field(description="its name; names its folders")
    description: str = ""
    models: dict[str, dict[str, Any]] = Field(min_length=1)
    workloads: dict[str, dict[str, Any]] = Field(min_length=1)
    hardware: dict[str, Hardware] = Field(default={"cpu": Hardware()}, min_length=1)
    techniques: dict[str, list[dict[str, Any]]] = Field(min_length=1)
    baseline: str | None = Field(
        default=None, description="technique that others are compared with; default: the first"
    )
    quality: Quality = Quality()
    measure: Measure = Measure()
    exclude: list[Pattern] = Field(default=[], description="Cells to leave out")
    include: list[Pattern] = Field(default=[], description="left-out Cells to take back in")
