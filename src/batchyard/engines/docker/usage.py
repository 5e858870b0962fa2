"""How much memory and CPU time a container used: from its cgroup's files, or from what Docker tells of them.

A container's cgroup goes with it, a moment after its first process has ended. So its files are read while it runs, and
again the moment that process ends, which a pidfd tells before Docker has tidied up. What was read last counts: where
that moment is missed, what was used since the last read, SAMPLE_SECONDS before at most, is not seen. Where the files
can't be had (rootless Docker, a daemon in a virtual machine) Docker is asked now and then.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from batchyard.engines.cgroup_hierarchies import cgroup_paths, directory_of, mounts_of
from batchyard.engines.docker.api import Api, ApiError
from batchyard.engines.docker.containers import Seen

SAMPLE_SECONDS = 1.0  # between reads; one takes some 50 microseconds
# Between questions to Docker, where it must be asked: each costs it a walk through the container's cgroup.
STATS_SECONDS = 5.0
_NS_PER_MS, _US_PER_MS = 1_000_000, 1000
_MIB = 1024 * 1024
_PEAK, _CPU = "memory.max_usage_in_bytes", "cpuacct.usage"  # version 1
# Version 2. Before Linux 5.19 there is no memory.peak: the highest of what is read now and then must do.
_PEAK_2, _CURRENT_2, _CPU_2 = "memory.peak", "memory.current", "cpu.stat"
log = logging.getLogger(__name__)


class Meter:
    """Of one container. 0 as long as nothing was measured: it ended before it could be looked at."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._peak_bytes = 0
        self._cpu_ms = 0
        self._memory, self._cpu = Path(), Path()
        self._pidfd = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_open = False
        self._has_ended = False

    @property
    def needs_asking(self) -> bool:
        """The container runs, and its files can't be read."""
        return not self.is_open and not self._has_ended

    @property
    def peak_memory_mib(self) -> int:
        return -(-self._peak_bytes // _MIB)

    @property
    def cpu_ms(self) -> int:
        return self._cpu_ms

    def open(self, seen: Seen, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Of a running container, once. Where its process or its files are not to be seen, `is_open` stays False.
        `loop`: where its end is waited for."""
        if self.is_open or self._has_ended or not seen.pid or not seen.id:
            return
        try:
            self._pidfd = os.pidfd_open(seen.pid)  # before the look at whose process it is: it can't be another's then
            self._memory, self._cpu = self._files_of(seen)
        except OSError as error:
            log.debug("the cgroup of container %s can't be read: %s", seen.id, error)
            self.close()
            return
        self.is_open = True
        self.read()
        if loop is not None:
            self._loop = loop
            loop.add_reader(self._pidfd, self._ended)

    def _files_of(self, seen: Seen) -> tuple[Path, Path]:
        """Of its memory and its CPU time. FileNotFoundError: what has this pid here is not the container."""
        mounts = _mounts(self._proc / "self" / "mountinfo")
        paths = cgroup_paths(self._proc / str(seen.pid) / "cgroup")
        if "memory" in mounts:
            memory, cpu = (_directory(mounts, paths, controller, seen.id) for controller in ("memory", "cpuacct"))
            return memory / _PEAK, cpu / _CPU
        directory = _directory(mounts, paths, "", seen.id)
        return directory / (_PEAK_2 if (directory / _PEAK_2).exists() else _CURRENT_2), directory / _CPU_2

    def read(self) -> None:
        """Looks at the files again. Nothing happens where there are none, or none any more."""
        if not self.is_open:
            return
        try:
            memory, cpu = self._memory.read_bytes(), self._cpu.read_bytes()
        except OSError:  # the cgroup is gone
            return
        self._note(int(memory), cpu_ms_of(cpu))

    def take(self, stats: Mapping[str, Any]) -> None:
        """What GET /containers/ID/stats said."""
        memory, cpu = stats.get("memory_stats") or {}, (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
        peak_bytes = int(memory.get("max_usage") or memory.get("usage") or 0)
        self._note(peak_bytes, int(cpu.get("total_usage") or 0) // _NS_PER_MS)

    def _note(self, peak_bytes: int, cpu_ms: int) -> None:
        self._peak_bytes = max(self._peak_bytes, peak_bytes)
        self._cpu_ms = max(self._cpu_ms, cpu_ms)

    def _ended(self) -> None:
        self._has_ended = True
        self.read()
        self.close()

    def close(self) -> None:
        """What was measured stays."""
        if self._loop is not None:
            self._loop.remove_reader(self._pidfd)
            self._loop = None
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        self.is_open = False


@cache
def _mounts(mountinfo: Path) -> Mapping[str, tuple[str, str]]:
    """Read once: it has a line for every container's file system, and those of cgroups stay what they are."""
    return mounts_of(mountinfo)


async def ask_docker(api: Api, container: str, meter: Meter) -> None:
    """Once. Nothing happens where Docker does not tell, or the container has ended meanwhile. DaemonUnreachable."""
    try:
        found = await api.json("GET", f"/containers/{container}/stats", {"stream": "0", "one-shot": "1"})
    except ApiError as error:
        log.debug("Docker tells nothing of the usage of container %s: %s", container, error)
        return
    if isinstance(found, dict):
        meter.take(found)


def cpu_ms_of(content: bytes) -> int:
    """Of cpuacct.usage (nanoseconds) or cpu.stat (`usage_usec N` on a line)."""
    words = content.split()
    if len(words) == 1:
        return int(words[0]) // _NS_PER_MS
    return int(words[words.index(b"usage_usec") + 1]) // _US_PER_MS


def _directory(
    mounts: Mapping[str, tuple[str, str]], paths: Mapping[str, str], controller: str, container_id: str
) -> Path:
    """The directory of the container's cgroup."""
    path = paths.get(controller, "")
    if controller not in mounts or container_id not in path:
        raise FileNotFoundError(f"its process is not in a cgroup of that name, but in {path or 'none'}")
    return Path(directory_of(mounts[controller], path))
