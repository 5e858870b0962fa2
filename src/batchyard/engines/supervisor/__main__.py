"""`python -m batchyard.engines.supervisor`: started by the server, in a session of its own."""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path

from batchyard import failpoints
from batchyard.engines.file_lock import try_lock
from batchyard.engines.log_file import DEFAULT_LIMIT_BYTES
from batchyard.engines.supervisor.attempts import LOCK, Settings
from batchyard.engines.supervisor.process_credentials import knows_keyrings, new_session_keyring
from batchyard.engines.supervisor.supervisor import Supervisor

LOCK_SECONDS = 5.0  # a predecessor that ends, or a program that it was just starting, may still hold the lock
LOCK_PAUSE_SECONDS = 0.02
IDLE_SECONDS = 60.0
KEEP_FAILED_SECONDS = 7 * 24 * 3600.0
EXIT_LOCKED = 3
_PR_SET_CHILD_SUBREAPER = 36  # include/uapi/linux/prctl.h


def _settings(arguments: list[str]) -> tuple[Settings, int | None]:
    """Returns the settings, and the soft limit of open files for tasks; None: the one that was inherited."""
    parser = argparse.ArgumentParser(prog="python -m batchyard.engines.supervisor", description=__doc__)
    for name in ("runtime", "state", "logs", "work"):
        parser.add_argument(f"--{name}-dir", type=Path, required=True)
    parser.add_argument("--log-limit-bytes", type=int, default=DEFAULT_LIMIT_BYTES)
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS)
    parser.add_argument("--keep-failed-seconds", type=float, default=KEEP_FAILED_SECONDS)
    parser.add_argument("--task-open-files", type=int)
    parser.add_argument("--lease-until-ms", type=int, default=0)
    values = vars(parser.parse_args(arguments))
    task_open_files: int | None = values.pop("task_open_files")
    return Settings(**values), task_open_files


def _lock(path: Path) -> int | None:
    """Takes the lock of the data directory and writes our pid into it. Returns None when another supervisor has it.

    The lock belongs to the opening that a vforked child shares until its program runs: a successor can't look for
    survivors while one is just being born."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while not try_lock(fd):
        if time.monotonic() > deadline:
            return None
        time.sleep(LOCK_PAUSE_SECONDS)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _shed_inherited_state() -> tuple[int, int]:
    """Keeps what was inherited from the server from the tasks: files, signals, limits, keys. Returns the inherited
    limit of open files, which is the tasks' too."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number != signal.SIGPIPE:
            signal.signal(number, signal.SIG_DFL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # two or three files for each task
    new_session_keyring()
    if not knows_keyrings():
        print(f"session keyrings of {os.uname().machine} are not known here: tasks inherit the service's", flush=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
    return soft, hard


def main(arguments: list[str]) -> int:
    settings, task_open_files = _settings(arguments)
    failpoints.arm(os.environ)
    for directory in settings[:4]:
        directory.mkdir(parents=True, exist_ok=True)
    default_nofile = _shed_inherited_state()
    if _lock(settings.state_dir / LOCK) is None:
        print(f"another supervisor serves {settings.state_dir}", flush=True)
        return EXIT_LOCKED
    soft, hard = default_nofile
    Supervisor(settings, (soft if task_open_files is None else task_open_files, hard)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
