"""What a simulation amounts to: makespan, waits, slowdown, utilisation, fragmentation, work lost, hours, cost.

The wait of a job is the time from its submission to its first start; its slowdown its whole time over its run time, at
least SLOWDOWN_FLOOR_MS of it (Feitelson's bounded slowdown). Percentiles are the values of jobs, by nearest rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from batchyard.analysis.quantiles import quantile
from batchyard.core.capacity.prices import MICRO_PER_DOLLAR, Prices
from batchyard.planning.outcome import NEVER, InstanceLife, Outcome
from batchyard.planning.workload import PlannedJob

SLOWDOWN_FLOOR_MS = 10_000
MS_PER_HOUR = 3_600_000
MIN_BILLED_MS = 60_000
MIB_PER_GIB = 1024


class Waits(Struct, frozen=True):
    """Waits of a group of jobs that started, in ms. `slowdown`: the mean."""

    name: str
    jobs: int
    mean_ms: int
    p50_ms: int
    p95_ms: int
    p99_ms: int
    slowdown: float


class Measures(Struct, frozen=True):
    """`utilisation`: what was held of the vCPUs that were there; `fragmentation`: what was free of them while jobs
    waited; both from 0 to 1, None: nothing was there. `vcpu_hours`: of instances and the machine, from ready to the
    end; `dollars`: None: no instance has a price. `unstarted`: jobs that had not started at the end."""

    jobs: int
    ended: int
    failed: int
    unstarted: int
    makespan_ms: int
    waits: Waits
    by_queue: tuple[Waits, ...]
    by_share: tuple[Waits, ...]
    utilisation: float | None
    fragmentation: float | None
    interrupted_attempts: int
    interrupted_vcpu_hours: float
    held_vcpu_hours: float
    held_gib_hours: float
    held_gpu_hours: float
    vcpu_hours: float
    instances: int
    dollars: float | None


def measure(outcome: Outcome, jobs: Sequence[PlannedJob], prices: Prices) -> Measures:
    """Measures what has happened until the simulation ended or was stopped."""
    first_submit = jobs[0].submit_ms if jobs else 0
    last_end = max(outcome.end_ms, default=0)
    cost = _dollars(outcome, prices)
    capacity = outcome.capacity_milli_vcpu_ms
    waited = outcome.capacity_while_waiting_ms
    return Measures(
        jobs=len(outcome.place),
        ended=sum(1 for end_ms in outcome.end_ms if end_ms != NEVER),
        failed=sum(outcome.has_failed),
        unstarted=sum(1 for start_ms in outcome.start_ms if start_ms == NEVER),
        makespan_ms=max(0, last_end - first_submit),
        waits=_waits("all", range(len(outcome.place)), outcome, jobs),
        by_queue=_by(outcome, jobs, lambda job: job.queue),
        by_share=_by(outcome, jobs, lambda job: job.share),
        utilisation=min(1.0, outcome.held_milli_vcpu_ms / capacity) if capacity else None,
        fragmentation=outcome.free_while_waiting_ms / waited if waited else None,
        interrupted_attempts=outcome.interrupted_attempts,
        interrupted_vcpu_hours=outcome.interrupted_milli_vcpu_ms / 1000 / MS_PER_HOUR,
        held_vcpu_hours=outcome.held_milli_vcpu_ms / 1000 / MS_PER_HOUR,
        held_gib_hours=outcome.held_mib_ms / MIB_PER_GIB / MS_PER_HOUR,
        held_gpu_hours=outcome.held_gpu_ms / MS_PER_HOUR,
        vcpu_hours=capacity / 1000 / MS_PER_HOUR,
        instances=len(outcome.instances),
        dollars=cost,
    )


def _by(outcome: Outcome, jobs: Sequence[PlannedJob], name_of: Callable[[PlannedJob], str]) -> tuple[Waits, ...]:
    rows: dict[str, list[int]] = {}
    for row, place in enumerate(outcome.place):
        rows.setdefault(name_of(jobs[place]), []).append(row)
    return tuple(_waits(name, rows[name], outcome, jobs) for name in sorted(rows))


def _waits(name: str, rows: Iterable[int], outcome: Outcome, jobs: Sequence[PlannedJob]) -> Waits:
    waits: list[int] = []
    slowdowns, ended = 0.0, 0
    for row in rows:
        start_ms, end_ms = outcome.start_ms[row], outcome.end_ms[row]
        if start_ms == NEVER:
            continue
        submit_ms = jobs[outcome.place[row]].submit_ms
        waits.append(start_ms - submit_ms)
        if end_ms != NEVER:
            slowdowns += max(1.0, (end_ms - submit_ms) / max(end_ms - start_ms, SLOWDOWN_FLOOR_MS))
            ended += 1
    if not waits:
        return Waits(name, 0, 0, 0, 0, 0, 0.0)
    waits.sort()
    mean = sum(waits) // len(waits)
    p50, p95, p99 = (quantile(waits, percent) for percent in (50, 95, 99))
    return Waits(name, len(waits), mean, p50, p95, p99, slowdowns / ended if ended else 0.0)


def hourly_price(life: InstanceLife, prices: Prices) -> int:
    """Returns the owner's micro-dollars of an hour; 0: there is no price."""
    price = prices.on_demand.get(life.instance_type, 0)
    return prices.spot.get(life.instance_type, price) if life.is_spot else price


def _dollars(outcome: Outcome, prices: Prices) -> float | None:
    total, is_priced = 0, False
    for life in outcome.instances.values():
        price = hourly_price(life, prices)
        is_priced = is_priced or bool(price)
        end_ms = outcome.now_ms if life.ended_ms == NEVER else life.ended_ms
        total += price * max(MIN_BILLED_MS, end_ms - life.launched_ms)
    return total / MS_PER_HOUR / MICRO_PER_DOLLAR if is_priced else None
