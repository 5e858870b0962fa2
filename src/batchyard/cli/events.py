"""What happened to jobs, from what is stored of their attempts; webhooks; and deliveries of events that failed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from batchyard.cli.client import EVENTS, YARD, Client, ClientError, Document, ServiceError
from batchyard.cli.formats import clock, counted, name_of, table
from batchyard.cli.job_lookup import FINISHED, UNFINISHED, describe, list_jobs, queue_names, short_ids
from batchyard.cli.terminal_output import print_json, say, tell

HEADINGS = ("TIME", "ID", "NAME", "QUEUE", "STATUS", "REASON")
STATUS_COLUMN = 4
FOLLOW_SECONDS = 1.0
PATIENCE_SECONDS = 60.0  # following outlives a restart of the service
RECENT_JOBS = 100  # that are looked at for ones that began and ended between two looks
API_KEY_HEADER = "X-Api-Key"
EXISTS = "ResourceAlreadyExistsException"


class Event(NamedTuple):
    """A change of a job's state. `attempt`: its number; 0: it is of none."""

    at_ms: int
    job_id: str
    name: str
    queue: str
    status: str
    reason: str
    attempt: int = 0


def events_of(job: Document) -> list[Event]:
    """Returns what DescribeJobs shows of a job's past, oldest first: when it was submitted, when its attempts began to
    run and ended, and its own end."""
    about = job["jobId"], job["jobName"], name_of(job["jobQueue"])
    found = [Event(job["createdAt"], *about, "SUBMITTED", "")]
    attempts = job.get("attempts", [])
    is_final = job["status"] in FINISHED
    for number, attempt in enumerate(attempts, 1):
        if attempt.get("startedAt"):
            found.append(Event(attempt["startedAt"], *about, "RUNNING", "", number))
        if attempt.get("stoppedAt") and not (is_final and number == len(attempts)):
            found.append(Event(attempt["stoppedAt"], *about, "RUNNABLE", _reason_of(attempt), number))
    if job["status"] == "RUNNING" and job.get("startedAt"):
        found.append(Event(job["startedAt"], *about, "RUNNING", "", len(attempts) + 1))
    if is_final:
        end_ms = job.get("stoppedAt") or found[-1].at_ms
        reason = _reason_of(attempts[-1]) if attempts and job["status"] == "FAILED" else ""
        found.append(Event(end_ms, *about, job["status"], reason or job.get("statusReason", ""), len(attempts)))
    return found


def _reason_of(attempt: Document) -> str:
    """Returns why an attempt ended: the container's reason, or its exit code."""
    container = attempt.get("container", {})
    if container.get("reason"):
        return str(container["reason"])
    code = container.get("exitCode")
    return str(attempt.get("statusReason", "")) if code is None else f"exit code {code}"


def show_events(client: Client, queue: str | None, limit: int, *, as_json: bool) -> int:
    """Prints the past of the newest `limit` jobs (0: of all), oldest event first."""
    jobs = list_jobs(client, [queue] if queue else queue_names(client), (), limit)
    details = describe(client, [job["jobId"] for job in jobs])
    events = sorted(event for job in details for event in events_of(job))
    _print(events, as_json=as_json, has_headings=True)
    if not as_json:
        tell(f"{counted(len(events), 'event')} of {counted(len(jobs), 'job')}.")
        _hint_at_failures(client)
    return 0


def follow_events(client: Client, queue: str | None, *, as_json: bool) -> int:
    """Prints events from now on, until Ctrl-C."""
    client.patience_seconds = PATIENCE_SECONDS
    follower = Follower(client, queue)
    has_headings = True
    try:
        while True:
            events = follower.look()
            _print(events, as_json=as_json, has_headings=has_headings)
            has_headings = has_headings and not events
            time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        return 0


class Follower:
    """Looks at the jobs again and again. What it has missed between two looks is in the attempts, so that it returns it
    with the time at which it was."""

    def __init__(self, client: Client, queue: str | None) -> None:
        self._client, self._queue = client, queue
        self._seen: dict[str, int] = {}  # by unfinished job: how many of its events were returned, or were before
        self._summaries: dict[str, Document] = {}  # of all that were listed at the last look
        self._ended: dict[str, None] = {}
        self._is_first = True

    def look(self) -> list[Event]:
        """Returns the events since the last look, oldest first; the first look finds none."""
        queues = [self._queue] if self._queue else queue_names(self._client)
        listed = [*list_jobs(self._client, queues, UNFINISHED, 0), *list_jobs(self._client, queues, (), RECENT_JOBS)]
        summaries = {job["jobId"]: job for job in listed}
        changed = [one for one, job in summaries.items() if job != self._summaries.get(one)]
        left = [one for one in self._seen if one not in summaries]  # ended, and not among the newest
        wanted = [one for one in [*left, *changed] if one not in self._ended]
        self._summaries = summaries
        found: list[Event] = []
        for job in describe(self._client, wanted):
            events, seen = events_of(job), self._seen.get(job["jobId"], 0)
            if not self._is_first:
                found += events[seen:]
            if job["status"] in FINISHED:
                self._ended[job["jobId"]] = None
                self._seen.pop(job["jobId"], None)
            else:
                self._seen[job["jobId"]] = len(events)
        self._is_first = False
        self._ended = {one: None for one in summaries if one in self._ended}
        return sorted(found)


