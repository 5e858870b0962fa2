"""Finds jobs: over all queues and states, and by the short ids that users type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from batchyard.cli.client import Client, ClientError, Document
from batchyard.cli.formats import SHORT_ID, name_of

UNFINISHED = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
FINISHED = ("SUCCEEDED", "FAILED")
FULL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}([:#]\d+)?")
SHORT = re.compile(r"([0-9a-f-]+)([:#]\d+)?")
MAX_DESCRIBE_IDS = 100  # DescribeJobs takes no more in one call
SHOWN_MATCHES = 5  # of an ambiguous id


def queue_names(client: Client) -> list[str]:
    return [queue["jobQueueName"] for queue in _pages(client, "DescribeJobQueues", {}, "jobQueues")]


def list_jobs(client: Client, queues: Sequence[str], statuses: Sequence[str], limit: int) -> list[Document]:
    """Returns summaries, newest first, at most `limit` (0: all); each with its `jobQueue`, which ListJobs leaves
    out."""
    found: list[Document] = []
    for queue in queues:
        if not statuses:
            # Only a filter lists all states at once; its order is newest first (Batch API, ListJobsRequest).
            filters = [{"name": "AFTER_CREATED_AT", "values": ["0"]}]
            found += _take(client, {"jobQueue": queue, "filters": filters}, queue, limit)
        for status in statuses:
            found += _take(client, {"jobQueue": queue, "jobStatus": status}, queue, limit)
    # A job that changes its state meanwhile may be listed twice: the later entry counts.
    latest = {job["jobId"]: job for job in found}
    jobs = sorted(latest.values(), key=lambda job: (-int(job["createdAt"]), job["jobId"]))
    jobs = jobs[:limit] if limit else jobs
    _add_progress(client, jobs)
    return jobs


def list_children(client: Client, parent_id: str, status: str) -> Iterator[Document]:
    return _pages(client, "ListJobs", {"arrayJobId": parent_id, "jobStatus": status}, "jobSummaryList")


def describe(client: Client, job_ids: Sequence[str]) -> list[Document]:
    """Returns details of those of the jobs that exist."""
    details: list[Document] = []
    for start in range(0, len(job_ids), MAX_DESCRIBE_IDS):
        details += client.call("DescribeJobs", {"jobs": list(job_ids[start : start + MAX_DESCRIBE_IDS])})["jobs"]
    return details


def describe_one(client: Client, job_id: str) -> Document:
    details = describe(client, [job_id])
    if not details:
        raise ClientError(f"There is no job {job_id}: `batchyard jobs --all` lists those there are.")
    return details[0]


def resolve(client: Client, text: str) -> str:
    """Returns the job id for an id, an ARN, or at least the first 8 characters of an id (`3f2b8c1e`, `3f2b8c1e:7`)."""
    return resolve_all(client, [text])[0]


def resolve_all(client: Client, texts: Sequence[str]) -> list[str]:
    """Resolves several ids like `resolve`. The jobs are listed once, where one of them is no complete id."""
    known: list[str] | None = None
    found = []
    for text in (name_of(one.strip()) for one in texts):
        if FULL_ID.fullmatch(text):
            found.append(text)
            continue
        parts = SHORT.fullmatch(text)
        if parts is None or len(parts[1]) < SHORT_ID:
            raise ClientError(
                f"{text!r} is not a job id: give the whole id, or at least its first {SHORT_ID} characters."
            )
        if known is None:
            known = _all_ids(client)
        found.append(_beginning_with(parts[1], known) + (parts[2] or ""))
    return found


def _all_ids(client: Client) -> list[str]:
    states = (*UNFINISHED, *FINISHED)
    return sorted({job["jobId"] for queue in queue_names(client) for job in list_states(client, queue, states)})


def _beginning_with(head: str, known: Sequence[str]) -> str:
    matches = [job_id for job_id in known if job_id.startswith(head)]
    if not matches:
        raise ClientError(f"No job's id begins with {head}: `batchyard jobs --all` lists those there are.")
    if len(matches) > 1:
        shown = ", ".join(matches[:SHOWN_MATCHES]) + (", ..." if len(matches) > SHOWN_MATCHES else "")
        raise ClientError(f"{len(matches)} jobs' ids begin with {head}: {shown}. Give more of it.")
    return matches[0]


def list_states(client: Client, queue: str, statuses: Sequence[str]) -> Iterator[Document]:
    """Returns summaries of a queue's jobs in these states."""
    for status in statuses:
        yield from _pages(client, "ListJobs", {"jobQueue": queue, "jobStatus": status}, "jobSummaryList")


def short_ids(job_ids: Sequence[str]) -> dict[str, str]:
    """Returns each id's shortest beginning, of 8 characters or more, that no other of them has."""
    length = SHORT_ID
    while len({job_id[:length] for job_id in job_ids}) < len(set(job_ids)):
        length += 1
    return {job_id: job_id[:length] for job_id in job_ids}


def _take(client: Client, request: Document, queue: str, limit: int) -> list[Document]:
    jobs: list[Document] = []
    for job in _pages(client, "ListJobs", request, "jobSummaryList"):
        jobs.append({**job, "jobQueue": queue})
        if limit and len(jobs) >= limit:
            break
    return jobs


def _add_progress(client: Client, jobs: list[Document]) -> None:
    """Adds counts of children where the summaries do not have them."""
    parents = {job["jobId"]: job for job in jobs if "size" in (job.get("arrayProperties") or {})}
    missing = [job_id for job_id, job in parents.items() if "statusSummary" not in job["arrayProperties"]]
    for detail in describe(client, missing):
        parents[detail["jobId"]]["arrayProperties"] = detail["arrayProperties"]


def _pages(client: Client, operation: str, request: Document, member: str) -> Iterator[Document]:
    while True:
        response = client.call(operation, request)
        yield from response[member]
        token = response.get("nextToken")
        if not token:
            return
        request = {**request, "nextToken": token}
