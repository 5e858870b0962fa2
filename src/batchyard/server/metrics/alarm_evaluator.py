"""Evaluates metric alarms on what the store of metrics has, and hands in what changed (observability spec 11.2)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence

from msgspec import Struct

from batchyard.alarms import commands as c
from batchyard.alarms.machine import EvaluateAlarms
from batchyard.alarms.records import METRIC, Alarm
from batchyard.api.cloudwatch.metric_reading import evaluated, metric_request, read_queries, samples_of_metric
from batchyard.api.context import Ask
from batchyard.core.model.effects import Effect
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.alarms.evaluation import AlarmRule, Datapoint, MissingData, evaluation_range, judge
from batchyard.evaluators.alarms.reasons import state_reason, state_reason_data
from batchyard.loop import Busy, Stopped
from batchyard.store.metrics.metric_store import MetricStore

MINUTE = 60
SHORT_SECONDS = 10  # between evaluations of alarms with periods of less than a minute
BUSY_SECONDS = 1.0

logger = logging.getLogger("batchyard.alarms")


class Watched(Struct, frozen=True):
    """The datapoints of an alarm's evaluation range, the oldest first. `counts`: samples of datapoints by time."""

    period_s: int
    points: tuple[Datapoint, ...]
    counts: dict[int, float]


def rule_of(alarm: Alarm) -> AlarmRule:
    document = alarm.document
    periods = document["EvaluationPeriods"]
    return AlarmRule(
        document["ComparisonOperator"],
        document["Threshold"],
        periods,
        document.get("DatapointsToAlarm", periods),
        MissingData(document.get("TreatMissingData", MissingData.MISSING.value)),
        document.get("EvaluateLowSampleCountPercentile") == "ignore",
        "DatapointsToAlarm" in document,
    )


def period_of(alarm: Alarm) -> int:
    """Returns the period of an alarm's datapoints, in seconds."""
    if "Metrics" not in alarm.document:
        return int(alarm.document["Period"])
    queries = read_queries(alarm.document["Metrics"])
    return max(query.metric.period_s if query.metric is not None else query.period_s for query in queries)


def watched(store: MetricStore, alarm: Alarm, rule: AlarmRule, now_s: int) -> Watched:
    """Returns what an alarm watches: whole periods that have passed, the newest of which ends with the last minute, or
    the last ten seconds."""
    period_s = period_of(alarm)
    step_s = MINUTE if period_s >= MINUTE else SHORT_SECONDS
    end_s = now_s // step_s * step_s
    start_s = end_s - evaluation_range(rule) * period_s
    offset_s = end_s % period_s
    values: dict[int, float] = {}
    counts: dict[int, float] = {}
    low: set[int] = set()
    if "Metrics" in alarm.document:
        (found,) = evaluated(store, read_queries(alarm.document["Metrics"]), start_s, end_s, offset_s)
        values = {at_s + offset_s: value for at_s, value in found.series.points.items()}
    else:
        asked = metric_request(_stat_of(alarm), "")
        _, samples_at = samples_of_metric(store, asked, start_s - offset_s, end_s - offset_s, offset_s)
        for at_s, samples in samples_at.items():
            value = asked.statistic.value_of(samples)
            if value is not None:
                values[at_s + offset_s], counts[at_s + offset_s] = value, samples.sample_count
                if samples.sample_count < asked.statistic.min_samples:
                    low.add(at_s + offset_s)
    times = range(start_s, end_s, period_s)
    points = tuple(Datapoint(at_s, values.get(at_s), at_s in low) for at_s in times)
    return Watched(period_s, points, counts)


def _stat_of(alarm: Alarm) -> dict[str, object]:
    """Returns the metric of an alarm as MetricStat has it."""
    document = alarm.document
    metric = {name: document[name] for name in ("Namespace", "MetricName", "Dimensions") if name in document}
    stat = {"Metric": metric, "Period": document["Period"], "Stat": _statistic(alarm)}
    return stat | ({"Unit": document["Unit"]} if "Unit" in document else {})


def _statistic(alarm: Alarm) -> str:
    return str(alarm.document.get("Statistic") or alarm.document["ExtendedStatistic"])


def evaluate(store: MetricStore, alarm: Alarm, now_s: int) -> c.Evaluation | None:
    """Returns what an alarm comes to; None: it keeps the state that it has. For a thread beside the event loop."""
    rule = rule_of(alarm)
    seen = watched(store, alarm, rule, now_s)
    judgement = judge(rule, seen.points)
    if judgement.state is None or judgement.state.value == alarm.state:
        return None
    data = state_reason_data(
        rule,
        judgement,
        now_s=now_s,
        period_s=seen.period_s,
        statistic=alarm.document.get("Statistic"),
        extended_statistic=alarm.document.get("ExtendedStatistic"),
        unit=alarm.document.get("Unit"),
        sample_counts=seen.counts,
    )
    reason = state_reason(rule, judgement)
    return c.Evaluation(alarm.name, alarm.configured_at_ms, judgement.state.value, reason, data)


class AlarmEvaluator:
    """Evaluates all alarms each minute, those of shorter periods each ten seconds, and new ones at once."""

    def __init__(self, store: MetricStore, ask: Ask, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._ask = ask
        self._now_ms = now_ms
        self._due: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Takes alarms that are to be evaluated now; the handler of EvaluateAlarms."""
        for effect in effects:
            assert isinstance(effect, EvaluateAlarms), f"{effect!r} is no evaluation"
            self._due.put_nowait(effect.names)

    async def run(self) -> None:
        """Evaluates what is due beside the full minutes. Runs until cancelled, or the loop has ended."""
        while True:
            names: tuple[str, ...] = ()
            with contextlib.suppress(TimeoutError):
                names = await asyncio.wait_for(self._due.get(), SHORT_SECONDS)
            try:
                await self._evaluate_named(names)
            except Stopped:
                return
            except (Busy, sqlite3.OperationalError) as error:
                logger.warning("Alarms are evaluated later: %s", error)
                self._due.put_nowait(names)
                await asyncio.sleep(BUSY_SECONDS)

    async def _evaluate_named(self, names: tuple[str, ...]) -> None:
        """Evaluates these alarms, and those of short periods."""
        await self.evaluate(lambda alarm: alarm.name in names or period_of(alarm) < MINUTE)

    async def minute_is_over(self, end_ms: int) -> None:
        """Evaluates all alarms, once the metrics of the minute are stored."""
        await self.evaluate(lambda alarm: True)

    async def evaluate(self, is_due: Callable[[Alarm], bool]) -> None:
        alarms = [alarm for alarm in await self._ask(c.AskAlarms()) if alarm.kind == METRIC and is_due(alarm)]
        if not alarms:
            return
        found = await asyncio.to_thread(self._evaluations, alarms, self._now_ms() // 1000)
        if found:
            await self._ask(c.TakeEvaluations(tuple(found)))

    def _evaluations(self, alarms: Sequence[Alarm], now_s: int) -> list[c.Evaluation]:
        found = []
        for alarm in alarms:
            try:
                evaluation = evaluate(self._store, alarm, now_s)
            except Refused as refusal:  # an expression has no value on these data
                logger.warning("The alarm %s keeps its state: %s", alarm.name, refusal.message)
                continue
            if evaluation is not None:
                found.append(evaluation)
        return found
