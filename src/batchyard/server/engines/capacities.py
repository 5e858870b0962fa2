"""The capacity providers of a server."""

from __future__ import annotations

import random

from batchyard.core.model.records import HOST_PROVIDER, JOINED_PROVIDER
from batchyard.engines.base import Capacity
from batchyard.engines.host import HostCapacity
from batchyard.server.hosts.host_service import HostService
from batchyard.server.hosts.joined_capacity import JoinedCapacity
from batchyard.server.settings.config import Settings


def make_capacities(settings: Settings, hosts: HostService | None = None) -> dict[str, Capacity]:
    """Returns the capacity providers by name: this host, and those that join."""
    host = HostCapacity(
        settings.boot_seconds,
        settings.spot_interruptions_per_hour,
        settings.spot_notice_seconds,
        random.expovariate,
    )
    # Without a port for them there may still be hosts that joined before.
    return {HOST_PROVIDER: host, JOINED_PROVIDER: JoinedCapacity() if hosts is None else hosts.capacity}
