"""Reads the logs of jobs as they grow: over the attempts of one job, the children of an array, the nodes of a
multi-node job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import chain, islice
from typing import Any, NamedTuple

from batchyard.cli import streams
from batchyard.cli.client import LOGS, Client, Document, ServiceError
from batchyard.cli.formats import progress, reason_of
from batchyard.cli.job_lookup import FINISHED, MAX_DESCRIBE_IDS, describe, describe_one, list_children
from batchyard.cli.job_nodes import attempt_numbers, node_ids, with_main
from batchyard.cli.streams import Source
from batchyard.cli.terminal_output import StatusLine, flush

MAX_FILTER_STREAMS = 100  # FilterLogEvents takes no more names in one call
# Children and nodes read while they run, each with a request of its own per look; the output of others comes when they
# end.
MAX_LIVE_CHILDREN = 64
FIRST_PAUSE_SECONDS = 0.05  # short jobs are over within a few of these
MAX_PAUSE_SECONDS = 1.0
NOTICE_AFTER_SECONDS = 0.5  # a job that starts at once needs no message about waiting
NO_EXIT_CODE = 1  # the exit code of a failed job that has none


class Event(NamedTuple):
    """One line of output, with its job and log stream; `document` as AWS returns it. `container` is empty where the
    task has one only."""

    job_id: str
    stream: str
    document: Document
    container: str = ""

    @property
    def at_ms(self) -> int:
        return int(self.document["timestamp"])


Write = Callable[[Event], None]


def is_final(job: Document) -> bool:
    return job["status"] in FINISHED


def is_array(job: Document) -> bool:
    return "size" in (job.get("arrayProperties") or {})


def exit_code(detail: Document) -> int:
    """Returns the job's exit code; never 0 for a job that failed."""
    if detail["status"] == "SUCCEEDED":
        return 0
    return streams.recorded_exit_code(detail) or NO_EXIT_CODE


class JobTail:
    """The log of one job, attempt after attempt, its containers' lines by time. `advance` returns what is new; once
    the job is final, all of it. With `last_attempt` it is done when that one has ended. `container`: only that one's
    lines."""

    def __init__(
        self,
        client: Client,
        job_id: str,
        first_attempt: int = 1,
        last_attempt: int | None = None,
        container: str = "",
    ) -> None:
        self.highest_exit_code = 0
        self.on_retry: Callable[[int, Document], object] = lambda number, attempt: None  # after its last line
        self._client = client
        self._job_id = job_id
        self._position = first_attempt - 1
        self.last_attempt = last_attempt
        self._container = container
        self._tokens: dict[str, str] = {}  # by stream

    def advance(self, detail: Document) -> Iterator[Event]:
        """Returns new events. `detail` was read before: the output of the attempts that it shows as finished is
        complete in their streams."""
        if is_final(detail):
            self.highest_exit_code = exit_code(detail)
        finished = len(detail.get("attempts", []))
        attempts = streams.sources(detail, self._container)
        for position, found in list(enumerate(attempts))[self._position : self.last_attempt]:
            yield from merge(*map(self._drain, found), key=lambda event: event.at_ms)
            if position < finished:
                self._position, self._tokens = position + 1, {}
                if position + 1 < finished or not is_final(detail):
                    self.on_retry(position + 1, detail["attempts"][position])

    def is_done(self, detail: Document) -> bool:
        return is_final(detail) or (
            self.last_attempt is not None and len(detail.get("attempts", [])) >= self.last_attempt
        )

    def _drain(self, source: Source) -> Iterator[Event]:
        name = source.stream
        while True:
            request: dict[str, Any] = {"logGroupName": source.group, "logStreamName": name, "startFromHead": True}
            if name in self._tokens:
                request["nextToken"] = self._tokens[name]
            try:
                page = self._client.call("GetLogEvents", request, LOGS)
            except ServiceError as error:
                if error.code != "ResourceNotFoundException":
                    raise
                return  # its attempt ended before it ran: there is no stream
            for document in page["events"]:
                yield Event(self._job_id, name, document, source.container)
            token = page["nextForwardToken"]
            if token == self._tokens.get(name):
                return
            self._tokens[name] = token


