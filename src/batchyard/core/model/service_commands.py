"""The commands about service environments, service jobs and quota shares: writes of the API, with the types of their
answers."""

from __future__ import annotations

from typing import Any

from batchyard.core.model.commands import Command
from batchyard.core.model.service_records import QuotaShare, ServiceEnvironment, ServiceJob


class CreateServiceEnvironment(Command[ServiceEnvironment], frozen=True):
    name: str
    type: str
    state: str
    capacity_limits: tuple[dict[str, Any], ...]
    tags: dict[str, str]


class UpdateServiceEnvironment(Command[ServiceEnvironment], frozen=True):
    """Members that are empty stay as they are."""

    name: str
    state: str = ""
    capacity_limits: tuple[dict[str, Any], ...] = ()


class DeleteServiceEnvironment(Command[None], frozen=True):
    name: str


class SubmitServiceJob(Command[ServiceJob], frozen=True):
    """`document`, `client_token` and `request_key`: as the record has them. A request that an SDK repeats gets the
    first answer again."""

    job_id: str
    name: str
    queue: str
    type: str
    document: dict[str, Any]
    tags: dict[str, str]
    share_identifier: str = ""
    quota_share: str = ""
    scheduling_priority: int | None = None
    client_token: str = ""
    request_key: str = ""


class UpdateServiceJob(Command[ServiceJob], frozen=True):
    job_id: str
    scheduling_priority: int


class TerminateServiceJob(Command[None], frozen=True):
    job_id: str
    reason: str


class CreateQuotaShare(Command[QuotaShare], frozen=True):
    name: str
    queue: str
    state: str
    capacity_limits: tuple[dict[str, Any], ...]
    sharing: dict[str, Any]
    preemption: dict[str, Any]
    tags: dict[str, str]


class UpdateQuotaShare(Command[QuotaShare], frozen=True):
    """`path`: quota_share_path. Members that are empty or None stay as they are."""

    path: str
    state: str = ""
    capacity_limits: tuple[dict[str, Any], ...] = ()
    sharing: dict[str, Any] | None = None
    preemption: dict[str, Any] | None = None


class DeleteQuotaShare(Command[None], frozen=True):
    path: str
