"""What jobs used and cost in a span of time, by queue, share, definition, tag, principal or environment.

Hours are of what was asked for, from the start of an attempt to its end: that much was reserved. Money comes from the
prices of instances: an instance costs its price from its launch to its end, each attempt the part that it holds, and
what no attempt holds is a row of its own. Amounts are integers (milli-vCPU x ms, micro-dollars), and spans are half
open, so that days add up to months."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from batchyard.analysis.past_runs import PastInstance, PastRun

MS_PER_HOUR = 3_600_000
MIN_BILLED_MS = 60_000  # EC2 bills an instance by the second, a minute at least
# How an instance's price splits into those of its parts, as AWS's split cost allocation does it: a vCPU counts as 9 GiB
# of memory, a GPU as 9 vCPUs.
MIB_PER_GIB = 1024
WEIGHT_OF_MIB, WEIGHT_OF_MILLI_VCPU, WEIGHT_OF_GPU = 1000, 9 * MIB_PER_GIB, 81 * MIB_PER_GIB * 1000
NONE = "(none)"  # the row of runs without a value: no share, an absent tag
IDLE = "(idle instances)"

BY: dict[str, Callable[[PastRun], str]] = {
    "queue": lambda run: run.queue,
    "share": lambda run: run.share,
    "definition": lambda run: run.definition_name,
    "key": lambda run: run.principal,
    "environment": lambda run: run.environment,
}


class Span(Struct, frozen=True):
    """From `since_ms` up to and without `until_ms`."""

    since_ms: int
    until_ms: int

    def part_of(self, start_ms: int, stop_ms: int) -> int:
        """Returns how many milliseconds of a time lie in the span. `stop_ms`: 0: it has not ended."""
        end_ms = min(stop_ms or self.until_ms, self.until_ms)
        return max(0, end_ms - max(start_ms, self.since_ms))


class CostRow(Struct):
    """Sums of a group of runs. `used_milli_vcpu_ms` and `measured_milli_vcpu_ms`: CPU time of the runs where it was
    measured, and what those asked for; memory likewise, by peaks. `interrupted_milli_vcpu_ms`: of runs lost with their
    hosts."""

    name: str
    attempts: int = 0
    milli_vcpu_ms: int = 0
    mib_ms: int = 0
    gpu_ms: int = 0
    used_milli_vcpu_ms: int = 0
    measured_milli_vcpu_ms: int = 0
    used_mib_ms: int = 0
    measured_mib_ms: int = 0
    interrupted_milli_vcpu_ms: int = 0
    micro_dollars: int = 0

    def add(self, other: CostRow) -> None:
        for member in self.__struct_fields__[1:]:
            setattr(self, member, getattr(self, member) + getattr(other, member))


class Report(Struct, frozen=True):
    """`rows`: the dearest first, by money and then by vCPU hours. `idle`: what instances cost while no attempt held
    them; its hours are of their unheld capacity. `total`: of all. `is_priced`: whether any instance has a price."""

    rows: tuple[CostRow, ...]
    idle: CostRow
    total: CostRow
    is_priced: bool


def grouping(by: str) -> Callable[[PastRun], str]:
    """Returns what names the row of a run. `by`: a key of BY, or `tag:KEY`. Raises ValueError, with a sentence."""
    kind, _, tag = by.partition(":")
    if kind == "tag" and tag:
        return lambda run: run.tags.get(tag, "")
    if by not in BY:
        known = ", ".join([*BY, "tag:KEY"])
        raise ValueError(f"{by!r} is nothing to show costs by. There are: {known}.")
    return BY[by]


def costs(runs: Iterable[PastRun], instances: Sequence[PastInstance], span: Span, by: str) -> Report:
    """Returns what ran in the span. `span.until_ms` is not in the future."""
    name_of = grouping(by)
    known = {one.instance_id: one for one in instances}
    held = {one.instance_id: CostRow(IDLE) for one in instances}
    rows: dict[str, CostRow] = {}
    for run in runs:
        duration_ms = span.part_of(run.started_at_ms, run.stopped_at_ms)
        if not duration_ms:
            continue
        name = name_of(run) or NONE
        row = rows.get(name) or rows.setdefault(name, CostRow(name))
        row.add(_of_run(run, duration_ms, span))
        for instance_id in run.instance_ids:
            if instance_id in known:
                row.micro_dollars += _hold(run, known[instance_id], held[instance_id], duration_ms)
    idle, total = CostRow(IDLE), CostRow("total")
    for one in instances:
        idle.add(_idle(one, held[one.instance_id], span))
    for row in (*rows.values(), idle):
        total.add(row)
    ordered = sorted(rows.values(), key=lambda row: (-row.micro_dollars, -row.milli_vcpu_ms, row.name))
    return Report(tuple(ordered), idle, total, any(one.hourly_micro_dollars for one in instances))


def _of_run(run: PastRun, duration_ms: int, span: Span) -> CostRow:
    row = CostRow(
        "",
        attempts=1,
        milli_vcpu_ms=run.milli_vcpus * duration_ms,
        mib_ms=run.memory_mib * duration_ms,
        gpu_ms=run.gpus * duration_ms,
    )
    whole_ms = run.stopped_at_ms - run.started_at_ms
    if run.cpu_ms and whole_ms > 0:
        row.used_milli_vcpu_ms = run.cpu_ms * 1000 * duration_ms // whole_ms
        row.measured_milli_vcpu_ms = row.milli_vcpu_ms
    if run.peak_memory_mib:
        row.used_mib_ms = run.peak_memory_mib * duration_ms
        row.measured_mib_ms = row.mib_ms
    if run.is_interrupted:
        row.interrupted_milli_vcpu_ms = row.milli_vcpu_ms
    return row


def _weight(milli_vcpus: int, memory_mib: int, gpus: int) -> int:
    return milli_vcpus * WEIGHT_OF_MILLI_VCPU + memory_mib * WEIGHT_OF_MIB + gpus * WEIGHT_OF_GPU


def _hold(run: PastRun, instance: PastInstance, held: CostRow, duration_ms: int) -> int:
    """Adds to `held` what a run, or its node, holds of an instance. Returns its part of the price."""
    nodes = max(len(run.instance_ids), 1)
    milli_vcpus, memory_mib, gpus = run.milli_vcpus // nodes, run.memory_mib // nodes, run.gpus // nodes
    held.milli_vcpu_ms += milli_vcpus * duration_ms
    held.mib_ms += memory_mib * duration_ms
    held.gpu_ms += gpus * duration_ms
    whole = _weight(instance.milli_vcpus, instance.memory_mib, instance.gpus)
    part = _weight(milli_vcpus, memory_mib, gpus)
    spent = instance.hourly_micro_dollars * duration_ms * part // (whole * MS_PER_HOUR) if whole else 0
    held.micro_dollars += spent
    return spent


def _idle(instance: PastInstance, held: CostRow, span: Span) -> CostRow:
    """Returns what an instance had and cost while no attempt held it."""
    life_ms = span.part_of(instance.launched_at_ms, instance.ended_at_ms)
    billed_ms = life_ms
    if instance.ended_at_ms and span.since_ms <= instance.launched_at_ms < span.until_ms:
        # What is missing from the minute counts when it was launched, so that spans that meet add up.
        billed_ms += max(0, MIN_BILLED_MS - (instance.ended_at_ms - instance.launched_at_ms))
    price = instance.hourly_micro_dollars * billed_ms // MS_PER_HOUR
    return CostRow(
        IDLE,
        milli_vcpu_ms=max(0, instance.milli_vcpus * life_ms - held.milli_vcpu_ms),
        mib_ms=max(0, instance.memory_mib * life_ms - held.mib_ms),
        gpu_ms=max(0, instance.gpus * life_ms - held.gpu_ms),
        micro_dollars=max(0, price - held.micro_dollars),
    )
