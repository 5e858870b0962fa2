"""A cgroup for each attempt, where the service is told to enforce: the kernel itself holds its memory to the limit, its
CPU time is weighed against others', and nothing that it starts can get out of sight.

Each supervisor that enforces has a directory of its own (`yard`) in every hierarchy, and below it one for each attempt,
named by its id. `cgroups` in the state directory says where yards were made, so that a later supervisor, itself perhaps
in another place, finds them. What is found there needs no further record: the kernel goes on enforcing by itself.
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
from batchyard.engines.cgroup_hierarchies import CgroupsUnavailable, enable, find_offer, write
from batchyard.engines.start_failures import CannotStart

RECORD = "cgroups"  # in the state directory
SHARES_PER_VCPU = 1024  # what AWS's container agent gives (Docker's CpuShares)
MIN_SHARES, MAX_SHARES = 2, 262_144  # the kernel's bounds
REMOVE_PAUSE_SECONDS = 0.02  # the kernel lets a dead process go a moment after its end was told
_NS_PER_MS, _US_PER_MS = 1_000_000, 1000


class Yard(Struct, frozen=True):
    """Where attempts' cgroups are made."""

    version: int
    controllers: tuple[tuple[str, str], ...]  # controller -> its directory, memory's first

    @property
    def directories(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(directory for _, directory in self.controllers))

    @property
    def exists(self) -> bool:
        return os.path.isdir(self.controllers[0][1])


class Usage(Struct, frozen=True):
    """None: this kernel does not tell."""

    peak_kib: int | None
    cpu_ms: int | None


