"""Why a Cell is as fast as it is, in sentences with figures: work, peaks, low precision, overhead, noise.

Each sentence follows from columns of the Record; without the column the sentence is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.records.columns import parsed
from harness.analysis.records.roofline import FLOAT, Peaks, busy_share, flops_by_type, peaks_for
from harness.analysis.words import numbers as say
from harness.analysis.words.peaks import types_in_words, vector_ratios, vectors_in_words
from harness.units import say_count

FAR = 0.10
"""Below this utilization of compute and of bandwidth, a call is bound by neither."""
LONG_CALL_S = 2e-3
"""If longer calls have a low utilization, starting operators is not the reason: a runtime starts one in
microseconds, and models have at most some hundreds."""
SAME_WORK = 0.02
"""FLOPs that differ by less count as equal."""
LITTLE = 1.25
"""With a peak below this many times the float32 peak, the dtype can gain little by faster computation."""

Teller = Callable[[Comparison, Comparison | None], Iterator[str]]


def explain(row: Comparison, baseline: Comparison | None, all_peaks: Sequence[Peaks] = ()) -> list[str]:
    """Return sentences about a measured Record; `baseline` is its Group's, `all_peaks` are the Run's."""
    tellers: tuple[Teller, ...] = (_speed, _work, _peaks, _precision)
    other = None if baseline is None or baseline.cell_id == row.cell_id else baseline
    told = [text for tell in tellers for text in tell(row, other)]
    told += _weights(row, peaks_for(row, all_peaks))
    return told + [text for tell in (_costs, _doubts) for text in tell(row, other)]


def counts(text: Any) -> str:
    """Return a JSON mapping from operator type to number in words: 10 Conv, 1 Gemm; empty for other texts."""
    return ", ".join(f"{number} {say.short(str(name), 40)}" for name, number in parsed(text, dict).items())


def _speed(row: Comparison, baseline: Comparison | None) -> Iterator[str]:
    if baseline is None or row.speedup is None:
        return
    interval = say.factors(*row.interval)
    verdict, floor = row.verdict or "no verdict", row.floor
    noise = "" if floor is None else f"; identical code may differ by up to {say.percent(floor)}"
    yield (
        f"It has {say.factor(row.speedup)} × ({interval}) the speed of {baseline.technique}: "
        f"{verdict}{noise}."
    )


def _work(row: Comparison, baseline: Comparison | None) -> Iterator[str]:
    flops = row.flops_per_sample
    if not flops:
        return
    said = f"One sample takes {say.quantity(flops, 'FLOP')}"
    before = baseline.flops_per_sample if baseline else None
    if baseline is None or not before:
        yield f"{said}."
    elif abs(flops / before - 1) < SAME_WORK:
        yield f"{said}, as in {baseline.technique}: only the way of computing differs."
    else:
        share = say.percent(flops / before)
        left = f"{said}, {share} of those of {baseline.technique}"
        yield f"{left}; if speed depended on FLOPs alone, it would be {say.factor(before / flops)} × as fast."


def _peaks(row: Comparison, _baseline: Comparison | None) -> Iterator[str]:
    peak, compute = row.peak_flop_per_s, row.compute_utilization
    memory, intensity = row.bandwidth_utilization, row.arithmetic_intensity_flops_per_byte
    shares = flops_by_type(row)
    achieved, opening = (row.achieved_flop_per_s or 0.0) / busy_share(row), _at_work(row)
    if achieved and peak and compute is not None:
        yield (
            f"{opening} computes {say.quantity(achieved, 'FLOP/s')}, {say.percent(compute)} of the "
            f"{say.quantity(peak, 'FLOP/s')} measured as this machine's peak for "
            f"{types_in_words(shares or {FLOAT: 1.0})} with {say_count(row.threads or 0, 'thread')}."
        )
        if ratio := row.peak_over_float32:
            yield f"That peak is {say.factor(ratio)} × this processor's float32 peak{_little(ratio)}."
    elif achieved:
        why = "the dtypes are unknown, so there is no peak to compare with"
        if shares:
            why = f"no peak was measured for {types_in_words(shares)}"
        yield f"{opening} computes {say.quantity(achieved, 'FLOP/s')}; {why}."
    if memory is not None and intensity:
        yield (
            f"{opening} computes {say.digits(intensity)} FLOP per byte that it moves, and uses "
            f"{say.percent(memory)} of the measured memory bandwidth."
        )
    yield from _bound(row, compute, memory)


def _at_work(row: Comparison) -> str:
    """Return the subject of a sentence about utilization: waiting for queries does not count."""
    return "It" if row.utilization is None else "While it is busy, it"


def _bound(row: Comparison, compute: float | None, memory: float | None) -> Iterator[str]:
    if compute is None or memory is None or row.bound is None:
        return
    if row.utilization is not None:  # it waits for queries, which says nothing about the work
        return
    if max(compute, memory) < FAR:
        yield _far(row)
    elif row.bound == "memory":
        yield (
            "By its arithmetic intensity it is bound by memory: "
            "smaller weights help, faster computation does not"
            + (" (caches serve what memory could not)." if memory > 1 else ".")
        )
    else:
        yield "By its arithmetic intensity it is bound by compute: fewer FLOPs or faster computation help."


def _far(row: Comparison) -> str:
    """Return what keeps utilization low: the time to start operators, or slow kernels."""
    if (row.latency_mean_s or 0.0) > LONG_CALL_S:
        return (
            "Both utilizations are low, and its calls are too long for operator starts to explain that: "
            "its kernels are slow here, for example because they unpack, scan or convert data. "
            "Another runtime or method may have better kernels."
        )
    return (
        "Both utilizations are low: "
        "most of a call is probably spent on starting operators, not on their work. "
        "Fewer operators or more samples per call help more than faster computation."
    )


def _precision(row: Comparison, _baseline: Comparison | None) -> Iterator[str]:
    stored = row.low_precision_weight_share
    if stored is None:
        return
    computed, unpacked = row.low_precision_flops_share, row.weight_only_flops_share
    if computed is not None:
        yield (
            f"{say.percent(computed)} of the FLOPs are computed in low precision, and "
            f"{say.percent(stored)} of the weights' bytes are stored in it{_by(row)}."
        )
    if unpacked:
        yield (
            f"{say.percent(unpacked)} of the FLOPs use weights in low precision but are computed in float: "
            "this saves memory, not computation."
        )
    if left := counts(row.float_operators):
        yield f"Left in float: {left}."
    pairs, added = row.qdq_pairs, counts(row.overhead_operators)
    if pairs or added:
        through = f"{pairs:,} activations are quantized and dequantized" if pairs else ""
        more = f"operators that the float model does not have: {added}" if added else ""
        yield f"Overhead: {'; '.join(part for part in (through, more) if part)}."


def _little(ratio: float) -> str:
    return ": faster computation can gain little" if ratio < LITTLE else ""


def _weights(row: Comparison, peaks: Peaks | None) -> Iterator[str]:
    """What smaller weights can gain when they are read for one sample, as measured on this machine."""
    ratios = vector_ratios(peaks) if peaks else {}
    if not ratios or row.bound != "memory" or not row.low_precision_weight_share:
        return
    if row.batch != 1 or not FAR <= (row.bandwidth_utilization or 0.0) <= 1:
        return  # more rows per call, weights from caches, or another bound: the limit does not apply
    yield (
        "With one sample per call, its dense layers spend their time reading weights from memory. "
        f"As measured here, {vectors_in_words(ratios)}; those layers cannot gain more than that."
    )


def _by(row: Comparison) -> str:
    return f" ({row.compute_dtype})" if row.compute_dtype else ""


def _costs(row: Comparison, baseline: Comparison | None) -> Iterator[str]:
    if baseline is not None and row.quality_loss is not None:
        yield f"Quality changes by {say.change_words(row)}."
    if row.build_s and row.break_even_samples and row.verdict == "faster":
        paid = say.pay_back(row)
        when = paid if paid == "at once" else f"after {paid}"
        yield f"Its build takes {say.quantity(row.build_s, 's')} and is paid back {when}."


def _doubts(row: Comparison, _baseline: Comparison | None) -> Iterator[str]:
    if row.audit == "failed":
        reasons = "; ".join(row.audit_reasons or ()) or "no reason was recorded"
        yield f"It failed an audit, so its speed does not count: {reasons}."
    for warning in row.warnings or ():
        yield f"Note: {warning}."
