"""Peak memory and CPU time of containers, from their cgroups' files or from Docker.

A container's cgroup is removed a moment after its first process has ended. So its files are read while it runs, and
again at the moment when that process ends, of which a pidfd informs before Docker has removed the cgroup. The last
values count: where that moment is missed, the use since the last read, SAMPLE_SECONDS before at most, is not seen.
Where the files can't be read (rootless Docker, a daemon in a virtual machine) Docker is asked periodically.
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
# Between requests to Docker, where it must be asked: for each it walks through the container's cgroup.
STATS_SECONDS = 5.0
_NS_PER_MS, _US_PER_MS = 1_000_000, 1000
_MIB = 1024 * 1024
_PEAK, _CPU = "memory.max_usage_in_bytes", "cpuacct.usage"  # version 1
# Version 2. Before Linux 5.19 there is no memory.peak: the maximum of the samples is used.
_PEAK_2, _CURRENT_2, _CPU_2 = "memory.peak", "memory.current", "cpu.stat"
log = logging.getLogger(__name__)


class Meter:
    """The usage of one container; 0 while nothing was measured, as when it ended before the first sample."""

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
        """Whether the container runs and its files can't be read."""
        return not self.is_open and not self._has_ended

    @property
    def peak_memory_mib(self) -> int:
        return -(-self._peak_bytes // _MIB)

    @property
    def cpu_ms(self) -> int:
        return self._cpu_ms

    def open(self, seen: Seen, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Opens the files of a running container, once. Where its process or its files can't be seen, `is_open` stays
        False. `loop`: the event loop that waits for its end."""
        if self.is_open or self._has_ended or not seen.pid or not seen.id:
            return
        try:
            self._pidfd = os.pidfd_open(seen.pid)  # before its cgroup is checked: the pid can't be reused from here on
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
        """Returns the files of its memory and its CPU time. FileNotFoundError: the pid is not the container's here."""
        mounts = _mounts(self._proc / "self" / "mountinfo")
        paths = cgroup_paths(self._proc / str(seen.pid) / "cgroup")
        if "memory" in mounts:
            memory, cpu = (_directory(mounts, paths, controller, seen.id) for controller in ("memory", "cpuacct"))
            return memory / _PEAK, cpu / _CPU
        directory = _directory(mounts, paths, "", seen.id)
        return directory / (_PEAK_2 if (directory / _PEAK_2).exists() else _CURRENT_2), directory / _CPU_2

    def read(self) -> None:
        """Takes a sample. Does nothing when the files are not open or are gone."""
        if not self.is_open:
            return
        try:
            memory, cpu = self._memory.read_bytes(), self._cpu.read_bytes()
        except OSError:  # the cgroup is gone
            return
        self._note(int(memory), cpu_ms_of(cpu))

    def take(self, stats: Mapping[str, Any]) -> None:
        """Takes the answer of GET /containers/ID/stats as a sample."""
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
        """Closes the files. The measured values stay."""
        if self._loop is not None:
            self._loop.remove_reader(self._pidfd)
            self._loop = None
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        self.is_open = False


@cache
def _mounts(mountinfo: Path) -> Mapping[str, tuple[str, str]]:
    """Returns the cgroup mounts, read once: the file has a line for every container's file system, and cgroups stay."""
    return mounts_of(mountinfo)


async def ask_docker(api: Api, container: str, meter: Meter) -> None:
    """Takes one sample from Docker. Does nothing when Docker has none or the container has ended. DaemonUnreachable."""
    try:
        found = await api.json("GET", f"/containers/{container}/stats", {"stream": "0", "one-shot": "1"})
    except ApiError as error:
        log.debug("Docker reports no usage of container %s: %s", container, error)
        return
    if isinstance(found, dict):
        meter.take(found)


def cpu_ms_of(content: bytes) -> int:
    """Parses cpuacct.usage (nanoseconds) or cpu.stat (with a line `usage_usec N`)."""
    words = content.split()
    if len(words) == 1:
        return int(words[0]) // _NS_PER_MS
    return int(words[words.index(b"usage_usec") + 1]) // _US_PER_MS


def _directory(
    mounts: Mapping[str, tuple[str, str]], paths: Mapping[str, str], controller: str, container_id: str
) -> Path:
    """Returns the directory of the container's cgroup."""
    path = paths.get(controller, "")
    if controller not in mounts or container_id not in path:
        raise FileNotFoundError(f"its process is not in a cgroup of that name, but in {path or 'none'}")
    return Path(directory_of(mounts[controller], path))