class Group:
    """One attempt's cgroup."""

    __slots__ = ("_places", "_version", "attempt_id")

    def __init__(self, yard: Yard, attempt_id: str) -> None:
        self.attempt_id = attempt_id
        self._version = yard.version
        self._places = {controller: f"{directory}/{attempt_id}" for controller, directory in yard.controllers}

    @property
    def directories(self) -> list[str]:
        return list(dict.fromkeys(self._places.values()))

    def make(self, memory_mib: int, milli_vcpus: int) -> None:
        """OSError: why not."""
        for directory in self.directories:
            try:
                os.mkdir(directory)
            except FileExistsError:
                continue
        if memory_mib:
            self._limit_memory(memory_mib << 20)
        if "cpu" in self._places and milli_vcpus:
            name, value = (
                ("cpu.shares", shares_of(milli_vcpus))
                if self._version == 1
                else ("cpu.weight", weight_of(shares_of(milli_vcpus)))
            )
            write(f"{self._places['cpu']}/{name}", str(value))

    def _limit_memory(self, limit_bytes: int) -> None:
        memory = self._places["memory"]
        if self._version == 1:
            write(f"{memory}/memory.limit_in_bytes", str(limit_bytes))
            swap, value = f"{memory}/memory.memsw.limit_in_bytes", limit_bytes  # memory and swap together
        else:
            write(f"{memory}/memory.max", str(limit_bytes))
            swap, value = f"{memory}/memory.swap.max", 0
        if os.path.exists(swap):  # not where the kernel does not count swap
            write(swap, str(value))

    def open_entrances(self) -> list[int]:
        """Files to write a pid to. Whoever opened them may: a task that is another user by then joins through ours."""
        return [os.open(f"{directory}/cgroup.procs", os.O_WRONLY) for directory in self.directories]

    def members(self) -> list[int]:
        """The pids of its processes; zombies are none."""
        try:
            return [pid for directory in _tree(self._places["memory"]) for pid in _pids(directory)]
        except FileNotFoundError:
            return []

    def kill(self) -> None:
        """SIGKILL to everything in it; nothing new is born there."""
        members = self.members()
        if not members:
            return
        everybody = f"{self._places['memory']}/cgroup.kill"  # Linux 5.14, version 2
        if self._version == 2 and os.path.exists(everybody):
            write(everybody, "1")
            return
        if "pids" in self._places:
            write(f"{self._places['pids']}/pids.max", "0")
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def usage(self) -> Usage:
        """Its highest use of memory, page cache included, and its CPU time."""
        if self._version == 1:
            peak = _number(f"{self._places['memory']}/memory.max_usage_in_bytes")
            cpu = _number(f"{self._places['cpuacct']}/cpuacct.usage") if "cpuacct" in self._places else None
            cpu_ms = None if cpu is None else cpu // _NS_PER_MS
        else:
            peak = _number(f"{self._places['memory']}/memory.peak")  # Linux 5.19
            cpu = _field(f"{self._places['memory']}/cpu.stat", "usage_usec")  # there without the controller, too
            cpu_ms = None if cpu is None else cpu // _US_PER_MS
        return Usage(None if peak is None else peak // 1024, cpu_ms)

    def had_oom_kill(self) -> bool:
        """Whether the kernel killed one of its processes for want of memory."""
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        return bool(_field(f"{self._places['memory']}/{name}", "oom_kill"))

    def remove(self) -> bool:
        """False: something of it still lives."""
        for directory in self.directories:
            try:
                for part in _tree(directory):
                    os.rmdir(part)
            except FileNotFoundError:
                continue
            except OSError:  # busy: tried again
                return False
        return True


class Cgroups:
    """All attempts' cgroups of one data directory. Nothing is looked for until a first one is made or was recorded."""

    def __init__(self, state_dir: Path) -> None:
        self._record = state_dir / RECORD
        self._yards = [yard for yard in _read_record(self._record) if yard.exists]
        self._own: Yard | None = None
        self._leaving: list[Group] = []
        self.next_try = float("inf")

    def make(self, attempt_id: str, memory_mib: int, milli_vcpus: int) -> Group:
        """CannotStart: the host does not let us."""
        try:
            try:
                return self._make(self._own or self._open_yard(), attempt_id, memory_mib, milli_vcpus)
            except FileNotFoundError:  # somebody tidied up here, perhaps a predecessor that left
                return self._make(self._open_yard(), attempt_id, memory_mib, milli_vcpus)
        except CgroupsUnavailable as reason:
            raise CannotStart(f"its limits can't be enforced: {reason}") from reason
        except OSError as error:
            raise CannotStart(
                f"its cgroup can't be made: {error}; give the service the right to, or start it without "
                "--enforce cgroup"
            ) from error

    def _make(self, yard: Yard, attempt_id: str, memory_mib: int, milli_vcpus: int) -> Group:
        group = Group(yard, attempt_id)
        try:
            group.make(memory_mib, milli_vcpus)
        except OSError:
            group.remove()
            raise
        return group

    def find(self, attempt_id: str) -> Group | None:
        """The one that was made for it, if any; kept by the kernel whatever became of the supervisor."""
        for yard in self._yards:
            group = Group(yard, attempt_id)
            if os.path.isdir(group.directories[0]):
                return group
        return None

    def sweep(self, alive: Container[str]) -> None:
        """Kills and removes what belongs to no attempt that is alive."""
        for yard in self._yards:
            places = [place for place in yard.directories if os.path.isdir(place)]
            names = {entry.name for place in places for entry in os.scandir(place) if entry.is_dir()}
            for name in sorted(names):
                if name not in alive:
                    self.remove(Group(yard, name))

    def remove(self, group: Group) -> None:
        """At once, or when the last of its processes is gone."""
        if not group.remove():  # that none is left in it is the rule, and asking costs as much as trying
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
        """Removes our directories where no attempt is left in them."""
        for group in self._leaving:
            group.remove()
        for yard in self._yards:
            for directory in yard.directories:
                try:
                    os.rmdir(directory)
                except OSError:  # attempts live there; whoever takes over removes it
                    continue

    def _open_yard(self) -> Yard:
        """CgroupsUnavailable, OSError: why there can be none."""
        offer = find_offer()
        bases = dict(offer.places)
        fitting = [y for y in self._yards if {c: os.path.dirname(d) for c, d in y.controllers} == bases]
        if fitting:
            yard = fitting[0]
        else:
            name = f"batchyard-{uuid.uuid4().hex[:12]}"
            yard = Yard(offer.version, tuple((controller, f"{base}/{name}") for controller, base in offer.places))
            self._yards.append(yard)
            _write_record(self._record, self._yards)
        if offer.version == 2:
            enable(offer.directories[0], offer.controllers)
        for directory in yard.directories:
            os.makedirs(directory, exist_ok=True)
        if offer.version == 2:
            enable(yard.directories[0], offer.controllers)
        _weigh(yard)
        self._own = yard
        return yard


def _weigh(yard: Yard) -> None:
    """All jobs together weigh as much as this host has processors, or else one busy process beside them would get as
    much as all of them."""
    directory = dict(yard.controllers).get("cpu")
    shares = shares_of((os.cpu_count() or 1) * 1000)
    if directory is not None and yard.version == 1:
        write(f"{directory}/cpu.shares", str(shares))
    elif directory is not None and os.path.exists(f"{directory}/cpu.weight"):
        write(f"{directory}/cpu.weight", str(weight_of(shares)))


def shares_of(milli_vcpus: int) -> int:
    return min(max(milli_vcpus * SHARES_PER_VCPU // 1000, MIN_SHARES), MAX_SHARES)


def weight_of(shares: int) -> int:
    """Version 1's 2 to 262144 on version 2's 1 to 10000, as container runtimes map them."""
    return 1 + (shares - MIN_SHARES) * 9999 // (MAX_SHARES - MIN_SHARES)


def _tree(directory: str) -> list[str]:
    """With what a task may have made below its own, the innermost first."""
    if os.stat(directory).st_nlink == 2:  # nothing: the usual case
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
    """The number behind a name, in a file of such lines."""
    try:
        with open(path) as file:
            for line in file:
                key, _, value = line.partition(" ")
                if key == name:
                    return int(value)
    except FileNotFoundError:
        return None
    return None


def _read_record(path: Path) -> list[Yard]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Yard])
    except FileNotFoundError:
        return []


def _write_record(path: Path, yards: list[Yard]) -> None:
    """Before the first directory is made. Durable as a whole or not at all: after a crash of the host the cgroups are
    gone, but a cut file would be in the way."""
    temporary = path.with_name(f"{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(yards))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)
