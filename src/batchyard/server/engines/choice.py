"""Makes the engines, and chooses the one of `local`, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from batchyard.core.model.records import Environment
from batchyard.engines.base import Engine
from batchyard.engines.cgroup_hierarchies import CgroupsUnavailable, find_cgroup_support, try_out
from batchyard.engines.docker.engine import DockerEngine, DockerSettings
from batchyard.engines.docker.sockets import Probe
from batchyard.engines.process import ProcessEngine, ProcessSettings
from batchyard.server.admin.terminal import EXIT_USAGE, Failure
from batchyard.server.settings.config import Settings
from batchyard.server.settings.host import MIB
from batchyard.server.settings.paths import Paths

AUTO = "auto"
PROCESS = "process"
DOCKER = "docker"
CGROUP = "cgroup"
SECONDS_PER_DAY = 24 * 3600


class Choice(Struct, frozen=True):
    """The engine of the environment `local`, if that is created now, and the reason to show."""

    name: str
    reason: str


def check_limits(settings: Settings) -> None:
    """Raises Failure for limits that this host can't enforce."""
    if settings.enforce == CGROUP:
        try:
            try_out(find_cgroup_support())
        except CgroupsUnavailable as reason:
            raise Failure(f"--enforce cgroup is not possible here: {reason}.", EXIT_USAGE) from reason


def wants_docker(settings: Settings, environments: Iterable[Environment]) -> bool:
    """Whether to look for Docker: unless settings exclude it, and even then where an environment runs containers."""
    return settings.engine != PROCESS or any(environment.engine == DOCKER for environment in environments)


def choose(settings: Settings, found: Probe | None, problem: str, *, is_new: bool) -> Choice:
    """Chooses the engine of `local`. `problem`: why Docker can't be used, empty when it can. Failure: settings
    require Docker at the first start, and it is absent; later `local` stays as it is, and its jobs wait."""
    if settings.engine == PROCESS:
        return Choice(PROCESS, "as told")
    if settings.engine == DOCKER:
        if is_new and problem:
            raise Failure(f"--engine docker is not possible here: {problem}.", EXIT_USAGE)
        return Choice(DOCKER, "as told")
    if problem:
        return Choice(PROCESS, f"auto: {problem}")
    assert found is not None, "Docker can be used, but was not looked for"
    return Choice(DOCKER, f"auto: {describe(found)}")


def describe(found: Probe) -> str:
    return f"{found.name} {found.version} answers at {found.socket_path}"


def make_engines(
    settings: Settings, paths: Paths, task_open_files: int, now_ms: Callable[[], int]
) -> dict[str, Engine]:
    """Makes the engines that are always present, by name; not started. `task_open_files`: the soft limit that tasks
    get; `now_ms`: the service's clock."""
    engine = ProcessEngine(
        paths.runtime_dir,
        paths.state_dir,
        paths.logs_dir,
        paths.work_dir,
        ProcessSettings(
            log_limit_bytes=settings.log_limit_mib * MIB,
            idle_seconds=settings.supervisor_idle_seconds,
            keep_failed_seconds=settings.scratch_keep_days * SECONDS_PER_DAY,
            task_open_files=task_open_files,
            enforce_cgroups=settings.enforce == CGROUP,
            allow_root_jobs=settings.allow_root_jobs,
        ),
        now_ms,
    )
    return {engine.name: engine}


def docker_maker(
    settings: Settings, paths: Paths, listen: Callable[[str], None] | None = None
) -> Callable[[Path], DockerEngine]:
    """Returns the function that makes the engine of a daemon's socket; not started. `listen`: see DockerSettings."""

    def make(socket_path: Path) -> DockerEngine:
        docker = DockerSettings(log_limit_bytes=settings.log_limit_mib * MIB, listen=listen)
        return DockerEngine(socket_path, paths.state_dir, paths.logs_dir, paths.work_dir, docker)

    return make
