"""The service's metrics in the text formats of Prometheus and OpenMetrics (observability spec 20).

Labels are names that the owner made (queues, environments) and fixed words: no job, no definition, nothing without a
limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate

from msgspec import Struct

from batchyard.alarms.records import Alarm
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.core.questions.gauges import Gauges
from batchyard.evaluators.alarms.evaluation import AlarmState
from batchyard.job_metrics.machine import ATTEMPTED, WAITED
from batchyard.job_metrics.totals import BOUNDS_SECONDS, Totals
from batchyard.store.commit_times import BOUNDS_SECONDS as COMMIT_BOUNDS_SECONDS
from batchyard.store.commit_times import CommitTimes
from batchyard.version import VERSION

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
BYTES_PER_MIB = 1024 * 1024
MS_PER_SECOND = 1000
HISTOGRAMS = {
    WAITED: ("batchyard_job_wait_seconds", "How long jobs were RUNNABLE before an attempt was placed."),
    ATTEMPTED: ("batchyard_attempt_seconds", "How long attempts took from their placement to their end."),
}

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


class OwnTotals(Struct, frozen=True):
    """What the service did itself since its start. `deliveries`: tries, by kind and outcome."""

    deliveries: dict[tuple[str, str], int] = {}
    commits: CommitTimes = CommitTimes()


class Scrape(Struct, frozen=True):
    """What is known at a moment. `loop_lag_seconds`: how long a question waited for the loop, a commit that was under
    way included."""

    gauges: Gauges
    totals: Totals
    alarms: tuple[Alarm, ...]
    own: OwnTotals = OwnTotals()
    loop_lag_seconds: float = 0.0


def render(scrape: Scrape, *, is_open: bool) -> bytes:
    """Returns the text. `is_open`: in OpenMetrics."""
    lines: list[str] = []
    for name, help_text, samples in _gauges(scrape):
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
        lines += [_line(name, labels, value) for labels, value in samples]
    lines += _counters(scrape.totals, is_open=is_open)
    for metric, (name, help_text) in HISTOGRAMS.items():
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} histogram"]
        lines += _histogram(scrape.totals, metric, name)
    lines += _deliveries(scrape.own, is_open=is_open)
    lines += _commits(scrape.own.commits)
    if is_open:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _gauges(scrape: Scrape) -> Iterator[tuple[str, str, list[Sample]]]:
    gauges = scrape.gauges
    jobs: list[Sample] = [
        ((("queue", queue), ("state", state)), float(number))
        for queue, states in gauges.queues.items()
        for state, number in states.items()
    ]
    yield "batchyard_jobs", "Unfinished jobs by state; children of arrays are counted, their arrays are not.", jobs
    instances: list[Sample] = [
        ((("environment", environment.name), ("state", state)), float(number))
        for environment in gauges.environments
        for state, number in environment.instances.items()
    ]
    yield "batchyard_instances", "Instances of MANAGED environments by state.", instances
    kinds = [(environment.name, "capacity", environment.total) for environment in gauges.environments]
    for environment in gauges.environments:
        held = Resources()
        for group in gauges.tasks:
            held = held.plus(group.resources) if group.environment == environment.name else held
        kinds.append((environment.name, "reserved", held))

    def by_kind(amounts: Iterable[float]) -> list[Sample]:
        return [
            ((("environment", name), ("kind", kind)), amount)
            for (name, kind, _), amount in zip(kinds, amounts, strict=True)
        ]

    vcpus = by_kind(resources.milli_vcpus / MILLI_PER_VCPU for _, _, resources in kinds)
    yield "batchyard_vcpus", "vCPUs of environments: what there is, and what placed jobs reserve.", vcpus
    memory = by_kind(float(resources.memory_mib * BYTES_PER_MIB) for _, _, resources in kinds)
    yield "batchyard_memory_bytes", "Memory of environments: what there is, and what placed jobs reserve.", memory
    gpus = by_kind(float(resources.gpus) for _, _, resources in kinds)
    yield "batchyard_gpus", "GPUs of environments: what there is, and what placed jobs reserve.", gpus
    states = Counter(alarm.state for alarm in scrape.alarms)
    counted: list[Sample] = [((("state", state.value),), float(states[state.value])) for state in AlarmState]
    yield "batchyard_alarms", "Alarms by state.", counted
    lag: list[Sample] = [((), scrape.loop_lag_seconds)]
    yield "batchyard_loop_lag_seconds", "How long a question waited for the loop just now.", lag
    yield "batchyard_build_info", "The version that runs.", [((("version", VERSION),), 1.0)]


def _counters(totals: Totals, *, is_open: bool) -> Iterator[str]:
    name = "batchyard_jobs_total"
    yield f"# HELP {name} What jobs did since the service was started, by the names of the metrics of AWS Batch."
    # OpenMetrics has no counter of that name beside the gauge batchyard_jobs; the name is the same in both formats.
    yield f"# TYPE {name} {'unknown' if is_open else 'counter'}"
    for (queue, metric), number in sorted(totals.counts.items()):
        yield _line(name, (("queue", queue), ("transition", metric)), number)


def _histogram(totals: Totals, metric: str, name: str) -> Iterator[str]:
    for (queue, measured), found in sorted(totals.histograms.items()):
        if measured != metric:
            continue
        label = ("queue", queue)
        bounds = (*(f"{bound:g}" for bound in BOUNDS_SECONDS), "+Inf")
        for bound, number in zip(bounds, accumulate(found.counts), strict=True):
            yield _line(f"{name}_bucket", (label, ("le", bound)), number)
        yield _line(f"{name}_sum", (label,), found.total_ms / MS_PER_SECOND)
        yield _line(f"{name}_count", (label,), sum(found.counts))


def _deliveries(own: OwnTotals, *, is_open: bool) -> Iterator[str]:
    name = "batchyard_deliveries_total"
    family = name.removesuffix("_total") if is_open else name
    yield f"# HELP {family} Tries to deliver events and messages since the service was started, by kind and outcome."
    yield f"# TYPE {family} counter"
    for (kind, outcome), number in sorted(own.deliveries.items()):
        yield _line(name, (("kind", kind), ("outcome", outcome)), number)


def _commits(commits: CommitTimes) -> Iterator[str]:
    name = "batchyard_commit_seconds"
    yield f"# HELP {name} How long commits to the database took."
    yield f"# TYPE {name} histogram"
    bounds = (*(f"{bound:g}" for bound in COMMIT_BOUNDS_SECONDS), "+Inf")
    for bound, number in zip(bounds, accumulate(commits.counts), strict=True):
        yield _line(f"{name}_bucket", (("le", bound),), number)
    yield _line(f"{name}_sum", (), commits.total_seconds)
    yield _line(f"{name}_count", (), sum(commits.counts))


def _line(name: str, labels: Labels, value: float) -> str:
    inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{inner}}} {value:.15g}" if labels else f"{name} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
