"""The configuration file's table [efs]: the directories that replace AWS's file systems in definitions."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from batchyard.server.settings.default_paths import SettingError, absolute

EFS_TABLE = "efs"
ID = re.compile(r"(fs|fsap)-[0-9A-Za-z]{1,40}")
EXAMPLE = '"fs-0123456789abcdef0" = "/srv/shared"'


def file_systems(table: Any, where: str, base: Path) -> tuple[tuple[str, str], ...]:
    """Returns (file system or access point, directory) of each line. Raises SettingError."""
    if not isinstance(table, dict):
        raise SettingError(f"{where} must be a table with lines such as {EXAMPLE}.")
    found = []
    for name, directory in table.items():
        if not ID.fullmatch(name) or not isinstance(directory, str) or not directory or "\0" in directory:
            raise SettingError(f"{where}: {name} must be a line such as {EXAMPLE}.")
        found.append((name, str(absolute(Path(directory), base))))
    return tuple(found)


def problem_of(directory: str) -> str:
    """Returns why jobs could not use it; empty when they can."""
    if not os.path.isdir(directory):
        return "there is no such directory"
    return "" if os.access(directory, os.R_OK | os.X_OK) else "this service's user may not read it"
