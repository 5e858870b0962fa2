"""Which engines there are, which of them runs `local`, and why."""

from __future__ import annotations

from msgspec import Struct

from batchyard.engines.base import Engine
from batchyard.engines.process import ProcessEngine, ProcessSettings
from batchyard.engines.supervisor.hierarchies import CgroupsUnavailable, find_offer, try_out
from batchyard.server.config import Settings
from batchyard.server.host import MIB
from batchyard.server.places import Places
from batchyard.server.terminal import EXIT_USAGE, Failure

PROCESS = "process"
CGROUP = "cgroup"
SECONDS_PER_DAY = 24 * 3600


class Choice(Struct, frozen=True):
    """The engine of the environment `local`, and the reason to show."""

    name: str
    reason: str


def choose(settings: Settings) -> Choice:
    """Raises Failure for an engine that this version does not have, and for limits that this host can't enforce."""
    if settings.enforce == CGROUP:
        try:
            try_out(find_offer())
        except CgroupsUnavailable as reason:
            raise Failure(f"--enforce cgroup is not possible here: {reason}.", EXIT_USAGE) from reason
    if settings.engine == "docker":
        raise Failure(
            "This version has no Docker engine yet: use --engine process (or auto), which runs jobs as processes.",
            EXIT_USAGE,
        )
    if settings.engine == PROCESS:
        return Choice(PROCESS, "as told")
    return Choice(PROCESS, "auto: the Docker engine is not in this version")


def make_engines(settings: Settings, places: Places) -> dict[str, Engine]:
    """All engines of this version, by name; not started."""
    engine = ProcessEngine(
        places.runtime_dir,
        places.state_dir,
        places.logs_dir,
        places.work_dir,
        ProcessSettings(
            log_limit_bytes=settings.log_limit_mib * MIB,
            idle_seconds=settings.supervisor_idle_seconds,
            keep_failed_seconds=settings.scratch_keep_days * SECONDS_PER_DAY,
            enforce_cgroups=settings.enforce == CGROUP,
        ),
    )
    return {engine.name: engine}