class ArrayTail:
    """The logs of an array's children: some while they run, and all complete once the array is final."""

    def __init__(self, client: Client, parent_id: str, container: str = "") -> None:
        self.highest_exit_code = 0
        self._client = client
        self._parent_id = parent_id
        self._container = container
        self._live: dict[str, JobTail] = {}
        self._closed: set[str] = set()

    def advance(self, detail: Document) -> Iterator[Event]:
        counts = detail["arrayProperties"].get("statusSummary") or {}
        if not is_final(detail):
            running = [
                child["jobId"]
                for child in islice(list_children(self._client, self._parent_id, "RUNNING"), MAX_LIVE_CHILDREN)
            ]
            for child in describe(self._client, running):
                if child["jobId"] not in self._closed and not is_final(child):
                    tail = self._live.setdefault(child["jobId"], self._tail(child["jobId"]))
                    yield from tail.advance(child)
        if is_final(detail) or sum(counts.get(status, 0) for status in FINISHED) > len(self._closed):
            yield from self._finish()

    def is_done(self, detail: Document) -> bool:
        return is_final(detail)

    def _tail(self, job_id: str) -> JobTail:
        return JobTail(self._client, job_id, container=self._container)

    def _finish(self) -> Iterator[Event]:
        ended: list[str] = []
        for status in FINISHED:
            for child in list_children(self._client, self._parent_id, status):
                if child["jobId"] not in self._closed:
                    ended.append(child["jobId"])
                    self.highest_exit_code = max(self.highest_exit_code, exit_code(child))
        ended.sort(key=lambda job_id: int(job_id.rpartition(":")[2]))
        for start in range(0, len(ended), MAX_DESCRIBE_IDS):
            details = describe(self._client, ended[start : start + MAX_DESCRIBE_IDS])
            for child in details:
                tail = self._live.pop(child["jobId"], None)
                if tail is not None:
                    yield from tail.advance(child)
                    self._closed.add(child["jobId"])
            yield from self._whole([child for child in details if child["jobId"] not in self._closed])
            self._closed.update(child["jobId"] for child in details)

    def _whole(self, children: Sequence[Document]) -> Iterator[Event]:
        """Returns the logs of children that ended unwatched, many streams with each call."""
        owners: dict[str, tuple[str, str]] = {}
        groups: dict[str, list[str]] = {}
        for child in children:
            for source in chain.from_iterable(streams.sources(child, self._container)):
                owners[source.stream] = child["jobId"], source.container
                groups.setdefault(source.group, []).append(source.stream)
        chunks = [
            (group, names[start : start + MAX_FILTER_STREAMS])
            for group, names in groups.items()
            for start in range(0, len(names), MAX_FILTER_STREAMS)
        ]
        for group, chunk in chunks:
            request: dict[str, Any] = {"logGroupName": group, "logStreamNames": chunk}
            while True:
                page = self._client.call("FilterLogEvents", request, LOGS)
                for document in page["events"]:
                    name = document["logStreamName"]
                    job_id, container = owners[name]
                    yield Event(job_id, name, document, container)
                if not page.get("nextToken"):
                    break
                request["nextToken"] = page["nextToken"]


