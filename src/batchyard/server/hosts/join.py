"""`batchyard join`: makes this machine a host of a server, in the foreground."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from batchyard.core.model.host_records import HostFacts
from batchyard.engines.boot import boot_id
from batchyard.engines.file_lock import try_lock
from batchyard.engines.process import ProcessSettings
from batchyard.engines.remote.agent import AgentSettings, HostAgent, NotAdmitted
from batchyard.server.admin.terminal import EXIT_USAGE, Failure
from batchyard.server.hosts.tokens import HostToken, TokenError, parse_token
from batchyard.server.settings import host
from batchyard.server.settings.config import load
from batchyard.server.settings.paths import make_private, runtime_directory
from batchyard.version import VERSION

DEFAULT_PORT = 8471
TOKEN_VARIABLE = "BATCHYARD_JOIN_TOKEN"
EXPIRES_VARIABLE = "BATCHYARD_JOIN_EXPIRES_AT"
AGENT_LOCK = "agent.lock"


class JoinOptions(Struct, frozen=True):
    """The command's options. None: found on this machine."""

    url: str
    token: str
    state_dir: Path
    name: str | None = None
    vcpus: str | None = None
    memory: str | None = None
    gpus: str | None = None
    labels: tuple[str, ...] = ()
    expires_at: float = 0.0
    drain_seconds: float = 0.0


def default_state_dir(variables: Mapping[str, str]) -> Path:
    home = variables.get("XDG_STATE_HOME") or os.path.join(variables.get("HOME", "/"), ".local", "state")
    return Path(home) / "batchyard-host"


def join(options: JoinOptions, say: Callable[[str], None]) -> None:
    """Runs until the server lets this host go, or a signal ends it. Raises Failure."""
    address, port = _address_of(options.url)
    token = _token_of(options.token)
    make_private(options.state_dir)
    lock = os.open(options.state_dir / AGENT_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    if not try_lock(lock):
        raise Failure(f"Another `batchyard join` uses {options.state_dir}: give this one a directory of its own.")
    settings = AgentSettings(
        host=address,
        port=port,
        state_dir=options.state_dir,
        runtime_dir=runtime_directory(options.state_dir, os.environ),
        facts=_facts(options),
        token=token.text if token is not None and not token.names_instance else "",
        fingerprint=token.fingerprint if token is not None else "",
        instance_id=token.token_id if token is not None and token.names_instance else "",
        key=token.secret if token is not None and token.names_instance else "",
        expires_at=options.expires_at,
        process=ProcessSettings(),
    )
    try:
        asyncio.run(_run(settings, options.drain_seconds, say))
    except NotAdmitted as refused:
        raise Failure(str(refused)) from refused
    except (OSError, RuntimeError) as error:
        raise Failure(f"This host cannot run jobs: {error}.") from error
    finally:
        os.close(lock)


def _address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "//" in url else f"//{url}")
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        port = 0
    if not parts.hostname or not port or parts.scheme not in ("", "https"):
        raise Failure(f"{url} is no address of a server: give it as https://HOST:{DEFAULT_PORT}.", EXIT_USAGE)
    return parts.hostname, port


def _token_of(text: str) -> HostToken | None:
    if not text:
        return None
    try:
        return parse_token(text)
    except TokenError as error:
        raise Failure(str(error), EXIT_USAGE) from error


def _facts(options: JoinOptions) -> HostFacts:
    given = {"vcpus": options.vcpus, "memory": options.memory, "gpus": options.gpus}
    found = host.detect(load({name: value for name, value in given.items() if value is not None}, {}, None))
    labels = []
    for label in options.labels:
        name, separator, value = label.partition("=")
        if not separator or not name:
            raise Failure(f"The label {label} is not of the form NAME=VALUE.", EXIT_USAGE)
        labels.append((name, value))
    return HostFacts(
        name=options.name or socket.gethostname(),
        resources=found.resources,
        boot_id=boot_id(),
        version=VERSION,
        gpu_ids=found.gpu_ids,
        gpu_names=tuple(gpu.name for gpu in found.gpus.gpus),
        labels=tuple(labels),
        address=found.address,
    )


async def _run(settings: AgentSettings, drain_seconds: float, say: Callable[[str], None]) -> None:
    agent = HostAgent(settings, say)
    running = asyncio.create_task(agent.run())
    loop = asyncio.get_running_loop()

    def end() -> None:
        if drain_seconds > 0:
            say(f"This host ends: its jobs have {drain_seconds:g} s.")
            agent.drain(drain_seconds)
            loop.call_later(drain_seconds, running.cancel)
            emptied = asyncio.create_task(agent.emptied())
            emptied.add_done_callback(lambda _: running.cancel())
        else:
            say("The agent ends; jobs run on until the lease of this host is over, or it is started again.")
            running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    await asyncio.wait([running])
    if not running.cancelled():
        running.result()
        say("The server has let this host go.")
