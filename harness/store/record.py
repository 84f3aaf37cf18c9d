"""The tables of a Run: `Record` (`cells.parquet`), `Block`, `Call` and `Score`; what each column means.

The Arrow schema, the table in docs/run-format.md and the exports are derived from these classes (schema.py).
Names carry units. Within a schema version tables only gain columns; columns that an older Run lacks are None.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from typing import Annotated, Any

Json = Annotated[str, "json"]
"""A JSON text."""


def column(meaning: str, unit: str = "", *, default: Any = None) -> Any:
    """Declare a column that older Runs may lack: its meaning, its unit, and its value where it is missing."""
    made = {"default_factory": default} if callable(default) else {"default": default}
    return field(**made, metadata={"meaning": meaning, "unit": unit})


def key(meaning: str) -> Any:
    """Declare a column that every Run has; a table without it is damaged."""
    return field(default=MISSING, metadata={"meaning": meaning, "unit": ""})


@dataclass(kw_only=True)
class Record:
    """One arm of one Cell with all its metrics, or the reason why it has none. One row of `cells.parquet`."""

    cell_id: str = key("hash of the Cell's content")
    group_id: str = key("hash of model, workload and hardware; ratios are taken within a Group")
    model: str = key("the model's name in the suite")
    technique: str = key("the technique's name in the suite")
    workload: str = key("the workload's name in the suite")
    hardware: str = key("the hardware's name in the suite")
    arm: str = key("subject, baseline, or control (a second copy of the baseline)")
    status: str = key("measured, skipped or failed")

    families: list[str] = column(
        "families of the technique's steps in order: prune, quantize …", default=list
    )
    runtime: str | None = column("the runtime's name")
    runtime_compute_dtype: str | None = column("dtype in which the runtime computes float32 operators")
    pipeline: Json | None = column("the technique's validated steps, with conversions")
    scenario: str | None = column("the scenario's name: single-stream, offline, server …")
    batch: int | None = column("samples in a call", "samples")
    device: str | None = column("cpu or cuda")
    threads: int | None = column("thread budget: intra-op threads and pinned cores", "threads")
    replicas: int | None = column("inference processes", "processes")

    code_digest: str | None = column("digest of the model's code")
    weights_digest: str | None = column("digest of the weights, or of the file with graph and weights")
    data_digest: str | None = column("digest of the model's dataset")
    technique_digest: str | None = column(
        "digest of the steps' code, and of their settings that differ from the defaults"
    )
    artifact_digest: str | None = column("digest of the content of the Artifact that is timed")
    libraries_digest: str | None = column("digest of the versions of Python and of all libraries")
    settings_digest: str | None = column(
        "digest of workload and target, and of settings and code of runtime and deployment"
    )
    environment_digest: str | None = column("digest of the worker's environment variables that change speed")
    machine_digest: str | None = column("digest of the machine's id")

    stage: str | None = column("where a failed Cell failed: build, start, load, evaluation, measure")
    reason: str | None = column("why the Cell was skipped or failed")
    log: str | None = column("path of the worker's log within the Run")
    warnings: list[str] = column("what a reader must know about this Record", default=list)

    artifact_key: str | None = column("cache key of the Artifact")
    artifact_format: str | None = column("the Artifact's format: onnx, torch-module, aoti …")
    artifact_bytes: int | None = column("size of the Artifact's files", "bytes")
    artifact_zstd_bytes: int | None = column(
        "size of the Artifact's files, each compressed with zstd at level 3", "bytes"
    )
    build_s: float | None = column("time of all build steps, without process start", "s")
    build_peak_rss_bytes: int | None = column("highest resident memory of any build step", "bytes")
    build_details: Json | None = column("what each build step reports")
    parameters: int | None = column("weights and biases")
    nonzero_parameters: int | None = column("parameters that are not zero")
    flops_per_sample: float | None = column("2 × multiply-accumulates of one sample, from the graph", "FLOP")
    tokens_per_sample: int | None = column("tokens in one sample, if the model has tokens", "tokens")

    compute_dtype: str | None = column("dtypes of low-precision computation, and what decided them")
    flops_by_type: Json | None = column("share of the FLOPs by the dtype that is multiplied")
    low_precision_flops_share: float | None = column("share of the FLOPs computed in fewer than 32 bits")
    weight_only_flops_share: float | None = column(
        "share of the FLOPs computed in float from weights stored in low precision"
    )
    low_precision_weight_share: float | None = column(
        "share of the weights' bytes stored in fewer than 32 bits"
    )
    float_operators: Json | None = column("matrix products and convolutions left in float, by type")
    qdq_pairs: int | None = column("activations that are quantized and dequantized again")
    overhead_operators: Json | None = column("operators that low precision added to the graph, by type")

    latency_mean_s: float | None = column("mean over Trials of their mean timed call", "s")
    latency_min_s: float | None = column("fastest timed call", "s")
    latency_p50_s: float | None = column("median timed call", "s")
    latency_p90_s: float | None = column("90th percentile; null with too few calls", "s")
    latency_p95_s: float | None = column("95th percentile; null with too few calls", "s")
    latency_p99_s: float | None = column("99th percentile; null with too few calls", "s")
    latency_p99_upper_s: float | None = column("upper 99 % confidence bound of the 99th percentile", "s")
    independent_calls: Json | None = column(
        "independent calls that the timed calls are worth, by percentile: slow calls come together"
    )
    latency_std_s: float | None = column("standard deviation of timed calls, equal weight per Trial", "s")
    calls: int | None = column("timed calls", "calls")
    blocks: int | None = column("Blocks", "Blocks")
    trials: int | None = column("Trials (fresh processes)", "Trials")
    stop_reason: str | None = column("why measuring ended: target_ci, max_time, number of Trials …")
    stop_halfwidth: float | None = column("relative half-width of the speed-up's interval at that time")
    planned_trials: int | None = column("Trials in the last plan for this Cell", "Trials")
    warmup_calls: int | None = column("calls before the first Block, all Trials", "calls")
    steady: bool | None = column("whether calls became steady during warm-up in every Trial")
    threads_used: int | None = column(
        "threads that worked in the Blocks (median, summed over replicas)", "threads"
    )
    cpu_utilization: float | None = column("CPU seconds of its processes over the Blocks' wall time", "cores")
    throughput_samples_per_s: float | None = column(
        "samples over the Blocks' time, mean over Trials", "samples/s"
    )
    qps: float | None = column(
        "query rate: as given, or the highest that held the latency bound", "queries/s"
    )
    over_bound_share: float | None = column("share of queries slower than latency_bound, if there is one")
    utilization: float | None = column("share of the query schedule in which the Session was busy")
    search: Json | None = column("how the rate was searched for, one entry per Trial")

    import_s: float | None = column("process start until the runtime is imported, median of Trials", "s")
    load_s: float | None = column("Artifact on disk until the Session is ready, median of Trials", "s")
    first_call_s: float | None = column("first call, median of Trials", "s")
    rss_empty_bytes: int | None = column("resident memory with the runtime imported and no model", "bytes")
    peak_rss_load_bytes: int | None = column("highest resident memory during load", "bytes")
    peak_rss_first_call_bytes: int | None = column("highest resident memory during the first call", "bytes")
    peak_rss_steady_bytes: int | None = column("highest resident memory during the timed Blocks", "bytes")
    over_empty_load_bytes: int | None = column(
        "peak during load minus the empty worker, median of Trials", "bytes"
    )
    over_empty_first_call_bytes: int | None = column("the same for the first call", "bytes")
    over_empty_steady_bytes: int | None = column(
        "the same for the timed Blocks; for replicas minus one empty worker", "bytes"
    )
    pss_empty_bytes: int | None = column("proportional set size of the empty worker", "bytes")
    pss_load_bytes: int | None = column("proportional set size after load", "bytes")
    pss_first_call_bytes: int | None = column("proportional set size after the first call", "bytes")
    pss_bytes: int | None = column("proportional set size after the Blocks, with replicas", "bytes")
    huge_page_bytes: int | None = column("memory in transparent huge pages after the Blocks", "bytes")
    device_memory_empty_bytes: int | None = column(
        "device memory of the worker's processes with the runtime imported and no model", "bytes"
    )
    device_memory_load_bytes: int | None = column("the same after load, with the CUDA context", "bytes")
    device_memory_first_call_bytes: int | None = column("the same after the first call", "bytes")
    device_memory_steady_bytes: int | None = column("the same after the Blocks", "bytes")
    device_memory_source: str | None = column(
        "driver (its processes), difference (growth of the device's used memory) or unknown; null on a CPU"
    )

    achieved_flop_per_s: float | None = column("flops_per_sample × throughput", "FLOP/s")
    weight_bytes: int | None = column("the graph's weights without embeddings, read once per call", "bytes")
    activation_bytes_per_sample: float | None = column(
        "inputs and outputs of one sample's convolutions and matrix products", "bytes"
    )
    float32_flops_share: float | None = column("share of the FLOPs known to be float32")
    arithmetic_intensity_flops_per_byte: float | None = column(
        "FLOPs over bytes of one sample; weights are divided by the batch", "FLOP/byte"
    )
    peak_flop_per_s: float | None = column("measured peak for flops_by_type with these threads", "FLOP/s")
    peak_over_float32: float | None = column("that peak over the float32 peak; null if all is float32")
    compute_utilization: float | None = column("achieved over peak FLOP/s, while the Session was busy")
    bandwidth_utilization: float | None = column("bytes moved over memory bandwidth; above 1 due to caches")
    bound: str | None = column("compute or memory: arithmetic intensity against the ridge point")

    quality_metric: str | None = column("name of the quality metric")
    quality_unit: str | None = column("unit of a quality loss (pt: hundredths of a share)")
    quality_higher_is_better: bool | None = column("whether a larger score is better; null means yes")
    quality: float | None = column("mean score")
    quality_low: float | None = column("lower end of its 95 % interval")
    quality_high: float | None = column("upper end of its 95 % interval")
    evaluation_samples: int | None = column("samples in the evaluation", "samples")
    evaluation_set_samples: int | None = column("samples in the evaluation set", "samples")
    evaluation_batch: int | None = column("batch of the evaluation", "samples")
    random_samples: bool | None = column("whether the evaluation's samples are random, not real data")
    data_details: list[str] = column(
        "what the evaluation's samples are: how they were read, converted or made", default=list
    )
    evaluation_s: float | None = column("time of the evaluation", "s")
    measured_s: float | None = column("time in timed Blocks, all Trials", "s")
    worker_s: float | None = column("lifetime of the Cell's workers", "s")
    audit: str | None = column("passed or failed; null if no audit applied")
    audit_reasons: list[str] = column("why an audit failed, with the audit's name", default=list)


SITTING = "the sitting (Run and Group); Blocks of different sittings were not interleaved"


@dataclass(kw_only=True)
class Block:
    """Consecutive timed calls of one arm, with noise evidence. One row of `blocks.parquet`."""

    cell_id: str = key("the Cell")
    arm: str = key("subject, baseline or control")
    trial: int = key("the Trial, from 0")
    round: int = key("round of the Trial: one Block of each arm, in random order")
    order: int = key("position in the Run's sequence of Blocks")
    median_s: float = key("median call")
    start_s: float | None = column("start, since the Run's start", "s")
    duration_s: float | None = column("wall time", "s")
    calls: int | None = column("timed calls", "calls")
    samples: int | None = column("samples in all calls", "samples")
    mean_s: float | None = column("mean call", "s")
    min_s: float | None = column("fastest call", "s")
    max_s: float | None = column("slowest call", "s")
    seconds_per_sample: float | None = column("the speed that comparisons use; null in older Runs", "s")
    statistics: Json | None = column("what the scenario reports of the Block: arrival rate, utilization …")
    tags: list[str] = column("kinds of noise seen in this Block", default=list)
    evidence: Json | None = column("noise counters, see measure/evidence.py")
    sitting: str | None = column(SITTING)


@dataclass(kw_only=True)
class Call:
    """One timed call. One row of `calls.parquet`."""

    cell_id: str = key("the Cell")
    arm: str = key("subject, baseline or control")
    trial: int = key("the Trial, from 0")
    call_ns: int = key("duration in nanoseconds")
    round: int | None = column("round of the Trial")
    sitting: str | None = column(SITTING)


@dataclass(kw_only=True)
class Score:
    """The metric's score of one sample: what paired comparisons need. One row of `scores.parquet`."""

    cell_id: str = key("the Cell")
    sample: int = key("position in the evaluation set")
    score: float = key("the metric's score of this sample")
