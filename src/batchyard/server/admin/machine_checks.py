"""Checks of this machine: versions, engines, capacity, limits of the kernel."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import sqlite3
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from batchyard.core.model.resources import format_vcpus
from batchyard.engines.cgroup_hierarchies import CgroupsUnavailable, find_cgroup_support
from batchyard.engines.docker import gpus
from batchyard.engines.docker.api import Api, ApiError, DaemonUnreachable
from batchyard.engines.docker.sockets import probe
from batchyard.engines.docker.storage import note_of
from batchyard.engines.gpus import GpuFinder
from batchyard.server.admin.finding import Finding
from batchyard.server.engines.choice import DOCKER, describe
from batchyard.server.settings import host
from batchyard.server.settings.config import Settings
from batchyard.server.settings.offered_gpus import described, offer
from batchyard.version import VERSION

# Descriptors the supervisor holds for one attempt (pidfd, log file, pipe) times attempts that run at once on a large
# machine, and some for connections.
MIN_OPEN_FILES = 4096
DOCKER_TIMEOUT_SECONDS = 5.0  # a healthy daemon answers in milliseconds
MIN_KERNEL = (5, 3)  # pidfd_open, by which the supervisor waits for processes
PACKAGES = ("msgspec", "uvicorn", "uvloop", "httptools", "SQLAlchemy", "typer")


def check_versions() -> Finding:
    parts = [f"Batchyard {VERSION}", f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    missing = []
    for package in PACKAGES:
        try:
            parts.append(f"{package} {version_of(package)}")
        except PackageNotFoundError:
            missing.append(package)
    remedy = f"pip install {' '.join(missing)}" if missing else ""
    return Finding("versions", not missing, ", ".join(parts), remedy)


def check_process_engine() -> Finding:
    numbers = platform.release().split("-")[0].split(".")
    kernel = tuple(int(part) for part in numbers[:2] if part.isdigit())
    if platform.system() != "Linux" or kernel < MIN_KERNEL:
        wanted = ".".join(map(str, MIN_KERNEL))
        detail = f"{platform.system()} {platform.release()}"
        return Finding("process engine", False, detail, f"The process engine needs Linux {wanted} or newer.")
    return Finding("process engine", True, f"ready, on {platform.system()} {platform.release()}")


def check_docker(settings: Settings) -> Finding:
    """Checks whether there is a daemon, and its kind. Its absence is a fault only where it is required by a setting."""
    return asyncio.run(_look_at_docker(settings))


async def _look_at_docker(settings: Settings) -> Finding:
    needed = settings.engine == DOCKER
    try:
        async with asyncio.timeout(DOCKER_TIMEOUT_SECONDS):
            found = await probe(os.environ)
            if not found.problem and found.socket_path is not None:
                return Finding("docker", True, f"{describe(found)}; {await _more_about(found.socket_path)}")
            problem = found.problem
    except TimeoutError:
        problem = f"no answer within {DOCKER_TIMEOUT_SECONDS:g} s"
    except (ApiError, DaemonUnreachable) as error:
        problem = str(error)
    remedy = "Start Docker (Debian: apt-get install docker.io), or use --engine auto." if needed else ""
    return Finding("docker", not needed, f"can't be used: {problem}; jobs of containers would wait", remedy, False)


async def _more_about(socket_path: Path) -> str:
    api = Api(socket_path)
    try:
        await api.negotiate()
        info: dict[str, Any] = await api.json("GET", "/info")
    finally:
        api.close()
    restore = "live-restore" if info.get("LiveRestoreEnabled") else "without live-restore: its restart ends containers"
    return f"storage {info.get('Driver', 'unknown')} ({note_of(info)}), {restore}, {gpus.note_of(gpus.access_of(info))}"


def check_capacity(settings: Settings) -> Finding:
    found = host.detect(settings)
    amounts = found.resources
    detail = f"{format_vcpus(amounts.milli_vcpus)} vCPUs, {amounts.memory_mib} MiB, {amounts.gpus} GPUs for jobs"
    return Finding("capacity", True, f"{detail} ({', '.join(found.notes)})" if found.notes else detail)


def check_gpus(settings: Settings, finder: GpuFinder | None = None) -> Finding:
    """Checks which GPUs there are, and whether there are as many as the settings name. None is no fault."""
    offered = offer((finder or GpuFinder()).find(), settings.gpus)
    found = offered.found
    if found.problem:
        remedy = "Repair the driver (`nvidia-smi` shows its state), or set gpus = 0 if no job needs one."
        return Finding("gpus", False, f"can't be found: {found.problem}", remedy)
    if not any(gpu.uuid for gpu in found.gpus):
        if not offered.gpus:
            return Finding("gpus", True, "none found", present=False)
        seen = f"{len(found.gpus)} by their device files" if found.gpus else "none found"
        detail = f"{seen}; {len(offered.gpus)} offered, by number only"
        return Finding("gpus", True, detail, "To have them found by UUID and watched: pip install 'batchyard[gpu]'.")
    detail = f"{described(offered.gpus) or 'none'} offered, {len(found.gpus)} found by {found.source}"
    if offered.lacks:
        remedy = f"The setting gpus is {settings.gpus}: lower it to {len(found.gpus)}, or leave it out."
        return Finding("gpus", False, f"{detail}, {settings.gpus} set", remedy)
    return Finding("gpus", True, detail)


def check_open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = f"{soft} now, {hard} at most" if hard != resource.RLIM_INFINITY else f"{soft} now, no upper limit"
    fine = hard == resource.RLIM_INFINITY or hard >= MIN_OPEN_FILES  # the supervisor raises its own as far as it may
    remedy = "" if fine else f"Raise the hard limit of open files to {MIN_OPEN_FILES} or more, in limits.conf."
    return Finding("open files", fine, most, remedy)


def check_cgroups(settings: Settings) -> Finding:
    """Checks whether the kernel could enforce the limits of jobs, and how. It is a fault only where a setting
    requires it."""
    asked = settings.enforce == "cgroup"
    try:
        support = find_cgroup_support()
    except CgroupsUnavailable as reason:
        return Finding("cgroups", not asked, f"can't be used; limits are watched: {reason}", present=False)
    missing = [name for name in ("memory", "cpu") if name not in support.controllers]
    limits = "memory" if missing else "memory and CPU weight"
    use = f"held by them: {limits}" if asked else f"--enforce cgroup would hold {limits} of jobs; now memory is watched"
    return Finding("cgroups", True, f"version {support.version}, writable ({', '.join(support.controllers)}); {use}")
