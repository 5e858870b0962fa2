"""Detects what this machine offers: processors and memory that this process may use, within the limits of its cgroup,
and GPUs."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

from msgspec import Struct

from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.engines.gpus import GpuFinder
from batchyard.server.settings.config import Settings
from batchyard.server.settings.offered_gpus import OfferedGpus, offer, offer_and_remember

MIB = 1 << 20
# Left for the system and this service: a tenth, but no more than 1 GiB, and no less than the service needs itself.
RESERVE_DIVISOR = 10
MAX_RESERVE_MIB = 1024
MIN_RESERVE_MIB = 128
MIN_MEMORY_MIB = 64  # offered on even the smallest machine
LOOPBACK = "127.0.0.1"
ARCHITECTURES = {"x86_64": "X86_64", "amd64": "X86_64", "aarch64": "ARM64", "arm64": "ARM64"}
# Reserved for documentation (RFC 5737): nothing is sent there, it only stands for "somewhere else".
ELSEWHERE = ("192.0.2.1", 9)


class Detected(Struct, frozen=True):
    """The resources that were found, and those that are offered; `notes`: where an amount comes from, in words.
    `address`: of this machine, for others of its network."""

    resources: Resources
    gpus: OfferedGpus
    notes: tuple[str, ...]
    address: str = LOOPBACK
    booted_at_ms: int = 0

    @property
    def gpu_ids(self) -> tuple[int, ...]:
        return tuple(sorted(gpu.device_id for gpu in self.gpus.gpus))


def detect(
    settings: Settings, root: Path = Path("/"), finder: GpuFinder | None = None, state_dir: Path | None = None
) -> Detected:
    """Detects the resources. Amounts in settings replace detected ones, but GPUs that do not exist are not offered.
    `state_dir`: where the numbers of GPUs are kept; None: nothing is written."""
    notes: list[str] = []
    vcpus = settings.vcpus
    if vcpus is None:
        vcpus = detected_vcpus(root)
        notes.append(f"{vcpus} vCPUs found")
    memory_mib = settings.memory
    if memory_mib is None:
        total_mib = detected_memory_mib(root)
        memory_mib = offered_memory_mib(total_mib)
        notes.append(f"{memory_mib} of {total_mib} MiB of memory offered")
    found = (finder or GpuFinder(root=root)).find()
    gpus = offer(found, settings.gpus) if state_dir is None else offer_and_remember(found, settings.gpus, state_dir)
    resources = Resources(vcpus * MILLI_PER_VCPU, memory_mib, len(gpus.gpus))
    return Detected(resources, gpus, tuple(notes), detected_address(), booted_at_ms())


def architecture(machine: str) -> str:
    """Returns the architecture in the terms of the API (RuntimePlatform). `machine`: in those of uname(2)."""
    return ARCHITECTURES.get(machine, machine.upper())


def detected_address() -> str:
    """Returns the source address of connections to other machines; loopback where there is no route to any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)  # of a datagram socket: looks up the route, sends no packet
        except OSError:
            return LOOPBACK
        return str(probe.getsockname()[0])


def booted_at_ms() -> int:
    return int((time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)) * 1000)


def offered_memory_mib(total_mib: int) -> int:
    reserve = max(MIN_RESERVE_MIB, min(MAX_RESERVE_MIB, total_mib // RESERVE_DIVISOR))
    return max(MIN_MEMORY_MIB, total_mib - reserve)


def detected_vcpus(root: Path = Path("/")) -> int:
    """Returns the processors in our affinity mask, and no more than the cgroup's quota of processor time."""
    count = len(os.sched_getaffinity(0))
    quota = _cpu_quota(root)
    return max(1, min(count, int(quota)) if quota else count)


def detected_memory_mib(root: Path = Path("/")) -> int:
    """Returns MemTotal, or the smaller limit of our cgroup."""
    text = (root / "proc/meminfo").read_text()
    found = re.search(r"^MemTotal:\s+(\d+) kB", text, re.MULTILINE)
    assert found, f"/proc/meminfo without MemTotal: {text[:200]!r}"
    limits = [int(found[1]) * 1024, *_memory_limits(root)]
    return min(limits) // MIB


def _own_cgroups(root: Path) -> dict[str, str]:
    """Returns our path by controller; "" is the unified hierarchy."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # a kernel without cgroups limits nothing
        return {}
    paths: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _upwards(mount: Path, path: str, file: str) -> list[str]:
    """Yields the file's content in our cgroup and in each one above it. In a container's own view the path may not
    exist below the mount: then our cgroup is the mount's root."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    contents: list[str] = []
    for count in range(len(parts), -1, -1):
        try:
            contents.append((mount.joinpath(*parts[:count]) / file).read_text().strip())
        except OSError:  # no such level in our view, or no such controller here
            continue
    return contents


def _memory_limits(root: Path) -> list[int]:
    paths = _own_cgroups(root)
    base = root / "sys/fs/cgroup"
    unified = [
        *_upwards(base, paths.get("", "/"), "memory.max"),
        *_upwards(base / "unified", paths.get("", "/"), "memory.max"),
    ]
    legacy = _upwards(base / "memory", paths.get("memory", "/"), "memory.limit_in_bytes")
    return [int(text) for text in [*unified, *legacy] if text.isdigit() and int(text) > 0]


def _cpu_quota(root: Path) -> float:
    """Returns the quota in processors; 0 without a limit."""
    paths = _own_cgroups(root)
    base = root / "sys/fs/cgroup"
    quotas: list[float] = []
    for text in _upwards(base, paths.get("", "/"), "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit():
            quotas.append(int(quota) / int(period))
    for mount in ("cpu", "cpu,cpuacct"):
        allowed = _upwards(base / mount, paths.get("cpu", "/"), "cpu.cfs_quota_us")
        periods = _upwards(base / mount, paths.get("cpu", "/"), "cpu.cfs_period_us")
        quotas += [int(q) / int(p) for q, p in zip(allowed, periods, strict=False) if int(q) > 0 and int(p) > 0]
    return min(quotas, default=0.0)
