"""The process's limit of open files."""

from __future__ import annotations

import resource
import sys


def raise_open_files() -> tuple[int, int]:
    """Raises the soft limit of open files to the hard one. Returns the previous limit, which jobs keep (programs
    that iterate over all numbers, or use select, break at large ones), and the new one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, sys.maxsize if hard == resource.RLIM_INFINITY else hard
