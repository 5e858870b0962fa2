"""Sends spans and metrics to a collector by OTLP over HTTP, with OpenTelemetry's own library (the extra `otel`).

Headers, certificates, time-outs and the resource's attributes are taken from OpenTelemetry's variables
(OTEL_EXPORTER_OTLP_HEADERS and the like), as in every other program."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from batchyard.server.telemetry.job_spans import JobSpan
from batchyard.store.metrics.series import Datum
from batchyard.version import VERSION

NS_PER_MS = 1_000_000
NS_PER_SECOND = 1_000_000_000
SCOPE = InstrumentationScope("batchyard", VERSION)
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
UNITS = {"Count": "1", "Milliseconds": "ms", "Megabytes": "MBy", "None": "1"}  # CloudWatch's -> UCUM
COUNTED, MEASURED = "JobQueueName", "Milliseconds"  # a dimension, and a unit: see _metric


class Collector:
    """One collector, by its base URL (`http://127.0.0.1:4318`). Its methods block, until a time-out at the longest."""

    def __init__(self, endpoint: str, attributes: dict[str, str]) -> None:
        # Its failures are reported by the caller, once for many.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        base = endpoint.rstrip("/")
        self._resource = Resource.create({"service.name": "batchyard", "service.version": VERSION} | attributes)
        self._spans = OTLPSpanExporter(f"{base}/v1/traces")
        self._metrics = OTLPMetricExporter(f"{base}/v1/metrics")

    def send_spans(self, spans: Iterable[JobSpan]) -> bool:
        """Returns whether the collector has taken them."""
        made = [_readable(span, self._resource) for span in spans]
        return not made or self._spans.export(made) is SpanExportResult.SUCCESS

    def send_metrics(self, data: Sequence[Datum]) -> bool:
        """Returns whether the collector has taken them."""
        metrics = [_metric(datum) for datum in data]
        scope = ScopeMetrics(SCOPE, metrics, "")
        sent = self._metrics.export(MetricsData([ResourceMetrics(self._resource, [scope], "")]))
        return not metrics or sent is MetricExportResult.SUCCESS

    def close(self) -> None:
        """Ends the pauses between tries of what is being sent."""
        self._spans.shutdown()  # type: ignore[no-untyped-call]
        self._metrics.shutdown()


def _readable(span: JobSpan, resource: Resource) -> ReadableSpan:
    def context(span_id: str) -> SpanContext:
        return SpanContext(int(span.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=SAMPLED)

    return ReadableSpan(
        name=span.name,
        context=context(span.span_id),
        parent=context(span.parent_id) if span.parent_id else None,
        resource=resource,
        attributes=span.attributes,
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
        start_time=span.start_ms * NS_PER_MS,
        end_time=span.end_ms * NS_PER_MS,
        instrumentation_scope=SCOPE,
    )


def _metric(datum: Datum) -> Metric:
    """Returns a period of a series: what AWS counts by queue as a sum of the period, durations as a histogram without
    bounds, and everything else as a gauge. Its name is that of CloudWatch's metric streams."""
    series, samples = datum.series, datum.samples
    attributes = dict(series.dimensions)
    start, end = datum.at_s * NS_PER_SECOND, (datum.at_s + datum.resolution_s) * NS_PER_SECOND
    measured: Sum | Gauge | Histogram
    if series.unit == MEASURED:
        point = HistogramDataPoint(
            attributes, start, end, int(samples.sample_count), samples.total, [int(samples.sample_count)], [],
            samples.minimum, samples.maximum,
        )  # fmt: skip
        measured = Histogram([point], AggregationTemporality.DELTA)
    elif COUNTED in attributes:
        number = NumberDataPoint(attributes, start, end, samples.total)
        measured = Sum([number], AggregationTemporality.DELTA, is_monotonic=True)
    else:
        measured = Gauge([NumberDataPoint(attributes, start, end, samples.total / samples.sample_count)])
    return Metric(f"{series.namespace}/{series.name}", "", UNITS.get(series.unit, "1"), measured)
