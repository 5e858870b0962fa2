"""The commands about service environments: writes of the API, with the types of their answers."""

from __future__ import annotations

from typing import Any

from batchyard.core.model.commands import Command
from batchyard.core.model.service_records import ServiceEnvironment


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
