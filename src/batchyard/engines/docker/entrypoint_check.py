"""The check that the program of a container exists in it.

With an init in front (`Init`), Docker starts a container whose program does not exist: the init then exits with 127, as
if the program had run. So that a missing program is reported as without an init, this check runs before the start. A
program that was found in an image is not looked for again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from batchyard.engines.docker.api import Api, ApiError
from batchyard.engines.start_failures import NOT_EXECUTABLE_EXIT_CODE, NOT_FOUND_EXIT_CODE

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Docker's own, for images without one
MAX_FOUND = 4096
_STAT_HEADER = "x-docker-container-path-stat"
_DIRECTORY_BIT, _LINK_BIT, _EXECUTE_BITS = 1 << 31, 1 << 27, 0o111  # of Go's file modes


class EntrypointCheck:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._found: set[tuple[str, str, str]] = set()  # image id, program, PATH

    async def problem(self, container: str, found: Mapping[str, Any]) -> tuple[str, int] | None:
        """Returns why the program of a created container can't be started, and its exit code; None: there is no reason.
        `found`: the answer of GET /containers/ID/json."""
        program = str(found.get("Path", ""))
        variables = dict(entry.partition("=")[::2] for entry in found.get("Config", {}).get("Env") or [])
        path = variables.get("PATH", DEFAULT_PATH)
        key = str(found.get("Image", "")), program, path
        if not program or key in self._found:
            return None
        directory = str(found.get("Config", {}).get("WorkingDir") or "/")
        verdict = await self._look(container, _candidates(program, path, directory))
        if verdict is None:
            if len(self._found) >= MAX_FOUND:
                self._found.clear()
            self._found.add(key)
            return None
        where = "no such file or directory" if "/" in program else "executable file not found in $PATH"
        why = where if verdict == NOT_FOUND_EXIT_CODE else "permission denied"
        return f'exec: "{program}": {why}', verdict

    async def _look(self, container: str, candidates: list[str]) -> int | None:
        """Returns the exit code of a failure; None: the program was found, or can't be looked for."""
        verdict: int = NOT_FOUND_EXIT_CODE
        for candidate in candidates:
            try:
                headers = await self._api.head(f"/containers/{container}/archive", {"path": candidate})
                mode = int(_stat(headers)["mode"])
            except ApiError as error:
                if error.status == 404:
                    continue
                return None  # this daemon does not answer: the start will show it
            except (KeyError, ValueError, TypeError):
                return None
            if mode & _LINK_BIT or (mode & _EXECUTE_BITS and not mode & _DIRECTORY_BIT):
                return None
            verdict = NOT_EXECUTABLE_EXIT_CODE
        return verdict


def _candidates(program: str, path: str, directory: str) -> list[str]:
    if program.startswith("/"):
        return [program]
    if "/" in program:
        return [f"{directory.rstrip('/')}/{program}"]
    return [f"{entry.rstrip('/')}/{program}" for entry in path.split(":") if entry]


def _stat(headers: Mapping[str, str]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(base64.b64decode(headers[_STAT_HEADER]))
    except (binascii.Error, msgspec.DecodeError) as error:
        raise ValueError("a stat that can't be read") from error
    return found
