"""The plain listener on loopback beside a main port with TLS, for what runs on this machine: AWS's SDKs take
credentials of a container from loopback without TLS, and would not trust a certificate of ours.

Its port is kept over restarts, since jobs that know it run on."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

from msgspec.structs import replace

from batchyard.server.access.access import Rules
from batchyard.server.http.job_listener import preferred_port, read_port, reserve
from batchyard.server.http.server import ListenError

ADDRESS = "127.0.0.1"
PORT_FILE = "loopback-port"
log = logging.getLogger(__name__)


def loopback_listener(state_dir: Path) -> socket.socket:
    """Returns a socket that listens on the port of the previous server, or else on a free one. Raises ListenError."""
    port_file = state_dir / PORT_FILE
    before, _ = read_port(port_file)
    try:
        listener = reserve(ADDRESS, before, preferred_port(state_dir))
    except OSError as error:
        raise ListenError(f"No port on {ADDRESS} is free for jobs ({error.strerror}): end what takes them.") from error
    port = int(listener.getsockname()[1])
    if port != before:
        try:
            port_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            port_file.write_text(f"{port}\n")
        except OSError as error:  # a full disk: jobs are served, but if they outlive us won't find the next server
            log.warning("the port of jobs can't be kept for the next start: %s", error)
    return listener


def plain_rules(rules: Rules) -> Rules:
    """Returns the rules of this listener, by those of the main port: who may come to that from other machines may come
    here from this one."""
    is_open = rules.allow_other_users or (rules.insecure and not rules.bound_to_loopback)
    return replace(rules, host=ADDRESS, bound_to_loopback=True, allow_other_users=is_open)
