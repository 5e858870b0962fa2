"""Pulls of images: each image once at a time, with the user's or the job's own credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from batchyard.engines.docker.api import Api, ApiError, DaemonUnreachable
from batchyard.engines.docker.credentials import HUB, Credentials, CredentialsError, find_credentials, server_of

CANNOT_PULL = "CannotPullContainerError"
DEFAULT_TAG = "latest"
MAX_LINE_BYTES = 1024 * 1024  # a progress line is a few hundred


class CannotPull(Exception):
    """The image can't be pulled. The text is the reason to report."""


class ImageName(Struct, frozen=True):
    """A parsed image name. `repository`: as in requests to Docker; `reference`: a tag or a digest."""

    registry: str
    repository: str
    reference: str


def parse_image(image: str) -> ImageName:
    """Parses `busybox`, `ghcr.io/org/tool:1.2`, `localhost:5000/x@sha256:...`."""
    name, at, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    has_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    path = rest if has_registry else name
    path, _, tag = path.partition(":")
    repository = f"{first}/{path}" if has_registry else path
    return ImageName(first if has_registry else HUB, repository, digest if at else tag or DEFAULT_TAG)


class Images:
    def __init__(self, api: Api, environ: Mapping[str, str]) -> None:
        self._api = api
        self._environ = environ
        self._pulls: dict[tuple[str, Credentials | None], _Pull] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # until they have ended, also without a waiting caller

    async def pull(self, image: str, credentials: Credentials | None = None) -> None:
        """Returns when the image is there. CannotPull: why not. When cancelled, the pull goes on for other callers."""
        key = image, credentials
        shared = self._pulls.get(key)
        if shared is None:
            shared = self._pulls[key] = _Pull(asyncio.create_task(self._pull(image, credentials), name=f"pull {image}"))
            self._tasks.add(shared.task)
            shared.task.add_done_callback(self._tasks.discard)
            shared.task.add_done_callback(lambda task: self._forget(key, task))
        shared.waiting += 1
        try:
            await asyncio.shield(shared.task)
        finally:
            shared.waiting -= 1
            if not shared.waiting and not shared.task.done():
                shared.task.cancel()
                self._forget(key, shared.task)

    def _forget(self, key: tuple[str, Credentials | None], task: asyncio.Task[None]) -> None:
        """Removes the pull of this task, but not a later one of the same image."""
        if (shared := self._pulls.get(key)) is not None and shared.task is task:
            del self._pulls[key]

    async def close(self) -> None:
        """Cancels the pulls under way, and waits for their ends."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _pull(self, image: str, credentials: Credentials | None) -> None:
        name = parse_image(image)
        try:
            if credentials is None:
                credentials = await find_credentials(name.registry, self._environ)
            headers = {"X-Registry-Auth": credentials.header(server_of(name.registry))} if credentials else {}
            query = {"fromImage": name.repository, "tag": name.reference}
            async with await self._api.open("POST", "/images/create", query, headers=headers) as response:
                rest = b""
                async for block in response.blocks():
                    *lines, rest = (rest + block).split(b"\n")
                    for line in lines:
                        _check(line)
                    if len(rest) > MAX_LINE_BYTES:
                        raise DaemonUnreachable("a line of progress without an end")
                _check(rest)
        except CredentialsError as error:
            raise CannotPull(f"{CANNOT_PULL}: {error}") from error
        except ApiError as error:
            raise CannotPull(f"{CANNOT_PULL}: Error response from daemon: {error.message}") from error


class _Pull:
    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.waiting = 0


def _check(line: bytes) -> None:
    """Raises the error of a progress line: Docker answers 200 first, and reports errors among the progress."""
    if not line.strip():
        return
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise DaemonUnreachable(f"progress that can't be read: {error}") from error
    if isinstance(found, dict) and found.get("error"):
        raise CannotPull(f"{CANNOT_PULL}: {found['error']}")
