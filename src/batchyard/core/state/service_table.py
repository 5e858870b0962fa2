"""The service environments in memory."""

from __future__ import annotations

from batchyard.core.model.service_records import ServiceEnvironment


class Services:
    """Plain tables. `environments`: by name."""

    __slots__ = ("environments",)

    def __init__(self) -> None:
        self.environments: dict[str, ServiceEnvironment] = {}
