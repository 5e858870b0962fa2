"""Live tail: sessions of what is written from their start on, by jobs and by callers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from batchyard.api.context import Call
from batchyard.api.logs import live_tail
from batchyard.core.model.refusal import Refused
from batchyard.observe import live_tail as observed
from batchyard.wire.event_stream import StreamedResult, StreamEvent
from tests.api.service import START_MS, Service
from tests.api.test_log_filters import JOBS, Job

GROUP_ARN = f"arn:aws:logs:us-east-1:123456789012:log-group:{JOBS}"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_tail, "UPDATE_SECONDS", 0.0)


@pytest.fixture
def logs(service: Service) -> Any:
    client = service.client("logs")
    client.create_log_group(logGroupName="/w")
    for name in ("s", "t"):
        client.create_log_stream(logGroupName="/w", logStreamName=name)
    return client


class Session:
    """A session that a test reads update by update."""

    def __init__(self, service: Service, **request: Any) -> None:
        self._runner = asyncio.Runner()
        result = self._runner.run(self._start(service, request))
        assert isinstance(result, StreamedResult)
        self._events: AsyncIterator[StreamEvent] = result.events
        self.start = self.next()

    async def _start(self, service: Service, request: dict[str, Any]) -> Any:
        return await service.handlers["logs", "StartLiveTail"](Call("StartLiveTail"), request)

    def next(self) -> StreamEvent:
        return self._runner.run(anext(self._events))  # type: ignore[arg-type]

    def messages(self) -> list[str]:
        return [event["message"] for event in self.next().content["sessionResults"]]

    def close(self) -> None:
        self._runner.run(self._events.aclose())  # type: ignore[attr-defined]
        self._runner.close()


def put(logs: Any, stream: str, *messages: str) -> None:
    events = [{"timestamp": START_MS, "message": text} for text in messages]
    logs.put_log_events(logGroupName="/w", logStreamName=stream, logEvents=events)


def test_a_session_shows_what_is_written_from_its_start_on(service: Service, logs: Any) -> None:
    running = Job(service)
    running.write("before")
    put(logs, "s", "before")
    service.tick(1)
    session = Session(service, logGroupIdentifiers=[GROUP_ARN, "/w"])
    assert session.start.name == "sessionStart"
    assert session.start.content["logGroupIdentifiers"][0] == GROUP_ARN
    assert session.messages() == []
    running.write("from a job")
    put(logs, "s", "written")
    later = Job(service)
    later.write("from another")
    update = session.next()
    assert update.name == "sessionUpdate"
    assert update.content["sessionMetadata"] == {"sampled": False}
    found = {event["message"]: event for event in update.content["sessionResults"]}
    assert set(found) == {"from a job", "written", "from another"}
    assert found["written"] == {
        "logStreamName": "s",
        "logGroupIdentifier": "123456789012:/w",
        "message": "written",
        "timestamp": START_MS,
        "ingestionTime": START_MS + 1,
    }
    assert session.messages() == []
    session.close()
    assert service.context.live_tails == set()


def test_a_session_may_be_of_some_streams_and_a_pattern(service: Service, logs: Any) -> None:
    named = Session(service, logGroupIdentifiers=["/w"], logStreamNames=["s"], logEventFilterPattern="ERROR")
    begun = Session(service, logGroupIdentifiers=["/w"], logStreamNamePrefixes=["t"])
    put(logs, "s", "ERROR s", "fine")
    put(logs, "t", "ERROR t")
    assert (named.messages(), begun.messages()) == (["ERROR s"], ["ERROR t"])
    named.close()
    begun.close()


def test_more_than_an_update_holds_is_sampled(service: Service, logs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed, "MAX_EVENTS", 3)
    session = Session(service, logGroupIdentifiers=["/w"])
    put(logs, "s", *map(str, range(5)))
    update = session.next().content
    assert update["sessionMetadata"] == {"sampled": True}
    assert [event["message"] for event in update["sessionResults"]] == ["0", "1", "2"]
    session.close()


def test_a_session_ends_after_its_time(service: Service, logs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_tail, "SESSION_SECONDS", 0.0)
    session = Session(service, logGroupIdentifiers=["/w"])
    end = session.next()
    assert (end.name, end.is_exception) == ("SessionTimeoutException", True)
    session.close()


def test_what_cannot_be_watched_is_refused(service: Service, logs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"logGroupIdentifiers": ["/none"]}, "The specified log group does not exist"),
        ({"logGroupIdentifiers": ["/w", JOBS], "logStreamNames": ["s"]}, "only for one log group"),
        ({"logGroupIdentifiers": ["/w"], "logStreamNames": ["s"], "logStreamNamePrefixes": ["t"]}, "Cannot specify"),
        ({"logGroupIdentifiers": ["/w"], "logEventFilterPattern": "{ $.a = }"}, "Invalid filter pattern"),
    ]
    for request, text in wrong:
        with pytest.raises(Refused, match=text):
            service.call("StartLiveTail", request)
    monkeypatch.setattr(live_tail, "MAX_SESSIONS", 0)
    with pytest.raises(Refused, match="live tails run at once"):
        service.call("StartLiveTail", {"logGroupIdentifiers": ["/w"]})
