"""The cgroup hierarchies of this host: version, controllers, and the directories in which cgroups can be made.

Version 1: one hierarchy for each controller; new cgroups lie below our own in each, so that a limit set on the service
from outside holds for its jobs too. Version 2: a cgroup with processes can't have children with limits, so that new
cgroups lie beside our own, below the same slice, unless our own is the host's topmost.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from msgspec import Struct

REQUIRED = "memory"
# `cpu` weighs tasks against each other, `cpuacct` (version 1) measures their CPU time, `pids` prevents new processes
# while the old are killed. Without them the memory limit still holds.
WANTED = ("memory", "cpu", "cpuacct", "pids")
LEAVE_IT_OUT = "or leave out --enforce cgroup: memory limits are then held by watching the jobs"


class CgroupsUnavailable(Exception):
    """This host can't make cgroups. The text is a sentence: what is missing, and what to do."""


class CgroupSupport(Struct, frozen=True):
    """Where cgroups can be made. `locations`: (controller, directory); one directory in version 2."""

    version: int
    locations: tuple[tuple[str, str], ...]

    @property
    def directories(self) -> list[str]:
        """Returns each directory once: on many hosts cpu and cpuacct share one."""
        return list(dict.fromkeys(directory for _, directory in self.locations))

    @property
    def controllers(self) -> list[str]:
        return [controller for controller, _ in self.locations]


def find_cgroup_support(proc: Path = Path("/proc/self")) -> CgroupSupport:
    """Inspects the host without changing it. `proc` has the files `mountinfo` and `cgroup` (proc(5), cgroups(7)).

    CgroupsUnavailable: why no cgroup can be made."""
    mounts = mounts_of(proc / "mountinfo")
    own = cgroup_paths(proc / "cgroup")
    if REQUIRED in mounts:
        return _support_v1(mounts, own)
    if "" in mounts:
        return _support_v2(directory_of(mounts[""], own.get("", "/")), mounts[""][1])
    raise CgroupsUnavailable(f"no cgroup file system with the memory controller is mounted: mount one, {LEAVE_IT_OUT}")


def mounts_of(mountinfo: Path) -> dict[str, tuple[str, str]]:
    """Returns, by controller ("" for version 2), which part of its hierarchy is mounted, and where."""
    found: dict[str, tuple[str, str]] = {}
    for line in mountinfo.read_text().splitlines():
        left, _, right = line.partition(" - ")
        root, point = (_unescaped(field) for field in left.split()[3:5])
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2":
            found.setdefault("", (root, point))
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, (root, point))
    return found


def _unescaped(field: str) -> str:
    """Replaces the octal escapes for blanks in paths (proc(5))."""
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def cgroup_paths(cgroup: Path) -> dict[str, str]:
    """Returns, by controller ("" for version 2), a process's cgroup in its hierarchy. `cgroup`: /proc/<pid>/cgroup."""
    found: dict[str, str] = {}
    for line in cgroup.read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            if controller or number == "0":
                found[controller] = path
    return found


def directory_of(mount: tuple[str, str], path: str) -> str:
    """Returns the directory of a cgroup. In a container only a part of the hierarchy may be mounted."""
    root, point = mount
    inside = path.removeprefix(root) if path == root or path.startswith(f"{root.rstrip('/')}/") else ""
    return os.path.normpath(f"{point}/{inside}")


def _support_v1(mounts: dict[str, tuple[str, str]], own: dict[str, str]) -> CgroupSupport:
    locations = []
    for controller in WANTED:
        if controller not in mounts or controller not in own:
            continue
        directory = directory_of(mounts[controller], own[controller])
        if os.access(directory, os.W_OK | os.X_OK):
            locations.append((controller, directory))
        elif controller == REQUIRED:
            raise CgroupsUnavailable(
                f"{directory} is not writable: on cgroups version 1 the service must run as root, with that file "
                f"system mounted read-write, {LEAVE_IT_OUT}"
            )
    return CgroupSupport(1, tuple(locations))


def _support_v2(own: str, mount_point: str) -> CgroupSupport:
    if not os.path.exists(
        f"{own}/cgroup.type"
    ):  # only the host's topmost has none; it may have processes and limited children
        base = own
    elif own == mount_point:
        raise CgroupsUnavailable(
            f"the service runs in {own}, the topmost cgroup it sees, beside which none can be made: start it in a "
            f"cgroup below that, with no process left in {own} itself, {LEAVE_IT_OUT}"
        )
    else:
        base = os.path.dirname(own)
    offered = _words(f"{base}/cgroup.controllers")
    if REQUIRED not in offered:
        raise CgroupsUnavailable(
            f"{base} was not given the memory controller (it has: {' '.join(offered) or 'none'}): start the service as "
            f"a systemd user service or with `systemd-run --user --scope`, {LEAVE_IT_OUT}"
        )
    enabled = _words(f"{base}/cgroup.subtree_control")
    control_is_writable = os.access(f"{base}/cgroup.subtree_control", os.W_OK)
    # Moving a process from one cgroup to another takes the right to write to their common ancestor, which is this.
    writable = os.access(base, os.W_OK | os.X_OK) and os.access(f"{base}/cgroup.procs", os.W_OK)
    if not writable or (REQUIRED not in enabled and not control_is_writable):
        raise CgroupsUnavailable(
            f"{base} is not writable for this user: start the service as a systemd user service, with "
            f"`systemd-run --user --scope`, or as root, {LEAVE_IT_OUT}"
        )
    usable = [name for name in WANTED if name in offered and (name in enabled or control_is_writable)]
    return CgroupSupport(2, tuple((name, base) for name in usable))


def enable(directory: str, controllers: list[str]) -> None:
    """Version 2: makes controllers available to the children of a cgroup. OSError: memory's can't be."""
    path = f"{directory}/cgroup.subtree_control"
    missing = [name for name in controllers if name not in _words(path)]
    for controller in missing:
        try:
            write(path, f"+{controller}")
        except OSError:
            if controller == REQUIRED:
                raise  # the others are optional


def try_out(support: CgroupSupport) -> None:
    """Makes a cgroup, sets a limit, and removes it. CgroupsUnavailable: it failed."""
    made: list[str] = []
    try:
        if support.version == 2:
            enable(support.directories[0], support.controllers)
        for base in support.directories:
            directory = f"{base}/batchyard-try-{uuid.uuid4().hex}"
            os.mkdir(directory)
            made.append(directory)
        limit = "memory.limit_in_bytes" if support.version == 1 else "memory.max"
        write(f"{made[0]}/{limit}", str(1 << 30))
    except OSError as error:
        raise CgroupsUnavailable(
            f"a cgroup can't be made ({error}): give the service the right to, {LEAVE_IT_OUT}"
        ) from error
    finally:
        for directory in made:
            os.rmdir(directory)


def write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _words(path: str) -> list[str]:
    """Returns the words of a file; none where there is no such file."""
    try:
        with open(path) as file:
            return file.read().split()
    except FileNotFoundError:
        return []
