"""ListServiceJobs (AWS Batch behaviour 2.7): a queue's service jobs by status, or by one filter."""

from __future__ import annotations

from functools import partial

from batchyard.api.batch.job_lists import check_time
from batchyard.api.batch.service_jobs import summary
from batchyard.api.checks import one_filter, quoted, require
from batchyard.api.context import Call, Context
from batchyard.api.pages import page_size, read_page
from batchyard.core.model.names import JOB_QUEUE, resource_name
from batchyard.core.model.records import Status
from batchyard.core.model.service_records import ServiceJob
from batchyard.core.service_jobs.document_kinds import SERVICE_JOB
from batchyard.core.service_jobs.service_jobs import MAX_SERVICE_JOBS
from batchyard.store.queries import Reader
from batchyard.wire.messages import Document

SHARE_FILTERS = ("SHARE_IDENTIFIER", "QUOTA_SHARE_NAME")  # beside these, jobStatus holds too
FILTERS = ("JOB_NAME", "BEFORE_CREATED_AT", "AFTER_CREATED_AT", *SHARE_FILTERS)
MAX_DIGITS = 20  # of a time: more mean the end of all times


class _Wanted:
    """Which jobs of a queue a request asks for, and in which order: oldest first, with a filter newest first."""

    def __init__(self, request: Document) -> None:
        self._name, self._value = one_filter(request.get("filters", []), FILTERS)
        check_time(self._name, self._value)
        self._queue = resource_name(request["jobQueue"], JOB_QUEUE)
        self._status: str | None = request.get("jobStatus")
        if self._name and self._name not in SHARE_FILTERS:
            self._status = None
        elif not self._name and self._status is None:
            self._status = Status.RUNNING

    def page(self, reader: Reader, limit: int, after: str | None) -> tuple[list[ServiceJob], str | None]:
        """At most `limit` jobs behind the cursor `after`, and the next cursor. All are read: they are few."""
        kept, _ = reader.documents(SERVICE_JOB, None, MAX_SERVICE_JOBS)
        found = sorted((job for job in kept if self._has(job)), key=_position, reverse=bool(self._name))
        if after:
            found = [job for job in found if self._is_behind(_position(job), after)]
        cursor = None
        if len(found) > limit:
            created_at_ms, job_id = _position(found[limit - 1])
            cursor = f"{created_at_ms} {job_id}"
        return found[:limit], cursor

    def _is_behind(self, position: tuple[int, str], after: str) -> bool:
        created_at_ms, _, job_id = after.partition(" ")
        last = int(created_at_ms), job_id
        return position < last if self._name else position > last

    def _has(self, job: ServiceJob) -> bool:
        return job.queue == self._queue and self._status in (None, job.status) and self._is_filtered(job)

    def _is_filtered(self, job: ServiceJob) -> bool:
        match self._name:
            case "JOB_NAME":
                name, wanted = job.name.lower(), self._value.lower()
                return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted
            case "BEFORE_CREATED_AT":
                return job.created_at_ms < self._time_ms()
            case "AFTER_CREATED_AT":
                return job.created_at_ms > self._time_ms()
            case "SHARE_IDENTIFIER":
                return job.share_identifier == self._value
            case "QUOTA_SHARE_NAME":
                return job.quota_share == self._value
        return True

    def _time_ms(self) -> int:
        return int(self._value[:MAX_DIGITS])


def _position(job: ServiceJob) -> tuple[int, str]:
    return job.created_at_ms, job.job_id


async def list_service_jobs(context: Context, call: Call, request: Document) -> Document:
    require(request.get("jobQueue"), "jobQueue must be given.")
    wanted = _Wanted(request)
    queue = resource_name(request["jobQueue"], JOB_QUEUE)
    queues, _ = await context.read(context.reader.queues, [queue])
    require(queues, f"Job queue {quoted(queue)} does not exist")
    query = partial(wanted.page, context.reader, page_size(request), request.get("nextToken"))
    found, token = await read_page(context, query)
    return {"jobSummaryList": [summary(job, context.account) for job in found]} | token
