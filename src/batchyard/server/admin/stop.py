"""`batchyard down`: stops the server of a data directory, found by its server.json, and nothing else."""

from __future__ import annotations

import http.client
import os
import select
import signal

import msgspec

from batchyard.cli.client import YARD, Client, Document, UnreachableError
from batchyard.cli.endpoint import DEFAULT_REGION, Credentials, Endpoint
from batchyard.server.access.keys import Key, KeysError, read_keys
from batchyard.server.admin.terminal import Failure
from batchyard.server.settings.paths import Paths, ServerFile, is_running, read_server_file

STOP_SECONDS = 15.0  # a server ends within 5 s of SIGTERM; a busy machine gets more
REQUEST_SECONDS = 30.0  # the answer to Shutdown waits for a commit of every running job's end
# After the jobs' own grace: reports, their commits, the supervisor's end and the server's.
KILL_MARGIN_SECONDS = 30.0
COUNT_SECONDS = 2.0  # the number of jobs that run on is only a message: the server is ended in any case


def running_server(paths: Paths, otherwise: str = "") -> tuple[ServerFile, int]:
    """Returns the server and a pidfd of it. Raises Failure when none runs; its text ends with `otherwise`, the
    remedy."""
    server = read_server_file(paths.server_file)
    if server is not None:
        try:
            handle = os.pidfd_open(server.pid)
        except ProcessLookupError:
            pass
        else:
            # Checked after opening: from here on the handle can't refer to another process.
            if is_running(server):
                return server, handle
            os.close(handle)
    raise Failure(f"No server runs on {paths.data_dir}.{otherwise}")


def stop(paths: Paths) -> str:
    """Sends SIGTERM; returns the message. Jobs run on."""
    server, handle = running_server(paths)
    running = _jobs_running(paths, server)
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not _ended(handle, STOP_SECONDS):
            raise Failure(f"The server (process {server.pid}) did not end within {STOP_SECONDS:.0f} s of SIGTERM.")
    except PermissionError as error:
        raise Failure(f"The server (process {server.pid}) belongs to another user.") from error
    finally:
        os.close(handle)
    stopped = f"Stopped the server at {server.address}."
    return f"{stopped} {count(running).capitalize()} {'runs' if running == 1 else 'run'} on." if running else stopped


def _jobs_running(paths: Paths, server: ServerFile) -> int:
    """Returns the server's count; 0 when it does not answer."""
    try:
        keys = read_keys(paths.operator_key_file)
        return int(_ask(server, keys[0], "GetService", {}, COUNT_SECONDS).get("jobsRunning", 0)) if keys else 0
    except (Failure, KeysError):
        return 0


def kill(paths: Paths, grace_seconds: float) -> str:
    """Terminates the running jobs, then server and supervisor end; returns the message."""
    keys = read_keys(paths.operator_key_file)
    if not keys:
        raise Failure(f"There is no operator key in {paths.data_dir}; stop the server without --kill.")
    # Only a server may record how its jobs ended.
    server, handle = running_server(paths, " To end jobs that run on: `batchyard up`, then `batchyard down --kill`.")
    try:
        answer = _ask(server, keys[0], "Shutdown", {"kill": True}, REQUEST_SECONDS)
        patience = grace_seconds + KILL_MARGIN_SECONDS
        if not _ended(handle, patience):
            raise Failure(
                f"The server (process {server.pid}) did not end within {patience:.0f} s; its jobs may still run."
            )
    finally:
        os.close(handle)
    return f"Stopped the server at {server.address}, its supervisor and {count(answer.get('jobsTerminated', 0))}."


def count(jobs: int) -> str:
    return "1 running job" if jobs == 1 else f"{jobs} running jobs"


def _ask(server: ServerFile, key: Key, operation: str, document: Document, timeout_seconds: float) -> Document:
    """Calls an operation of our own. Failure: no answer, or not the expected one."""
    credentials = Credentials(key.access_key_id, key.secret_access_key)
    endpoint = Endpoint(server.address, DEFAULT_REGION, (credentials,), server.certificate)
    with Client(endpoint, timeout_seconds) as client:
        try:
            status, _, content = client.exchange(operation, document, YARD)
        except UnreachableError as error:
            reason = error.__cause__
            raise Failure(
                f"The server at {server.address} does not answer ({reason}); stop it without --kill."
            ) from error
    if status != http.client.OK:
        raise Failure(f"The server refused to stop: {content[:500].decode('utf-8', 'replace')}")
    return msgspec.json.decode(content, type=Document)


def _ended(handle: int, timeout_seconds: float) -> bool:
    """Waits for the end of the pidfd's process. Returns whether it ended in time."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(timeout_seconds * 1000))
