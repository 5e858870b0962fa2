"""PutMetricData and ListMetrics (observability spec 9.1, 9.2)."""

from __future__ import annotations

from collections.abc import Callable

from batchyard.api.cloudwatch.requests import (
    COMBINATION,
    MISSING,
    dimensions_document,
    dimensions_in,
    invalid,
    metrics_of,
    page,
)
from batchyard.api.context import Call, Context
from batchyard.evaluators.metrics.metric_data import NEWEST_S, OLDEST_S, read_datum
from batchyard.store.metrics.metric_store import LAST_SEEN_SECONDS, UNITS, TooManySeries
from batchyard.store.metrics.series import Datum, Series, dimensions_text
from batchyard.wire.messages import Document

MAX_DATA = 1000  # API: PutMetricData
OWN_NAMESPACES = ("AWS/Batch",)  # its metrics are counts of what jobs did
RESOLUTIONS = (1, 60)
LIST_PAGE = 500  # API: ListMetrics
RECENT_SECONDS = 3 * 3600
RECENTLY_ACTIVE = "PT3H"
MAX_FILTERS = 10


async def put_metric_data(context: Context, call: Call, request: Document) -> Document:
    """Namespace and MetricData."""
    namespace = request["Namespace"]
    if namespace.startswith(":"):
        raise invalid("The parameter Namespace must not start with a colon.")
    if namespace in OWN_NAMESPACES:
        raise invalid(
            f"The value {namespace} for parameter Namespace is invalid: its metrics are made by this service alone. "
            "Put yours into a namespace of your own."
        )
    if request.get("EntityMetricData"):
        raise invalid("EntityMetricData is not built here: put the data as MetricData.", COMBINATION)
    entries = request.get("MetricData", [])
    if not entries:
        raise invalid("The parameter MetricData is required.", MISSING)
    if len(entries) > MAX_DATA:
        raise invalid(f"The collection MetricData must not have a size greater than {MAX_DATA}.")
    metrics = metrics_of(context)
    now_s = metrics.now_ms() / 1000
    data = [_datum(namespace, entry, number, now_s) for number, entry in enumerate(entries, 1)]
    try:
        await context.read(metrics.store.put, data)
    except TooManySeries as error:
        raise invalid(str(error), "LimitExceeded") from error
    return {}


def _datum(namespace: str, entry: Document, number: int, now_s: float) -> Datum:
    samples = read_datum(entry, number, now_s)
    where = f"MetricData.member.{number}"
    unit, resolution_s = entry.get("Unit", "None"), entry.get("StorageResolution", 60)
    if unit not in UNITS:
        raise invalid(f"The parameter {where}.Unit must be a value in the set [{', '.join(UNITS)}].")
    if resolution_s not in RESOLUTIONS:
        raise invalid(f"The parameter {where}.StorageResolution must be a value in the set [1, 60].")
    dimensions = dimensions_in(entry.get("Dimensions", []), f"{where}.Dimensions")
    at_s = int(entry.get("Timestamp", now_s))
    return Datum(Series(namespace, entry["MetricName"], dimensions, unit), at_s, samples, resolution_s)


async def list_metrics(context: Context, call: Call, request: Document) -> Document:
    """Namespace, MetricName, Dimensions, RecentlyActive -> Metrics that had data in the last two weeks, in pages."""
    if request.get("IncludeLinkedAccounts") or request.get("OwningAccount"):
        raise invalid("There is one account here: leave IncludeLinkedAccounts and OwningAccount out.", COMBINATION)
    active = request.get("RecentlyActive")
    if active not in (None, RECENTLY_ACTIVE):
        raise invalid(f"The parameter RecentlyActive must be {RECENTLY_ACTIVE}.")
    filters = request.get("Dimensions", [])
    if len(filters) > MAX_FILTERS:
        raise invalid(f"The collection Dimensions must not have a size greater than {MAX_FILTERS}.")
    metrics = metrics_of(context)
    now_s = metrics.now_ms() / 1000
    since_s = now_s - (RECENT_SECONDS if active else OLDEST_S)
    fits = _filter(request, filters)

    def find() -> list[tuple[str, Series]]:
        found = {
            stored.series._replace(unit="")
            for stored in metrics.store.series()
            if since_s <= stored.last_s + LAST_SEEN_SECONDS
            and stored.last_s <= now_s + NEWEST_S
            and fits(stored.series)
        }
        return sorted((_sort_key(series), series) for series in found)

    rows = await context.read(find)
    shown, cursor = page(rows, request.get("NextToken", ""), LIST_PAGE)
    answer: Document = {"Metrics": [_metric(series) for series in shown]}
    return answer | ({"NextToken": cursor} if cursor else {})


def _filter(request: Document, filters: list[Document]) -> Callable[[Series], bool]:
    def fits(series: Series) -> bool:
        if "Namespace" in request and series.namespace != request["Namespace"]:
            return False
        if "MetricName" in request and series.name != request["MetricName"]:
            return False
        own = dict(series.dimensions)
        return all(
            wanted["Name"] in own and wanted.get("Value", own[wanted["Name"]]) == own[wanted["Name"]]
            for wanted in filters
        )

    return fits


def _sort_key(series: Series) -> str:
    dimensions = dimensions_text(series.dimensions) if series.dimensions else ""  # those without come first
    return f"{series.namespace}\t{series.name}\t{dimensions}"


def _metric(series: Series) -> Document:
    dimensions = dimensions_document(series.dimensions)
    return {"Namespace": series.namespace, "MetricName": series.name, "Dimensions": dimensions}
