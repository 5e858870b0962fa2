"""Finds the service that a command is for: first as client commands do, then by its data directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from batchyard.cli.client import YARD, Client, ClientError
from batchyard.cli.endpoint import URL_VARIABLES, Endpoint, find_endpoint
from batchyard.server.admin.terminal import Failure
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import PathError, Paths, is_running, paths_of, read_server_file

ANSWER_SECONDS = 5.0  # a service on this machine answers in milliseconds


class Named(NamedTuple):
    """The URL for the command line, and the flag or variable that names it."""

    url: str
    source: str


def named_service(url: str | None, variables: Mapping[str, str]) -> Named | None:
    """Returns the service of --url, else of the first variable that is set; None: of the file that the server of the
    data directory wrote."""
    if url:
        return Named(url, "--url")
    return next((Named(variables[name], name) for name in URL_VARIABLES if variables.get(name)), None)


def data_directory_at(endpoint: Endpoint) -> Path:
    """Returns the data directory of the service there. Raises ClientError where none answers, or not as Batchyard
    does."""
    with Client(endpoint, timeout_seconds=ANSWER_SECONDS) as client:
        answer = client.call("GetService", {}, YARD)
    directory = answer.get("dataDirectory")
    if not isinstance(directory, str):
        raise ClientError(f"{endpoint.url} does not answer as Batchyard does.")
    return Path(directory)


def meant_paths(settings: Settings, data_dir: str | None, url: str | None) -> Paths:
    """Returns the paths of `data_dir` where it is given; else of the service at `url` or of the environment's; else
    of the settings. Failure where that service does not answer, or is on another machine."""
    ours = paths_of(settings.data_dir, settings.work_dir, os.environ)
    named = None if data_dir else named_service(url, os.environ)
    if named is None:
        return ours
    try:
        found = data_directory_at(find_endpoint(named.url, os.environ))
    except ClientError as error:
        if _serves(ours, named.url):
            return ours  # it is ours, and does not answer now
        raise Failure(
            f"{error} ({named.source} names it.) To mean the service of a data directory, give --data-dir: "
            f"the default is {settings.data_dir}."
        ) from error
    if found == ours.data_dir:
        return ours
    meant = replace_data_directory(settings, found)
    if not _serves(meant, ""):
        raise Failure(
            f"The service at {named.url} ({named.source}) keeps its data in {found}, which is not a directory of a "
            "server on this machine: run this command there."
        )
    return meant


def replace_data_directory(settings: Settings, data_dir: Path) -> Paths:
    """Replaces the data directory, and the work directory where that lies inside."""
    inside = settings.work_dir.is_relative_to(settings.data_dir)
    work_dir = data_dir / settings.work_dir.relative_to(settings.data_dir) if inside else settings.work_dir
    return paths_of(data_dir, work_dir, os.environ)


def _serves(paths: Paths, url: str) -> bool:
    """Whether a server of that directory runs here; at `url`, where one is given."""
    try:
        server = read_server_file(paths.server_file)
    except (PathError, msgspec.DecodeError):
        return False
    return server is not None and is_running(server) and (not url or server.address == url.rstrip("/"))
