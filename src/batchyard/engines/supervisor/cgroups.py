"""A cgroup for each attempt, with --enforce cgroup: the kernel enforces its memory limit and weighs its CPU time
against others', and none of its processes can escape.

Each supervisor that enforces has a directory of its own (its root) in every hierarchy, and below it one for each
attempt, named by its id. The file `cgroups` in the state directory lists the roots, so that a later supervisor, perhaps
in another cgroup itself, finds them. The cgroups below need no record: the kernel goes on enforcing by itself.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Container
from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.engines.boot import boot_seconds
from batchyard.engines.cgroup_hierarchies import CgroupsUnavailable, enable, find_cgroup_support, write
from batchyard.engines.start_failures import CannotStart

RECORD = "cgroups"  # in the state directory
SHARES_PER_VCPU = 1024  # as AWS's container agent (Docker's CpuShares)
MIN_SHARES, MAX_SHARES = 2, 262_144  # the kernel's bounds
REMOVE_PAUSE_SECONDS = 0.02  # a dead process leaves its cgroup a moment after its end was reported
_NS_PER_MS, _US_PER_MS = 1_000_000, 1000


class CgroupRoot(Struct, frozen=True):
    """The directories in which attempts' cgroups are made."""

    version: int
    controllers: tuple[tuple[str, str], ...]  # (controller, its directory), memory's first

    @property
    def directories(self) -> list[str]:
        """Each directory once."""
        return list(dict.fromkeys(directory for _, directory in self.controllers))

    @property
    def exists(self) -> bool:
        return os.path.isdir(self.controllers[0][1])


class Usage(Struct, frozen=True):
    """What the processes of a cgroup used. None: this kernel does not measure it."""

    peak_kib: int | None
    cpu_ms: int | None


