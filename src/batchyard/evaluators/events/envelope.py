"""The envelope of an event (spec 3.4): what PutEvents makes of an entry, and what TestEventPattern takes for one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.json_text import InvalidJson, minified, parse_json

REQUIRED_IN_TESTS = ("id", "account", "source", "time", "region", "detail-type")
TIME_BYTES = 14  # what AWS counts for the time of an entry


class InvalidEntry(Exception):
    """An entry of PutEvents that fails alone. `code` and `message` are those of its result."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def iso_seconds(at_ms: int) -> str:
    """Returns a time as events have it: whole seconds, `Z`."""
    return _iso(at_ms // 1000)


@lru_cache(maxsize=64)  # events that are made together are mostly of a few seconds
def _iso(at_seconds: int) -> str:
    return datetime.fromtimestamp(at_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def envelope(
    *,
    event_id: str,
    detail_type: str,
    source: str,
    account: str,
    at_ms: int,
    region: str,
    resources: Sequence[str],
    detail: Any,
) -> dict[str, Any]:
    """Returns an event, its members in AWS's order."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": iso_seconds(at_ms),
        "region": region,
        "resources": list(resources),
        "detail": detail,
    }


def event_text(event: dict[str, Any]) -> str:
    """Returns an event as the JSON text that targets get."""
    return minified(event)


def parse_detail(source: str | None, detail_type: str | None, detail: str | None) -> dict[str, Any]:
    """Returns the detail of an entry of PutEvents. Raises InvalidEntry with AWS's text."""
    for name, value in (("Source", source), ("DetailType", detail_type), ("Detail", detail)):
        if not value:
            raise InvalidEntry(
                "InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument."
            )
    try:
        parsed = parse_json(detail or "")
    except InvalidJson as error:
        raise InvalidEntry("MalformedDetail", "Detail is malformed.") from error
    if not isinstance(parsed, dict):
        raise InvalidEntry("MalformedDetail", "Detail is malformed.")
    return parsed


def entry_bytes(
    *, source: str, detail_type: str, detail: str, resources: Sequence[str] = (), has_time: bool = False
) -> int:
    """Returns what an entry counts for, against the limit of a request."""
    texts = (source, detail_type, detail, *resources)
    return TIME_BYTES * has_time + sum(len(text.encode(errors="surrogatepass")) for text in texts)


def parse_test_event(text: str) -> dict[str, Any]:
    """Returns the event of a TestEventPattern. Raises Refused (ValidationException)."""
    try:
        event = parse_json(text)
    except InvalidJson as error:
        raise Refused("Parameter Event is not valid.", "ValidationException") from error
    if not isinstance(event, dict) or any(name not in event for name in REQUIRED_IN_TESTS):
        raise Refused("Parameter Event is not valid.", "ValidationException")
    return event
