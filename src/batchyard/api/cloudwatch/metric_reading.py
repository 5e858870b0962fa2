"""GetMetricStatistics and GetMetricData (observability spec 9.2, 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from batchyard.api.cloudwatch.requests import (
    COMBINATION,
    INVALID_TOKEN,
    MISSING,
    VALIDATION,
    dimensions_in,
    expression_of,
    invalid,
    math_error,
    metrics_of,
    statistic_named,
    within_time,
)
from batchyard.api.context import Call, Context
from batchyard.evaluators.metrics.math_functions import Range
from batchyard.evaluators.metrics.math_parser import InvalidMath, Node
from batchyard.evaluators.metrics.math_values import Series
from batchyard.evaluators.metrics.metric_data import check_datapoints, check_period, first_unit, rounded_start
from batchyard.evaluators.metrics.metric_math import ID, MetricQuery, default_labels, evaluate
from batchyard.evaluators.metrics.samples import Samples, grouped
from batchyard.evaluators.metrics.statistics import Statistic
from batchyard.store.metrics.metric_store import UNITS, MetricStore
from batchyard.wire.messages import Document

MAX_STATISTICS = 5  # API: GetMetricStatistics, as are the next two
MAX_EXTENDED = 10
MAX_QUERIES = 500  # API: GetMetricData
MAX_DATAPOINTS = 100_800  # of one page
MAX_PERIODS = 1_000_000  # of one request, expressions without data included: a range of two years in minutes
DEFAULT_PERIOD_SECONDS = 60


async def get_metric_statistics(context: Context, call: Call, request: Document) -> Document:
    """Namespace, MetricName, Dimensions, StartTime, EndTime, Period, Statistics or ExtendedStatistics, Unit -> one
    datapoint for each period and unit that has data."""
    names = []
    for member, most in (("Statistics", MAX_STATISTICS), ("ExtendedStatistics", MAX_EXTENDED)):
        given = request.get(member, [])
        if len(given) > most:
            raise invalid(f"The collection {member} must not have a size greater than {most}.")
        names += given
    if not names:
        raise invalid("Must specify either Statistics or ExtendedStatistics", COMBINATION)
    statistics = [statistic_named(name) for name in names]
    check_period(request["Period"])
    check_datapoints(request["StartTime"], request["EndTime"], request["Period"])
    _check_unit(request.get("Unit"))
    dimensions = dimensions_in(request.get("Dimensions", []), "Dimensions")
    metrics = metrics_of(context)
    start_s = rounded_start(within_time(request["StartTime"]), metrics.now_ms() / 1000)
    end_s, period_s = int(within_time(request["EndTime"])), request["Period"]

    def read() -> list[Document]:
        found = metrics.store.units(request["Namespace"], request["MetricName"], dimensions)
        return [
            datapoint
            for stored in found
            if request.get("Unit", stored.series.unit) == stored.series.unit
            for at_s, samples in grouped(
                metrics.store.points(stored.id, start_s, end_s), start_s, end_s, period_s
            ).items()
            if (datapoint := _datapoint(at_s, statistics, samples, stored.series.unit)) is not None
        ]

    return {"Label": request["MetricName"], "Datapoints": await context.read(read)}


def _datapoint(at_s: int, statistics: Sequence[Statistic], samples: Any, unit: str) -> Document | None:
    values = {statistic.name: statistic.value_of(samples) for statistic in statistics}
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return None
    extended = {one.name: known[one.name] for one in statistics if one.is_extended and one.name in known}
    plain = {name: value for name, value in known.items() if name not in extended}
    return {"Timestamp": float(at_s), **plain, "Unit": unit} | ({"ExtendedStatistics": extended} if extended else {})


def _check_unit(unit: str | None) -> None:
    if unit is not None and unit not in UNITS:
        raise invalid(f"The parameter Unit must be a value in the set [{', '.join(UNITS)}].")


# -- GetMetricData --


class MetricRequest(NamedTuple):
    """What is asked of one metric."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    period_s: int
    statistic: Statistic
    unit: str | None


class Query(NamedTuple):
    """One member of MetricDataQueries. `expression`: None for a metric; `period_s`: 0 where none is given."""

    id: str
    label: str | None
    is_returned: bool
    metric: MetricRequest | None
    expression: Node | None
    period_s: int


class Found(NamedTuple):
    """The series of a query, and what is said beside it."""

    series: Series
    messages: tuple[Document, ...] = ()


