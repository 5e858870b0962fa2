"""The service environments, service jobs and quota shares in memory."""

from __future__ import annotations

from batchyard.core.model.service_records import QuotaShare, ServiceEnvironment, ServiceJob


class ServiceJobs(dict[str, ServiceJob]):
    """Records by id, with the indexes over them. `keep` and `forget` are the only ways to change them."""

    __slots__ = ("by_request", "by_token", "ended")

    def __init__(self) -> None:
        super().__init__()
        self.by_token: dict[str, str] = {}  # client token -> job id
        self.by_request: dict[str, str] = {}  # request key -> job id
        self.ended: dict[str, int] = {}  # job id -> when it ended, in the order of their ends

    def keep(self, job: ServiceJob) -> None:
        """Sets a new job, or the next version of one. Ended ones come in the order of their ends."""
        self[job.job_id] = job
        if job.client_token:
            self.by_token[job.client_token] = job.job_id
        if job.request_key:
            self.by_request[job.request_key] = job.job_id
        if job.stopped_at_ms:
            self.ended.setdefault(job.job_id, job.stopped_at_ms)

    def forget(self, job_id: str) -> None:
        job = self.pop(job_id)
        self.by_token.pop(job.client_token, None)
        self.by_request.pop(job.request_key, None)
        self.ended.pop(job_id, None)

    def first_end_ms(self) -> int | None:
        """Returns when the job ended that ended first; None: none has."""
        return next(iter(self.ended.values()), None)


class Services:
    """Plain tables. `environments`: by name; `shares`: by path."""

    __slots__ = ("environments", "jobs", "shares")

    def __init__(self) -> None:
        self.environments: dict[str, ServiceEnvironment] = {}
        self.jobs = ServiceJobs()
        self.shares: dict[str, QuotaShare] = {}
