"""The commands about service environments and service jobs: writes of the API, with the types of their answers."""

from __future__ import annotations

from typing import Any

from batchyard.core.model.commands import Command
from batchyard.core.model.service_records import ServiceEnvironment, ServiceJob


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