class NodesTail:
    """The logs of a multi-node job's nodes, their lines by time: of the first nodes while they run, and all complete
    once the job is final. Attempts are the job's; with `last_attempt` it is done when that one has ended."""

    def __init__(
        self,
        client: Client,
        job_id: str,
        count: int,
        first_attempt: int = 1,
        last_attempt: int | None = None,
        container: str = "",
    ) -> None:
        self.highest_exit_code = 0  # the main node's, which is the job's
        self.on_retry: Callable[[int, Document], object] = lambda number, attempt: None
        self._client = client
        self._ids = node_ids(job_id, count)
        self._first_attempt = first_attempt
        self._last_attempt = last_attempt
        self._container = container
        self._retried = first_attempt - 1  # the attempts reported to on_retry
        self._tails: dict[str, JobTail] = {}

    def advance(self, detail: Document) -> Iterator[Event]:
        """Returns new events. `detail` was read before, and nodes are read after it: those of a final job are final."""
        nodes = describe(self._client, self._ids if is_final(detail) else self._ids[:MAX_LIVE_CHILDREN])
        found = [self._tail(detail, node).advance(node) for node in nodes]
        yield from merge(*found, key=lambda event: event.at_ms)
        ended = (detail.get("attempts") or [])[: self._last_attempt]
        for number in range(self._retried + 1, len(ended) + 1):
            if number < len(ended) or not is_final(detail):
                self.on_retry(number, ended[number - 1])
        self._retried = max(self._retried, len(ended))
        if is_final(detail):
            self.highest_exit_code = exit_code(with_main(detail, nodes))

    @property
    def note(self) -> str:
        """Which nodes are not read while they run; empty: all are."""
        if len(self._ids) <= MAX_LIVE_CHILDREN:
            return ""
        return (
            f"Of {len(self._ids)} nodes the first {MAX_LIVE_CHILDREN} are followed while they run; the lines of the "
            "others come when the job has ended."
        )

    def is_done(self, detail: Document) -> bool:
        return is_final(detail) or (
            self._last_attempt is not None and len(detail.get("attempts") or []) >= self._last_attempt
        )

    def _tail(self, detail: Document, node: Document) -> JobTail:
        """Returns the tail of a node, with its own attempts for those of the job."""
        numbers = attempt_numbers(detail, node)
        tail = self._tails.get(node["jobId"])
        if tail is None:
            before = sum(number < self._first_attempt for number in numbers)
            tail = JobTail(self._client, node["jobId"], 1 + before, container=self._container)
            self._tails[node["jobId"]] = tail
        if self._last_attempt is not None:
            tail.last_attempt = sum(number <= self._last_attempt for number in numbers)
        return tail


Tail = JobTail | ArrayTail | NodesTail


def follow(client: Client, tail: Tail, job_id: str, write: Write, line: StatusLine) -> Document:
    """Writes the log until the tail is done and all of it is written; returns the job's last detail."""
    begun = time.monotonic()
    pause_seconds = FIRST_PAUSE_SECONDS
    if not isinstance(tail, ArrayTail):
        tail.on_retry = lambda number, attempt: _tell_retry(number, attempt, line)
    is_noted = False
    while True:
        detail = describe_one(client, job_id)
        if isinstance(tail, NodesTail) and detail["status"] == "RUNNING" and not is_noted:
            is_noted = True
            if tail.note:
                line.note(tail.note)
        wrote = False
        for event in tail.advance(detail):
            if not wrote:
                line.clear()
            write(event)
            wrote = True
        flush()
        if tail.is_done(detail):
            line.clear()
            return detail
        if time.monotonic() - begun > NOTICE_AFTER_SECONDS:
            _show_progress(detail, line)
        pause_seconds = FIRST_PAUSE_SECONDS if wrote else min(pause_seconds * 1.5, MAX_PAUSE_SECONDS)
        time.sleep(pause_seconds)


def _tell_retry(number: int, attempt: Document, line: StatusLine) -> None:
    flush()
    line.note(f"Attempt {number} {outcome(attempt)}; the job is tried again.")


def _show_progress(detail: Document, line: StatusLine) -> None:
    """Shows what the job waits for, or the progress of an array."""
    counts = (detail.get("arrayProperties") or {}).get("statusSummary") or {}
    started = any(counts.get(status) for status in ("STARTING", "RUNNING", *FINISHED))
    if is_array(detail) and started:
        line.progress(progress(detail["arrayProperties"]))
    elif detail["status"] not in ("STARTING", "RUNNING"):
        reason = reason_of(detail)
        line.show(f"Waiting: {detail['status']}" + (f" ({reason})" if reason else ""))
    else:
        line.clear()


def outcome(attempt: Document) -> str:
    code = (attempt.get("container") or {}).get("exitCode")
    return f"ended with exit code {code}" if code is not None else f"ended: {reason_of(attempt) or 'no exit code'}"
