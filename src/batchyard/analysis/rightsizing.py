"""The right size of a definition from what its attempts used: the 95th percentile of the peaks and a fifth more.

An attempt that was killed for its memory is no sample of what it needs: it only shows that it needed more than its
limit. Attempts that failed otherwise are left out: they may have ended before their peak."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from batchyard.analysis.past_runs import OUT_OF_MEMORY, SUCCEEDED, PastRun
from batchyard.analysis.quantiles import CensoredQuantile, censored_quantile, quantile

MIN_ATTEMPTS = 20  # below it the 95th percentile is the largest sample
PERCENT = 95
MARGIN_PERCENT = 20
MEMORY_STEP_MIB = 64  # memory is recommended in multiples: smaller steps only pretend to be exact
MIN_MEMORY_MIB = 64  # an interpreter that does nothing takes some ten MiB already
MILLI = 1000
# Fargate's sizes: by vCPUs in thousandths the smallest and largest memory, and the step between, in MiB.
FARGATE_SIZES = (
    (250, (512, 1024, 2048)),
    (500, (1024, 2048, 3072, 4096)),
    (1000, tuple(range(2048, 8192 + 1, 1024))),
    (2000, tuple(range(4096, 16384 + 1, 1024))),
    (4000, tuple(range(8192, 30720 + 1, 1024))),
    (8000, tuple(range(16384, 61440 + 1, 4096))),
    (16000, tuple(range(32768, 122880 + 1, 8192))),
)


class Usage(Struct, frozen=True):
    """What the attempts of a definition used. `peaks_mib`, `milli_vcpus` (CPU time by run time): of those that
    succeeded and were measured, ascending; `limits_mib`: of those killed for their memory. `left_out`: how many others
    ended."""

    peaks_mib: tuple[int, ...]
    milli_vcpus: tuple[int, ...]
    limits_mib: tuple[int, ...]
    left_out: int

    @property
    def attempts(self) -> int:
        return len(self.peaks_mib) + len(self.limits_mib)


class Recommendation(Struct, frozen=True):
    """`memory_mib` is None where more is needed than any attempt has shown: all that is known is more than
    `peak.value`. `killed`: attempts that would have been killed with it, of those measured. `is_confident`: there are
    enough attempts."""

    peak: CensoredQuantile
    memory_mib: int | None
    milli_vcpus: int | None  # None: CPU time was not measured
    killed: int
    is_confident: bool


def usage_of(runs: Iterable[PastRun]) -> Usage:
    """Returns what the ended attempts used, those of one node."""
    peaks: list[int] = []
    rates: list[int] = []
    limits: list[int] = []
    left_out = 0
    for run in runs:
        if not run.stopped_at_ms or run.num_nodes > 1:
            continue
        if run.outcome == OUT_OF_MEMORY and run.memory_mib:
            limits.append(run.memory_mib)
        elif run.outcome == SUCCEEDED and run.peak_memory_mib:
            peaks.append(run.peak_memory_mib)
            ran_ms = run.stopped_at_ms - run.started_at_ms
            if run.cpu_ms and ran_ms > 0:
                rates.append(run.cpu_ms * MILLI // ran_ms)
        else:
            left_out += 1
    return Usage(tuple(sorted(peaks)), tuple(sorted(rates)), tuple(sorted(limits)), left_out)


def recommend(usage: Usage, *, is_fargate: bool = False) -> Recommendation | None:
    """Returns the size that the attempts suggest; None where none was measured."""
    if not usage.attempts:
        return None
    peak = censored_quantile(usage.peaks_mib, usage.limits_mib, PERCENT)
    memory_mib = None if peak.is_beyond else _with_margin(peak.value, MEMORY_STEP_MIB, MIN_MEMORY_MIB)
    milli_vcpus = _with_margin(quantile(usage.milli_vcpus, PERCENT), MILLI, MILLI) if usage.milli_vcpus else None
    if is_fargate and memory_mib is not None:
        wanted = quantile(usage.milli_vcpus, PERCENT) * (100 + MARGIN_PERCENT) // 100 if usage.milli_vcpus else 0
        size = fargate_size(wanted, memory_mib)
        if size is not None:
            milli_vcpus, memory_mib = size
    killed = 0
    if memory_mib is not None:
        killed = sum(value > memory_mib for value in usage.peaks_mib)
        killed += sum(limit >= memory_mib for limit in usage.limits_mib)
    return Recommendation(peak, memory_mib, milli_vcpus, killed, usage.attempts >= MIN_ATTEMPTS)


def _with_margin(value: int, step: int, least: int) -> int:
    """Returns a value with the margin, rounded up to a multiple."""
    wanted = value * (100 + MARGIN_PERCENT)
    return max(least, -(-wanted // (100 * step)) * step)


def fargate_size(milli_vcpus: int, memory_mib: int) -> tuple[int, int] | None:
    """Returns the smallest of Fargate's sizes that holds both; None: there is none."""
    for vcpus, memories in FARGATE_SIZES:
        if vcpus >= milli_vcpus and memories[-1] >= memory_mib:
            return vcpus, next(memory for memory in memories if memory >= memory_mib)
    return None


class Host(Struct, frozen=True):
    """What the jobs of an instance can use."""

    milli_vcpus: int
    memory_mib: int


def fitting(hosts: Sequence[Host], milli_vcpus: int, memory_mib: int) -> int:
    """Returns how many jobs of a size the hosts hold side by side."""
    return sum(min(host.milli_vcpus // max(milli_vcpus, 1), host.memory_mib // max(memory_mib, 1)) for host in hosts)


class Bar(Struct, frozen=True):
    """`count` attempts used from `low` up to and without `high` MiB."""

    low: int
    high: int
    count: int


def histogram(ordered: Sequence[int], bars: int = 12) -> list[Bar]:
    """Returns at most `bars` bars of equal width over all samples. `ordered`: ascending, not empty."""
    low, high = ordered[0], ordered[-1] + 1
    width = max(1, -(-(high - low) // bars))
    counts = [0] * (-(-(high - low) // width))
    for value in ordered:
        counts[(value - low) // width] += 1
    return [Bar(low + i * width, low + (i + 1) * width, count) for i, count in enumerate(counts)]