class Cgroup:
    """One attempt's cgroup."""

    __slots__ = ("_directories", "_version", "attempt_id")

    def __init__(self, root: CgroupRoot, attempt_id: str) -> None:
        self.attempt_id = attempt_id
        self._version = root.version
        self._directories = {controller: f"{directory}/{attempt_id}" for controller, directory in root.controllers}

    @property
    def directories(self) -> list[str]:
        return list(dict.fromkeys(self._directories.values()))

    def make(self, memory_mib: int, milli_vcpus: int) -> None:
        """Makes the cgroup and sets its limits. OSError: why not."""
        for directory in self.directories:
            try:
                os.mkdir(directory)
            except FileExistsError:
                continue
        if memory_mib:
            self._limit_memory(memory_mib << 20)
        if "cpu" in self._directories and milli_vcpus:
            name, value = (
                ("cpu.shares", shares_of(milli_vcpus))
                if self._version == 1
                else ("cpu.weight", weight_of(shares_of(milli_vcpus)))
            )
            write(f"{self._directories['cpu']}/{name}", str(value))

    def _limit_memory(self, limit_bytes: int) -> None:
        memory = self._directories["memory"]
        if self._version == 1:
            write(f"{memory}/memory.limit_in_bytes", str(limit_bytes))
            swap, value = f"{memory}/memory.memsw.limit_in_bytes", limit_bytes  # memory and swap together
        else:
            write(f"{memory}/memory.max", str(limit_bytes))
            swap, value = f"{memory}/memory.swap.max", 0
        if os.path.exists(swap):  # not where the kernel does not count swap
            write(swap, str(value))

    def open_entrances(self) -> list[int]:
        """Opens the files to which a pid is written. The right to write is checked at the opening: a task that is
        another user by then joins through them."""
        return [os.open(f"{directory}/cgroup.procs", os.O_WRONLY) for directory in self.directories]

    def members(self) -> list[int]:
        """Returns the pids of its processes, without zombies."""
        try:
            return [pid for directory in _tree(self._directories["memory"]) for pid in _pids(directory)]
        except FileNotFoundError:
            return []

    def kill(self) -> None:
        """Sends SIGKILL to all its processes, and prevents new ones."""
        members = self.members()
        if not members:
            return
        kill_file = f"{self._directories['memory']}/cgroup.kill"  # Linux 5.14, version 2
        if self._version == 2 and os.path.exists(kill_file):
            write(kill_file, "1")
            return
        if "pids" in self._directories:
            write(f"{self._directories['pids']}/pids.max", "0")
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def usage(self) -> Usage:
        """Returns its peak memory, page cache included, and its CPU time."""
        if self._version == 1:
            peak = _number(f"{self._directories['memory']}/memory.max_usage_in_bytes")
            cpu = _number(f"{self._directories['cpuacct']}/cpuacct.usage") if "cpuacct" in self._directories else None
            cpu_ms = None if cpu is None else cpu // _NS_PER_MS
        else:
            peak = _number(f"{self._directories['memory']}/memory.peak")  # Linux 5.19
            cpu = _field(f"{self._directories['memory']}/cpu.stat", "usage_usec")  # also without the controller
            cpu_ms = None if cpu is None else cpu // _US_PER_MS
        return Usage(None if peak is None else peak // 1024, cpu_ms)

    def had_oom_kill(self) -> bool:
        """Whether the kernel killed one of its processes for lack of memory."""
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        return bool(_field(f"{self._directories['memory']}/{name}", "oom_kill"))

    def remove(self) -> bool:
        """Removes it. Returns False while a process lives in it."""
        for directory in self.directories:
            try:
                for part in _tree(directory):
                    os.rmdir(part)
            except FileNotFoundError:
                continue
            except OSError:  # it is busy: the caller tries again
                return False
        return True


class Cgroups:
    """The attempts' cgroups of one data directory. The host is not inspected until a first one is made or recorded."""

    def __init__(self, state_dir: Path) -> None:
        self._record = state_dir / RECORD
        self._roots = [root for root in _read_record(self._record) if root.exists]
        self._own: CgroupRoot | None = None
        self._leaving: list[Cgroup] = []
        self.next_try = float("inf")

    def make(self, attempt_id: str, memory_mib: int, milli_vcpus: int) -> Cgroup:
        """Makes the cgroup of an attempt. CannotStart: the host does not allow it."""
        try:
            try:
                return self._make(self._own or self._open_root(), attempt_id, memory_mib, milli_vcpus)
            except FileNotFoundError:  # someone else removed the root, perhaps a predecessor that ended
                return self._make(self._open_root(), attempt_id, memory_mib, milli_vcpus)
        except CgroupsUnavailable as reason:
            raise CannotStart(f"its limits can't be enforced: {reason}") from reason
        except OSError as error:
            raise CannotStart(
                f"its cgroup can't be made: {error}; give the service the right to, or start it without "
                "--enforce cgroup"
            ) from error

    def _make(self, root: CgroupRoot, attempt_id: str, memory_mib: int, milli_vcpus: int) -> Cgroup:
        group = Cgroup(root, attempt_id)
        try:
            group.make(memory_mib, milli_vcpus)
        except OSError:
            group.remove()
            raise
        return group

    def find(self, attempt_id: str) -> Cgroup | None:
        """Returns the cgroup of an attempt, which outlives its supervisor; None: it has none."""
        for root in self._roots:
            group = Cgroup(root, attempt_id)
            if os.path.isdir(group.directories[0]):
                return group
        return None

    def sweep(self, alive: Container[str]) -> None:
        """Kills and removes the cgroups of attempts that are not alive."""
        for root in self._roots:
            directories = [directory for directory in root.directories if os.path.isdir(directory)]
            names = {entry.name for directory in directories for entry in os.scandir(directory) if entry.is_dir()}
            for name in sorted(names):
                if name not in alive:
                    self.remove(Cgroup(root, name))

    def remove(self, group: Cgroup) -> None:
        """Removes a cgroup, at once or when the last of its processes is gone."""
        if not group.remove():  # usually it is empty, and a check costs as much as a try
            group.kill()
            self._leaving.append(group)
            self.next_try = boot_seconds() + REMOVE_PAUSE_SECONDS

    def tick(self, now: float) -> None:
        if now < self.next_try:
            return
        leaving, self._leaving, self.next_try = self._leaving, [], float("inf")
        for group in leaving:
            self.remove(group)

    def close(self) -> None:
        """Removes the roots without attempts."""
        for group in self._leaving:
            group.remove()
        for root in self._roots:
            for directory in root.directories:
                try:
                    os.rmdir(directory)
                except OSError:  # attempts live there; the next supervisor removes it
                    continue

    def _open_root(self) -> CgroupRoot:
        """Makes our root, or takes a recorded one. CgroupsUnavailable, OSError: why there is none."""
        support = find_cgroup_support()
        bases = dict(support.locations)
        fitting = [one for one in self._roots if {c: os.path.dirname(d) for c, d in one.controllers} == bases]
        if fitting:
            root = fitting[0]
        else:
            name = f"batchyard-{uuid.uuid4().hex[:12]}"
            controllers = tuple((controller, f"{base}/{name}") for controller, base in support.locations)
            root = CgroupRoot(support.version, controllers)
            self._roots.append(root)
            _write_record(self._record, self._roots)
        if support.version == 2:
            enable(support.directories[0], support.controllers)
        for directory in root.directories:
            os.makedirs(directory, exist_ok=True)
        if support.version == 2:
            enable(root.directories[0], support.controllers)
        _weigh(root)
        self._own = root
        return root


def _weigh(root: CgroupRoot) -> None:
    """Weighs all jobs together as much as the host's processors; else one busy process outside would weigh as much as
    all of them."""
    directory = dict(root.controllers).get("cpu")
    shares = shares_of((os.cpu_count() or 1) * 1000)
    if directory is not None and root.version == 1:
        write(f"{directory}/cpu.shares", str(shares))
    elif directory is not None and os.path.exists(f"{directory}/cpu.weight"):
        write(f"{directory}/cpu.weight", str(weight_of(shares)))


def shares_of(milli_vcpus: int) -> int:
    return min(max(milli_vcpus * SHARES_PER_VCPU // 1000, MIN_SHARES), MAX_SHARES)


def weight_of(shares: int) -> int:
    """Maps version 1's 2 to 262144 to version 2's 1 to 10000, as container runtimes do."""
    return 1 + (shares - MIN_SHARES) * 9999 // (MAX_SHARES - MIN_SHARES)


def _tree(directory: str) -> list[str]:
    """Returns a cgroup's directory and those that a task made below it, the innermost first."""
    if os.stat(directory).st_nlink == 2:  # there are none: the usual case
        return [directory]
    return [top for top, _, _ in os.walk(directory, topdown=False)]


def _pids(directory: str) -> list[int]:
    with open(f"{directory}/cgroup.procs") as file:
        return [pid for line in file if (pid := int(line))]  # 0: in a pid namespace that is not below ours


def _number(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read())
    except FileNotFoundError:
        return None


def _field(path: str, name: str) -> int | None:
    """Returns the number behind a name, in a file of lines `NAME NUMBER`."""
    try:
        with open(path) as file:
            for line in file:
                key, _, value = line.partition(" ")
                if key == name:
                    return int(value)
    except FileNotFoundError:
        return None
    return None


def _read_record(path: Path) -> list[CgroupRoot]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[CgroupRoot])
    except FileNotFoundError:
        return []


def _write_record(path: Path, roots: list[CgroupRoot]) -> None:
    """Records the roots, before the first directory is made. Atomic: after a crash of the host the cgroups are gone,
    but a cut file would be in the way."""
    temporary = path.with_name(f"{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(roots))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)