async def get_metric_data(context: Context, call: Call, request: Document) -> Document:
    """MetricDataQueries, StartTime, EndTime, ScanBy, MaxDatapoints -> MetricDataResults, in pages."""
    queries = read_queries(request["MetricDataQueries"])
    metrics = metrics_of(context)
    if request["StartTime"] >= request["EndTime"]:
        raise invalid("The parameter StartTime must be less than the parameter EndTime.", VALIDATION)
    start_s = rounded_start(within_time(request["StartTime"]), metrics.now_ms() / 1000)
    end_s = int(within_time(request["EndTime"]))
    check_range(queries, start_s, end_s)
    results = await context.read(evaluated, metrics.store, queries, start_s, end_s)
    is_descending = request.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    return _paged(results, is_descending, request)


def read_queries(entries: Sequence[Document]) -> list[Query]:
    """Returns the queries of a request. Refused: one is not well formed."""
    if len(entries) > MAX_QUERIES:
        raise invalid(f"The collection MetricDataQueries must not have a size greater than {MAX_QUERIES}.", VALIDATION)
    queries = [_query(entry, number) for number, entry in enumerate(entries, 1)]
    ids = [query.id for query in queries]
    if len(set(ids)) < len(ids):
        raise invalid("The values for parameter id in MetricDataQueries are not unique.", VALIDATION)
    return queries


def _query(entry: Document, number: int) -> Query:
    where = f"MetricDataQueries.member.{number}"
    identifier = entry["Id"]
    if not ID.fullmatch(identifier):
        raise invalid(
            f"The value {identifier} for parameter {where}.Id is not matching the expected pattern "
            "^[a-z][a-zA-Z0-9_]*$.",
            VALIDATION,
        )
    stat, text = entry.get("MetricStat"), entry.get("Expression")
    if (stat is None) == (text is None):
        raise invalid(
            f"The parameters {where}.Expression and {where}.MetricStat are mutually exclusive, and one of "
            "them is required.",
            VALIDATION,
        )
    if entry.get("AccountId"):
        raise invalid(f"There is one account here: leave {where}.AccountId out.", VALIDATION)
    period_s = entry.get("Period", 0)
    if period_s:
        check_period(period_s)
    return Query(
        identifier,
        entry.get("Label"),
        entry.get("ReturnData", True),
        None if stat is None else metric_request(stat, f"{where}.MetricStat"),
        None if text is None else expression_of(text, identifier),
        period_s,
    )


def metric_request(stat: Document, where: str) -> MetricRequest:
    metric = stat["Metric"]
    for member in ("Namespace", "MetricName"):
        if not metric.get(member):
            raise invalid(f"The parameter {where}.Metric.{member} is required.", MISSING)
    check_period(stat["Period"])
    _check_unit(stat.get("Unit"))
    return MetricRequest(
        metric["Namespace"],
        metric["MetricName"],
        dimensions_in(metric.get("Dimensions", []), f"{where}.Metric.Dimensions"),
        stat["Period"],
        statistic_named(stat["Stat"]),
        stat.get("Unit"),
    )


