"""What a Run holds: the columns of its tables and the fields of its `run.json`.

Column names carry units (`_s` seconds, `_bytes`, `_per_s`). Tables only ever gain columns within a schema
version; readers fill what an older Run lacks with nulls (`reading.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Column:
    """One column: its name, its type (``str int float bool json strs``) and what it says.

    ``json`` is a JSON text; ``strs`` a list of strings.
    """

    name: str
    kind: str
    meaning: str


def _columns(text: str) -> tuple[Column, ...]:
    rows = (line.split("|") for line in text.strip().splitlines())
    return tuple(Column(name.strip(), kind.strip(), meaning.strip()) for name, kind, meaning in rows)


# One Record a row: a Cell with all its metrics, or why it has none.
CELLS = _columns(
    """
    cell_id                   | str   | stable hash of the Cell's content
    group_id                  | str   | hash of model, workload and hardware: ratios are taken inside it
    model                     | str   | model's name in the suite
    technique                 | str   | technique's name in the suite
    workload                  | str   | workload's name in the suite
    hardware                  | str   | hardware's name in the suite
    families                  | strs  | families of the technique's steps, in order (prune, quantize)
    runtime                   | str   | runtime's name
    runtime_compute_dtype        | str   | number type in which the runtime computes float32 operators
    pipeline                  | json  | the technique's steps as validated, conversions among them
    scenario                  | str   | scenario's name: single-stream, offline, server …
    batch                     | int   | items a call
    device                    | str   | cpu or cuda
    threads                   | int   | thread budget: intra-op threads and pinned cores
    replicas                  | int   | inference processes
    arm                       | str   | cell, baseline, or shadow (a second copy of the baseline)
    status                    | str   | measured, skipped or failed
    stage                     | str   | where a failed Cell failed: build, start, load, quality, measure
    reason                    | str   | why it was skipped or failed
    log                       | str   | the worker's output, relative to the Run
    warnings                  | strs  | what a reader must know about this Record
    artifact_key              | str   | content address of the Artifact
    artifact_format             | str   | onnx, torch-module, aoti …
    artifact_bytes            | int   | the Artifact's files on disk
    build_s                   | float | time to build from the model as given, all steps, without start-up
    build_peak_rss_bytes      | int   | highest resident memory of any build step
    build_details             | json  | what each step reports of itself
    parameters                | int   | weights and biases
    nonzero_parameters        | int   | those of them that are not zero
    flops_per_sample            | float | FLOPs (2 × multiply-accumulates) of one item, from the graph
    tokens_per_sample           | int   | tokens that one item holds; null where the model has none
    compute_dtype             | str   | types of the low-precision arithmetic, and what decided them
    flops_by_type             | json  | share of the FLOPs by the number type that is multiplied
    low_precision_flops_share | float | share of the FLOPs computed in fewer than 32 bits
    weight_only_flops_share   | float | share of the FLOPs computed in float from weights in low precision
    low_precision_weight_share | float | share of the weights' stored bytes in fewer than 32 bits
    float_operators           | json  | products and convolutions left in float, by type
    qdq_pairs                 | int   | activations that are quantized and dequantized again
    overhead_operators        | json  | operators that low precision added to the graph, by type
    latency_mean_s            | float | mean over Trials of their mean timed call
    latency_min_s             | float | fastest timed call
    latency_p50_s             | float | median
    latency_p90_s             | float | 90th percentile; null where too few samples
    latency_p95_s             | float | 95th percentile; null where too few samples
    latency_p99_s             | float | 99th percentile; null where too few samples
    latency_p99_upper_s       | float | upper bound of the 99th percentile at 99 % confidence
    latency_std_s             | float | standard deviation of timed calls, each Trial counting the same
    calls                     | int   | timed calls
    blocks                    | int   | Blocks
    trials                    | int   | Trials (fresh processes)
    stop_reason               | str   | why its measuring ended: target_ci, max_time, the Trials asked for …
    stop_halfwidth            | float | relative half-width of its speed-up's interval when measuring ended
    planned_trials            | int   | Trials that the last plan for it asked for; null where none was made
    warmup_calls              | int   | calls before the first Block, all Trials
    steady                    | bool  | whether warm-up ended because calls had become steady, in all Trials
    threads_used              | int   | threads that worked in its Blocks, median; replicas' added up
    cpu_utilization           | float | CPU seconds of its processes over the Blocks' wall time
    throughput_samples_per_s    | float | items answered over the Blocks' time, mean over Trials
    qps                       | float | queries a second: as given, or the highest that held the bound
    over_bound_share          | float | share of queries slower than latency_bound; null without one
    utilization               | float | share of the queries' schedule in which the Session was busy
    search                    | json  | how the rate was searched for, a list with one entry a Trial
    import_s                  | float | start of the process until the runtime is imported, median of Trials
    load_s                    | float | Artifact on disk until Session is ready, median of Trials
    first_call_s              | float | first call, median of Trials
    rss_empty_bytes           | int   | resident memory of the worker with its runtime imported, no model
    peak_rss_load_bytes       | int   | highest resident memory while loading
    peak_rss_first_call_bytes | int   | highest resident memory during the first call
    peak_rss_steady_bytes     | int   | highest resident memory during the timed Blocks
    over_empty_load_bytes     | int   | that peak less the empty worker, median of Trials
    over_empty_first_call_bytes | int | the same of the first call
    over_empty_steady_bytes   | int   | the same of the timed Blocks; of replicas less one empty worker
    pss_empty_bytes           | int   | proportional set size of the empty worker
    pss_load_bytes            | int   | the same after loading
    pss_first_call_bytes      | int   | the same after the first call
    pss_bytes                 | int   | proportional set size after the Blocks, replicas included
    huge_page_bytes           | int   | of its memory, what lay in transparent huge pages after the Blocks
    achieved_flop_per_s       | float | flops_per_sample × throughput
    weight_bytes              | int   | the graph's weights, read once a call; without embeddings
    activation_bytes_per_sample | float | inputs and outputs of one item's convolutions and matrix products
    float32_flops_share       | float | share of the FLOPs known to be float32
    arithmetic_intensity_flops_per_byte | float | FLOPs over bytes of one item, weights divided by the batch
    peak_flop_per_s           | float | this machine's measured roof for flops_by_type at the thread budget
    peak_over_float32         | float | that roof over the float32 roof; none where all is float32
    compute_utilization       | float | achieved_flop_per_s over peak_flop_per_s, while it was busy
    bandwidth_utilization     | float | bytes moved per second over the memory bandwidth; above 1: by caches
    bound                     | str   | compute or memory: intensity against the measured ridge point
    quality_metric            | str   | name of the quality metric
    quality_unit              | str   | unit of a drop (pt: hundredths of a share)
    quality_higher_is_better  | bool  | whether a larger score is better; null in older Runs: yes
    quality                   | float | mean score
    quality_low               | float | lower end of the 95 % interval
    quality_high              | float | upper end of the 95 % interval
    evaluation_samples             | int   | items answered
    evaluation_s                 | float | time of the quality pass
    measured_s                | float | time inside timed Blocks, all Trials
    worker_s                  | float | time from start to end of the Cell's workers
    audit                     | str   | passed, failed or null when not audited
    audit_reasons             | strs  | why an audit failed, each with the audit's name
    """
)

# One Block a row, with the noise evidence around it (columns noise_* come from measure/evidence.py).
BLOCKS = _columns(
    """
    cell_id     | str   | Cell
    arm         | str   | cell, baseline or shadow
    trial       | int   | Trial, from 0
    round       | int   | round of the Trial: one Block of each arm, in random order
    order       | int   | position in the Run's sequence of Blocks
    start_s     | float | start, seconds since the Run's start
    duration_s  | float | wall time of the Block
    calls       | int   | timed calls
    samples     | int   | items answered
    median_s    | float | median call
    mean_s      | float | mean call
    min_s       | float | fastest call
    max_s       | float | slowest call
    seconds_per_sample | float | what comparisons take for speed; null in Runs that left it to the reader
    statistics  | json  | what the scenario says of the Block: its arrival rate, utilization …
    tags        | strs  | kinds of noise seen in this Block
    evidence    | json  | the counters, see measure/evidence.py
    """
)

CALLS = _columns(
    """
    cell_id | str   | Cell
    arm     | str   | cell, baseline or shadow
    trial   | int   | Trial, from 0
    round   | int   | round of the Trial
    call_ns | int   | duration of one timed call in nanoseconds
    """
)

# One item of the quality set a row: what paired comparisons need.
SCORES = _columns(
    """
    cell_id | str   | Cell
    sample  | int   | position in the quality set
    score   | float | the metric's score of this item
    """
)

TABLES = {"cells": CELLS, "blocks": BLOCKS, "calls": CALLS, "scores": SCORES}

KEYS = {
    "cells": ("cell_id", "group_id", "model", "technique", "workload", "hardware", "arm", "status"),
    "blocks": ("cell_id", "arm", "trial", "round", "order", "median_s"),
    "calls": ("cell_id", "arm", "trial", "call_ns"),
    "scores": ("cell_id", "sample", "score"),
}
"""What every version's tables have; one without is another table, or none."""


def arrow_schema(columns: tuple[Column, ...]) -> Any:
    """Return the pyarrow schema of a table, meanings kept as field metadata."""
    import pyarrow as pa

    kinds = {
        "str": pa.string(),
        "json": pa.string(),
        "strs": pa.list_(pa.string()),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
    }
    return pa.schema([pa.field(c.name, kinds[c.kind], metadata={"meaning": c.meaning}) for c in columns])
