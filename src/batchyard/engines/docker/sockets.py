"""The socket of the Docker daemon, and whether the daemon can be used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from batchyard.engines.docker.api import Api, ApiError, DaemonUnreachable

DOCKER_SOCKET = Path("/var/run/docker.sock")
UNIX = "unix://"
PODMAN = "Podman Engine"


class Probe(Struct, frozen=True):
    """The daemon behind a socket. `problem`: why it can't be used; empty when it can."""

    socket_path: Path | None
    name: str = ""  # Docker Engine, Podman Engine...
    version: str = ""
    problem: str = ""


def find_socket(environ: Mapping[str, str]) -> Path | None:
    """Returns DOCKER_HOST where it is a unix socket, else Docker's default socket, else this user's Podman socket.
    None: there is none, or DOCKER_HOST names a daemon elsewhere, whose containers would not see this machine's
    files."""
    address = environ.get("DOCKER_HOST", "")
    if address:
        return Path(address.removeprefix(UNIX)) if address.startswith(UNIX) else None
    if DOCKER_SOCKET.exists():
        return DOCKER_SOCKET
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    podman = Path(runtime) / "podman" / "podman.sock"
    return podman if runtime and podman.exists() else None


async def probe(environ: Mapping[str, str], socket_path: Path | None = None) -> Probe:
    """Asks the daemon at `socket_path`, or at the socket that is found."""
    path = socket_path or find_socket(environ)
    if path is None:
        address = environ.get("DOCKER_HOST", "")
        if address:
            return Probe(
                None, problem=f"DOCKER_HOST is {address}, and only unix:// sockets of this machine can be used"
            )
        return Probe(
            None, problem=f"there is no {DOCKER_SOCKET} and no Podman socket: start Docker, or set DOCKER_HOST"
        )
    if not os.access(path, os.R_OK | os.W_OK) and path.exists():
        return Probe(path, problem=f"{path} is not open to this user: join the group docker, or run as root")
    api = Api(path)
    try:
        found = await api.negotiate()
    except DaemonUnreachable as error:
        return Probe(path, problem=f"no daemon answers: {error}")
    except ApiError as error:
        return Probe(path, problem=f"{path} does not speak Docker's API: {error.message}")
    finally:
        api.close()
    components = [str(part.get("Name", "")) for part in found.get("Components", [])]
    name = PODMAN if PODMAN in components else found.get("Platform", {}).get("Name", "") or "Docker Engine"
    if found.get("Os", "linux") != "linux":
        return Probe(path, name, str(found.get("Version", "")), f"its containers are {found['Os']}'s, not Linux's")
    return Probe(path, name, str(found.get("Version", "")))
