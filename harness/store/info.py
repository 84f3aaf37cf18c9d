"""`run.json`: what was run, where, when, at which commit and with which settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from harness.store.schema import SCHEMA_VERSION


def _holding(**kinds: type | tuple[type, ...]) -> AfterValidator:
    """Refuse a mapping that lacks one of these keys, or has another type in it: readers rely on them."""

    def check(found: dict[str, Any]) -> dict[str, Any]:
        if wrong := [name for name, kind in kinds.items() if not isinstance(found.get(name), kind)]:
            raise ValueError(f"{', '.join(wrong)} is missing or of another type")
        return found

    return AfterValidator(check)


Peaks = Annotated[
    dict[str, Any], _holding(threads=int, memory_bandwidth_bytes_per_s=(int, float), rates=list)
]
Finding = Annotated[dict[str, Any], _holding(name=str, level=str, why=str)]


class Commit(BaseModel):
    """What was checked out in a git repository when the Run began.

    `dirty`: a tracked file differed from the commit, or a file that the code digests cover was not in it.
    """

    hash: str
    dirty: bool
    subject: str = ""


class Repository(Commit):
    """A repository that the Run's numbers depend on; `holds` names what is in it: suite, model, harness."""

    holds: list[str]


class GroupInfo(BaseModel):
    """A Group: the Cells that share model, workload and hardware, and the baseline they are compared with."""

    group_id: str
    model: str
    workload: str
    hardware: str
    scenario: str
    options: dict[str, Any] = Field(default_factory=dict, description="the workload with its defaults")
    speed: str = Field(default="", description="what speed means: latency, throughput or rate")
    conditions: str = Field(default="", description="what is measured, in words")
    call: str = Field(default="", description="what one timed call is, in words")
    batch: int
    device: str
    threads: int
    baseline: str = Field(description="cell_id of the baseline")


class Times(BaseModel):
    """Where the wall time of a Run went, seconds; titles say what each part is.

    The parts add up to `wall_s`. An older Run lacks some of them, and its `start_s` adds up imports that
    overlapped.
    """

    wall_s: float = 0.0
    build_s: float = Field(default=0.0, title="builds")
    peaks_s: float | None = Field(default=None, title="peaks of the machine")
    start_s: float = Field(default=0.0, title="worker starts")
    load_s: float | None = Field(default=None, title="loading and first calls")
    warmup_s: float = Field(default=0.0, title="warm-up")
    timed_s: float = Field(default=0.0, title="timed Blocks")
    between_blocks_s: float | None = Field(default=None, title="between Blocks")
    evaluation_s: float = Field(default=0.0, title="evaluation")
    audits_s: float | None = Field(default=None, title="audits")
    end_s: float | None = Field(default=None, title="worker ends")
    rest_s: float | None = Field(default=None, title="the rest")

    def parts(self) -> list[tuple[str, float]]:
        """Return the title and seconds of each part, in the order of a Run; empty for an older Run."""
        found = [(field.title, getattr(self, name)) for name, field in Times.model_fields.items()]
        known = [(title, seconds) for title, seconds in found if title and seconds is not None]
        return known if self.rest_s is not None else []

    @property
    def measured_share(self) -> float:
        """Share of the wall time in timed Blocks and evaluations."""
        return (self.timed_s + self.evaluation_s) / self.wall_s if self.wall_s else 0.0


class RunInfo(BaseModel):
    """Everything in a Run that is not a table."""

    model_config = ConfigDict(extra="allow")  # a newer harness may add fields

    schema_version: int = SCHEMA_VERSION
    harness_version: str = ""
    run_id: str
    suite: str
    suite_file: str = Field(default="", description="file name, without its folder")
    suite_text: str = ""
    suite_sha256: str = ""
    command: str = Field(default="", description="the command line that started the Run")
    status: Literal["running", "complete", "interrupted"] = "running"
    started_at: str = Field(description="UTC, ISO 8601")
    finished_at: str | None = None
    commit: Commit | None = Field(default=None, description="of the repository that holds the suite file")
    repositories: list[Repository] | None = Field(
        default=None,
        description="of suite, models' code and harness, as far as git knows; null: not recorded",
    )
    harness_digest: str | None = Field(
        default=None, description="hash of the harness's code without docstrings, reports and commands"
    )
    machine: dict[str, Any] = Field(default_factory=dict, description="devices/fingerprint.py")
    versions: dict[str, str] = Field(default_factory=dict, description="library versions")
    environment: dict[str, str] = Field(
        default_factory=dict, description="environment variables that change speed; of paths the last part"
    )
    seed: int = 0
    settings: dict[str, Any] = Field(default_factory=dict, description="the suite's measure section")
    quality: dict[str, Any] = Field(default_factory=dict, description="the suite's quality budget")
    groups: list[GroupInfo] = Field(default_factory=list)
    times: Times = Times()
    notices: list[str] = Field(default_factory=list, description="what a reader must know about the Run")
    grade: dict[str, Any] = Field(
        default_factory=dict, description="letter A to D, reasons, remedies: measure/grading.py"
    )
    peaks: list[Peaks] = Field(
        default_factory=list, description="measured peaks by thread budget: runner/run/peaks.py"
    )
    doctor: list[Finding] = Field(
        default_factory=list,
        description="what `harness doctor` found before the Run: devices/doctor.py",
    )
    clock: dict[str, float] = Field(default_factory=dict, description="the timer's own cost")

    @property
    def commits(self) -> list[tuple[str, Commit]]:
        """Return each commit with what it is of: "suite and harness". An older Run has one, of no name."""
        if self.repositories is None:
            return [("", self.commit)] if self.commit else []
        return [(" and ".join(found.holds), found) for found in self.repositories]
