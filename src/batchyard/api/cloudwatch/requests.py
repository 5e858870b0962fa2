"""What the operations of CloudWatch have in common: refusals, dimensions, times, pages (observability spec 2, 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batchyard.api.context import Context, MetricAccess
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.metrics.math_parser import InvalidMath, Node, parse_math
from batchyard.evaluators.metrics.statistics import InvalidStatistic, Statistic, parse_statistic
from batchyard.store.metrics.series import Dimensions, dimensions_of
from batchyard.wire.messages import Document

VALIDATION = "ValidationError"
INVALID_VALUE, COMBINATION, MISSING = "InvalidParameterValue", "InvalidParameterCombination", "MissingParameter"
LATEST_SECOND = 253_402_300_799.0  # of the year 9999
INVALID_TOKEN = "InvalidNextToken"


def invalid(message: str, code: str = INVALID_VALUE) -> Refused:
    return Refused(message, code)


def metrics_of(context: Context) -> MetricAccess:
    assert context.metrics is not None, "this service was started without a store of metrics"
    return context.metrics


def dimensions_in(entries: Sequence[Document], where: str) -> Dimensions:
    """Returns the dimensions of a request, by name. Refused: one is named twice."""
    names = [entry["Name"] for entry in entries]
    if len(set(names)) < len(names):
        raise invalid(f"The parameter {where} has a dimension twice.")
    return dimensions_of((entry["Name"], entry["Value"]) for entry in entries)


def dimensions_document(dimensions: Dimensions) -> list[Document]:
    return [{"Name": name, "Value": value} for name, value in dimensions]


def statistic_named(name: str) -> Statistic:
    """Returns a statistic by CloudWatch's name. Refused: there is none."""
    try:
        return parse_statistic(name)
    except InvalidStatistic as error:
        raise invalid(f"The value {name} for parameter Stat is not supported: {error}.") from error


def expression_of(text: str, identifier: str) -> Node:
    """Returns an expression of metric math. Refused: it cannot be read."""
    try:
        return parse_math(text)
    except InvalidMath as error:
        raise math_error(error, identifier) from error


def math_error(error: InvalidMath, identifier: str = "") -> Refused:
    where = f"Error in expression '{identifier}': " if identifier else ""
    return Refused(f"{where}{error}", VALIDATION)


def within_time(at_s: float) -> float:
    """Returns a time of a request, as far as it lies between 1970 and the year 9999: nothing was measured beyond."""
    return min(max(at_s, 0.0), LATEST_SECOND)


def page(rows: Sequence[tuple[str, Any]], after: str, limit: int) -> tuple[list[Any], str]:
    """Returns one page of rows, each with the text by which they are sorted, and the cursor after it; empty: there are
    no more."""
    left = [(key, row) for key, row in rows if key > after]
    return [row for _, row in left[:limit]], left[limit - 1][0] if len(left) > limit else ""