def check_range(queries: Sequence[Query], start_s: int, end_s: int) -> None:
    """Refuses a request for too many periods."""
    periods = sum((end_s - start_s) // _period_of(query, queries) + 1 for query in queries)
    if periods > MAX_PERIODS:
        raise invalid(
            f"The queries ask for up to {periods} datapoints, at most {MAX_PERIODS}: choose longer periods or a "
            "shorter time range.",
            VALIDATION,
        )


def _period_of(query: Query, queries: Sequence[Query]) -> int:
    """Returns the period of a query: of an expression without one the longest of the metrics."""
    if query.metric is not None:
        return query.metric.period_s
    periods = [other.metric.period_s for other in queries if other.metric is not None]
    return query.period_s or max(periods, default=DEFAULT_PERIOD_SECONDS)


def evaluated(store: MetricStore, queries: Sequence[Query], start_s: int, end_s: int, offset_s: int = 0) -> list[Found]:
    """Returns what the queries give that are to be returned, in their order. For a reader's thread. `offset_s`: periods
    begin so many seconds after multiples of their length. Refused: an expression has no value."""
    start_s, end_s = start_s - offset_s, end_s - offset_s
    asked = [query for query in queries if query.metric is not None]
    labels = default_labels(
        [
            MetricQuery(query.metric.name, query.metric.statistic.name, query.metric.period_s)
            for query in asked
            if query.metric is not None
        ]
    )
    metrics = {
        query.id: read_metric(store, query.id, query.metric, start_s, end_s, query.label or label, offset_s)
        for query, label in zip(asked, labels, strict=True)
        if query.metric is not None
    }
    series = {name: found.series for name, found in metrics.items()}
    results: list[Found] = []
    values = _expression_values(queries, series, start_s, end_s)
    for query in queries:
        if not query.is_returned:
            continue
        if query.metric is not None:
            results.append(metrics[query.id])
            continue
        value = values[query.id]
        if isinstance(value, InvalidMath):
            raise math_error(value, query.id)
        for one in value:
            label = one.label
            if query.label is not None:
                label = query.label if len(value) == 1 else f"{query.label} {one.label}"
            results.append(Found(Series(one.points, one.period_s, query.id, label)))
    return results


def _expression_values(
    queries: Sequence[Query], series: Mapping[str, Series], start_s: int, end_s: int
) -> dict[str, tuple[Series, ...] | InvalidMath]:
    """Returns the values of the expressions. Those of different periods are evaluated apart."""
    expressions = {query.id: query for query in queries if query.expression is not None}
    values: dict[str, tuple[Series, ...] | InvalidMath] = {}
    for period_s in sorted({_period_of(query, queries) for query in expressions.values()}):
        nodes = {name: query.expression for name, query in expressions.items() if query.expression is not None}
        try:
            found = evaluate(nodes, series, Range(start_s, end_s, period_s))
        except InvalidMath as error:
            raise math_error(error) from error
        values |= {name: value for name, value in found.items() if _period_of(expressions[name], queries) == period_s}
    return values


def read_metric(
    store: MetricStore, identifier: str, asked: MetricRequest, start_s: int, end_s: int, label: str, offset_s: int = 0
) -> Found:
    """Returns the series of a metric. Without a unit, that of the first of its units in alphabetical order."""
    text, samples_at = samples_of_metric(store, asked, start_s, end_s, offset_s)
    values = {at: asked.statistic.value_of(samples) for at, samples in samples_at.items()}
    known = {at: value for at, value in values.items() if value is not None}
    messages: tuple[Document, ...] = () if text is None else ({"Code": "MultipleUnits", "Value": text},)
    return Found(Series(known, asked.period_s, identifier, label), messages)


def samples_of_metric(
    store: MetricStore, asked: MetricRequest, start_s: int, end_s: int, offset_s: int = 0
) -> tuple[str | None, dict[int, Samples]]:
    """Returns the samples of each period of a metric by its start, from which `offset_s` is taken, as from the range;
    and before it a message where there are several units."""
    found = store.units(asked.namespace, asked.name, asked.dimensions)
    points: dict[str, dict[int, Samples]] = {}
    for stored in found:
        if asked.unit in (None, stored.series.unit):
            rows = store.points(stored.id, start_s + offset_s, end_s + offset_s)
            moved = [(at_s - offset_s, samples) for at_s, samples in rows]
            parts = grouped(moved, start_s, end_s, asked.period_s)
            if parts:
                points[stored.series.unit] = parts
    unit, text = first_unit(list(points))
    return text, {} if unit is None else points[unit]


def _paged(results: Sequence[Found], is_descending: bool, request: Document) -> Document:
    """Returns one page of the results: so many datapoints as a page may have."""
    room = min(request.get("MaxDatapoints", MAX_DATAPOINTS), MAX_DATAPOINTS)
    number, done = _cursor(request.get("NextToken", ""))
    shown: list[Document] = []
    cursor = ""
    for place, found in enumerate(results):
        if place < number:
            continue
        points = sorted(found.series.points.items(), reverse=is_descending)
        start = done if place == number else 0
        kept = points[start : start + room]
        room -= len(kept)
        is_cut = start + len(kept) < len(points)
        shown.append(
            {
                "Id": found.series.id,
                "Label": found.series.label,
                "Timestamps": [float(at_s) for at_s, _ in kept],
                "Values": [value for _, value in kept],
                "StatusCode": "PartialData" if is_cut else "Complete",
            }
            | ({"Messages": list(found.messages)} if found.messages else {})
        )
        if is_cut or (room <= 0 and place + 1 < len(results)):
            cursor = f"{place}:{start + len(kept)}" if is_cut else f"{place + 1}:0"
            break
    answer: Document = {"MetricDataResults": shown, "Messages": []}
    return answer | ({"NextToken": cursor} if cursor else {})


def _cursor(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    number, _, done = text.partition(":")
    if not (number.isdecimal() and done.isdecimal()):
        raise invalid("The NextToken is invalid.", INVALID_TOKEN)
    return int(number), int(done)