def _print(events: Sequence[Event], *, as_json: bool, has_headings: bool) -> None:
    if as_json:
        for event in events:
            print_json(event._asdict(), line=True)
        return
    if not events:
        return
    short = short_ids([event.job_id for event in events])
    rows = [
        (clock(one.at_ms), short[one.job_id], one.name, one.queue, one.status, " ".join(one.reason.split()))
        for one in events
    ]
    text = table(HEADINGS, rows, status_column=STATUS_COLUMN)
    say(text if has_headings else text.partition("\n")[2])


# -- failed deliveries --


def show_failures(client: Client, *, as_json: bool) -> int:
    """Prints the deliveries that were given up, newest first, and how many wait."""
    answer = client.call("ListDeliveries", {}, YARD)
    if as_json:
        print_json(answer)
        return 0
    rows = [
        (clock(one["failedAt"]), name_of_target(one["target"]), one["errorCode"], str(one["retries"]), one["error"])
        for one in answer["failed"]
    ]
    if rows:
        say(table(("FAILED", "TARGET", "CODE", "RETRIES", "ERROR"), rows))
    waiting = [(name_of_target(one["target"]), str(one["count"])) for one in answer["waiting"]]
    if waiting:
        say(table(("TARGET", "WAITING"), waiting))
    if not rows:
        tell("No delivery was given up." + ("" if waiting else " None is on its way."))
    return 0


def _hint_at_failures(client: Client) -> None:
    failed = client.call("ListDeliveries", {}, YARD)["failed"]
    if failed:
        tell(f"{counted(len(failed), 'event')} could not be delivered to a target: batchyard events failures")


def name_of_target(lane: str) -> str:
    """Returns a lane without the beginning of its ARN: `rule/failed#t1`."""
    return lane.split(":", 5)[-1] if lane.startswith("arn:") else lane


# -- webhooks --


class Webhook(NamedTuple):
    """What `batchyard events webhook` makes: a connection, an API destination, and a rule with both as its target."""

    url: str
    name: str
    statuses: tuple[str, ...]
    queue: str | None
    key: str  # NAME=VALUE of a header; the value proves to the receiver who sends


def make_webhook(client: Client, webhook: Webhook, *, as_json: bool) -> int:
    """Has events of jobs sent to a URL. Again with the same name, it is changed."""
    header, found, value = webhook.key.partition("=")
    if urlsplit(webhook.url).scheme not in ("http", "https") or not urlsplit(webhook.url).hostname:
        raise ClientError(f"{webhook.url} is no http or https URL.")
    if not found or not header or not value:
        raise ClientError(f"--key must be NAME=VALUE, such as {API_KEY_HEADER}=secret.")
    name = webhook.name
    auth = {"ApiKeyAuthParameters": {"ApiKeyName": header, "ApiKeyValue": value}}
    connection = _put(client, "Connection", {"Name": name, "AuthorizationType": "API_KEY", "AuthParameters": auth})
    destination = _put(
        client,
        "ApiDestination",
        {
            "Name": name,
            "ConnectionArn": connection["ConnectionArn"],
            "InvocationEndpoint": webhook.url,
            "HttpMethod": "POST",
        },
    )
    pattern = _pattern(client, webhook)
    rule = client.call("PutRule", {"Name": name, "EventPattern": pattern}, EVENTS)
    target = {"Id": "webhook", "Arn": destination["ApiDestinationArn"]}
    answer = client.call("PutTargets", {"Rule": name, "Targets": [target]}, EVENTS)
    for failure in answer["FailedEntries"]:
        raise ClientError(failure["ErrorMessage"])
    if as_json:
        print_json({"RuleArn": rule["RuleArn"], "ApiDestinationArn": destination["ApiDestinationArn"]})
    else:
        what = ", ".join(webhook.statuses) or "every state"
        say(f"Rule {name}: events of jobs ({what}) are sent to {urlsplit(webhook.url).netloc}.")
    return 0


def _pattern(client: Client, webhook: Webhook) -> str:
    import json

    detail: dict[str, Any] = {}
    if webhook.statuses:
        detail["status"] = list(webhook.statuses)
    if webhook.queue:
        found = client.call("DescribeJobQueues", {"jobQueues": [webhook.queue]})["jobQueues"]
        if not found:
            raise ClientError(f"There is no queue {webhook.queue}: `batchyard queues` lists those there are.")
        detail["jobQueue"] = [found[0]["jobQueueArn"]]
    pattern: dict[str, Any] = {"source": ["aws.batch"], "detail-type": ["Batch Job State Change"]}
    return json.dumps(pattern | ({"detail": detail} if detail else {}))


def _put(client: Client, kind: str, request: Document) -> Document:
    """Makes a connection or an API destination, or changes the one of this name."""
    try:
        return client.call(f"Create{kind}", request, EVENTS)
    except ServiceError as refusal:
        if refusal.code != EXISTS:
            raise
    return client.call(f"Update{kind}", request, EVENTS)
