"""Checks of the server that commands would call."""

from __future__ import annotations

import os

from batchyard.cli.client import ClientError
from batchyard.cli.endpoint import find_endpoint
from batchyard.server.admin.finding import Finding
from batchyard.server.admin.service_lookup import Named, data_directory_at, named_service
from batchyard.server.settings.paths import PathError, Paths, is_running, read_server_file


def check_server(paths: Paths, url: str | None) -> Finding:
    """Checks the server that commands would call."""
    named = None if url == "" else named_service(url, os.environ)
    if named is not None:
        return _named_server(named)
    try:
        server = read_server_file(paths.server_file)
    except PathError as error:
        return Finding("server", False, str(error), f"Remove {paths.server_file}.")
    if server is None or not is_running(server):
        return Finding("server", True, "not running; `batchyard up` starts it", present=False)
    return Finding("server", True, f"version {server.version} at {server.address}, process {server.pid}")


def _named_server(named: Named) -> Finding:
    try:
        directory = data_directory_at(find_endpoint(named.url, os.environ))
    except ClientError as error:
        remedy = f"Start it, or correct {named.source}: commands ask that service."
        return Finding("server", False, f"{error} ({named.source} names it.)", remedy, False)
    return Finding("server", True, f"at {named.url}, named by {named.source}; its data are in {directory}")
