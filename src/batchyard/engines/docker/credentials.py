"""The user's credentials for registries: from Docker's own configuration file and its credential helpers."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

HELPER_SECONDS = 30.0  # a helper may ask a cloud's token service
HELPER_PREFIX = "docker-credential-"
TOKEN_USER = "<token>"  # the user name of helpers when the secret is an identity token
HUB = "docker.io"
HUB_SERVER = "https://index.docker.io/v1/"  # Docker's name for its own registry in the file


class Credentials(Struct, frozen=True):
    user: str = ""
    password: str = ""
    identity_token: str = ""

    def header(self, server: str) -> str:
        """Returns X-Registry-Auth. https://docs.docker.com/reference/api/engine/, "Authentication"."""
        members = {"serveraddress": server}
        if self.identity_token:
            members["identitytoken"] = self.identity_token
        else:
            members |= {"username": self.user, "password": self.password}
        return base64.urlsafe_b64encode(msgspec.json.encode(members)).decode()


class CredentialsError(Exception):
    """The reason, as a sentence, why there are no credentials."""


def server_of(registry: str) -> str:
    return HUB_SERVER if registry == HUB else registry


async def find_credentials(registry: str, environ: Mapping[str, str]) -> Credentials | None:
    """Returns the credentials for a registry (`docker.io`, `ghcr.io`, `localhost:5000`); None: pull without any."""
    path = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/")) / ".docker") / "config.json"
    config = _read(path)
    server = server_of(registry)
    helpers = config.get("credHelpers") or {}
    helper = helpers.get(server) or helpers.get(registry) or config.get("credsStore")
    if helper:
        found = await _ask_helper(str(helper), server, environ)
        if found is not None:
            return found
    return _from_file(config.get("auths") or {}, registry, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CredentialsError(f"{path} can't be read: {error}") from error
    if not isinstance(found, dict):
        raise CredentialsError(f"{path} is no Docker configuration: it must hold a JSON object")
    return found


def _from_file(auths: dict[str, Any], registry: str, path: Path) -> Credentials | None:
    for name, entry in auths.items():
        if _host(name) != _host(server_of(registry)) or not isinstance(entry, dict):
            continue
        if entry.get("identitytoken"):
            return Credentials(identity_token=entry["identitytoken"])
        user, password = entry.get("username", ""), entry.get("password", "")
        if entry.get("auth"):
            try:
                user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise CredentialsError(f"{path}: `auth` of {name} is not base64 of user:password") from error
        if user or password:
            return Credentials(user, password.rstrip("\0"))
    return None


def _host(name: str) -> str:
    """Returns the host of a key of the file, which is a host, or a URL from older versions of Docker."""
    return name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("/")[0]


async def _ask_helper(helper: str, server: str, environ: Mapping[str, str]) -> Credentials | None:
    """Runs `docker-credential-X get`: the server's address in, JSON out. Returns None when the helper has none."""
    program = HELPER_PREFIX + helper
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "get",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environ),
        )
    except OSError as error:
        raise CredentialsError(f"the credential helper {program} can't be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(HELPER_SECONDS):
            output, errors = await process.communicate(server.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise CredentialsError(f"the credential helper {program} gave no answer within {HELPER_SECONDS:g} s") from None
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        words = (output + errors).decode("utf-8", "replace").strip()
        if "credentials not found" in words:
            return None
        raise CredentialsError(f"the credential helper {program} failed: {words or process.returncode}")
    try:
        found = msgspec.json.decode(output)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise CredentialsError(f"the credential helper {program} gave no credentials that can be read") from error
    return Credentials(identity_token=secret) if user == TOKEN_USER else Credentials(user, secret)
