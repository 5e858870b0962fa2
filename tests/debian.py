"""Debian's packages, for tests of programs that Debian provides."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

INSTALL_SECONDS = 300
OPTIONS = ("-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120")


def install_packages(why: str, programs: Sequence[str], packages: Sequence[str]) -> None:
    """Skips the test, beginning with `why`, where the programs are not there and can't be installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if os.geteuid() != 0:
        pytest.skip(f"{why}, and only root could change that")
    if not missing:
        return
    if shutil.which("apt-get") is None:
        pytest.skip(f"{why}, {', '.join(missing)} is missing, and there is no apt-get to get it")
    with (Path(tempfile.gettempdir()) / "batchyard-tests-apt.lock").open("w") as lock:  # of tests side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        install = ("install", *OPTIONS, *packages)
        done = _apt_get(*install)
        if done.returncode and not _apt_get("update").returncode:  # the lists of a new machine are empty, or old
            done = _apt_get(*install)
    if done.returncode:
        pytest.skip(f"{why}, and {' '.join(packages)} can't be installed: {done.stderr[-500:]}")


def _apt_get(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
