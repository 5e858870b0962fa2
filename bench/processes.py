"""What a bench needs to know about the processes it started: their CPU time, and which of them are left."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CpuTime:
    """Seconds of user and system time: the process's own, and that of the children it has waited for."""

    own_seconds: float
    children_seconds: float


def cpu_time(pid: int) -> CpuTime:
    """Raises FileNotFoundError when the process is gone."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text.rpartition(")")[2].split()  # the name before it may contain anything; the state is field 0 here
    utime, stime, cutime, cstime = (int(field) for field in fields[11:15])
    return CpuTime((utime + stime) / TICKS_PER_SECOND, (cutime + cstime) / TICKS_PER_SECOND)


def pids_naming(path: Path) -> list[int]:
    """Processes of this user whose command line names `path`, or something below it, except this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if entry.stat().st_uid == os.getuid() and os.fsencode(path) in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return sorted(found)
