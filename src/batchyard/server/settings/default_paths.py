"""The paths that settings name, and the default locations of data and configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


class SettingError(Exception):
    """A setting that the user has to change. The text is one sentence with what is allowed."""


def is_inside(path: Path, directory: Path) -> bool:
    """Whether one path is inside another, with links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def data_home(variables: Mapping[str, str]) -> Path:
    """Returns the default data directory."""
    return _home(variables, "XDG_DATA_HOME", ".local/share")


def config_home(variables: Mapping[str, str]) -> Path:
    return _home(variables, "XDG_CONFIG_HOME", ".config")


def absolute(path: Path, base: Path) -> Path:
    """Returns `path` with ~ and its relation to `base` resolved; links stay."""
    try:
        expanded = path.expanduser()
    except RuntimeError as error:
        raise SettingError(f"The path {path} cannot be used: {error}") from error
    return Path(os.path.normpath(base / expanded))


def _home(variables: Mapping[str, str], variable: str, below_home: str) -> Path:
    root = variables.get(variable, "")
    if root.startswith("/"):  # the XDG specification: a relative path there is to be ignored
        return Path(root) / "batchyard"
    home = variables.get("HOME", "")
    return (Path(home) if home.startswith("/") else Path.home()) / below_home / "batchyard"
