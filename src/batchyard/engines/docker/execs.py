"""A second command in a running container: its input, output, terminal size and exit code."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence

from batchyard.engines.docker.api import BLOCK_BYTES, Api, ApiError, DaemonUnreachable, Response

STDOUT, STDERR = 1, 2
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.005, 0.5  # between checks whether it has ended
_HEADER_BYTES = 8
_HIJACK = {"Upgrade": "tcp", "Connection": "Upgrade"}


class CannotExec(Exception):
    """The command can't be run. The text is a sentence to show to the caller."""


class ExecStream:
    """One running command. Nothing is buffered beyond a pipe: while one end does not read, the other can't write."""

    def __init__(self, api: Api, exec_id: str, response: Response, *, tty: bool) -> None:
        self._api = api
        self._exec_id = exec_id
        self._response = response
        self._tty = tty
        # The input goes through a descriptor of its own: a transport that fails to write drops the output that it has
        # not read yet, and a command may end before it has read all its input.
        self._input = socket.socket(fileno=os.dup(response.writer.get_extra_info("socket").fileno()))
        self._input.setblocking(False)

    async def read(self) -> tuple[int, bytes] | None:
        """Returns (STDOUT or STDERR, some output); with a terminal everything is STDOUT. None: the output has ended."""
        reader = self._response.reader
        try:
            if self._tty:
                data = await reader.read(BLOCK_BYTES)
                return (STDOUT, data) if data else None
            header = await reader.readexactly(_HEADER_BYTES)
            return header[0], await reader.readexactly(int.from_bytes(header[4:], "big"))
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise DaemonUnreachable("the output was cut") from error
            return None
        except OSError as error:
            raise DaemonUnreachable(f"the output was cut: {error}") from error

    async def write(self, data: bytes) -> None:
        """Writes to its input. Returns when there is room for more."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._input, data)
        except OSError as error:
            raise DaemonUnreachable(f"the input was cut: {error}") from error

    def end_input(self) -> None:
        try:
            self._input.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # the daemon has closed the connection: the command has ended
                raise

    async def resize(self, rows: int, columns: int) -> None:
        """Resizes the terminal. Does nothing without one, or when the command has ended."""
        try:
            await self._api.json("POST", f"/exec/{self._exec_id}/resize", {"h": str(rows), "w": str(columns)})
        except ApiError as error:
            if error.status >= 500 and "process" not in error.message and "exec" not in error.message:
                raise

    async def exit_code(self) -> int | None:
        """Waits for its end, a little after that of its output. Returns None when the daemon has forgotten the code."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                found = await self._api.json("GET", f"/exec/{self._exec_id}/json")
            except ApiError as error:
                if error.status == 404:
                    return None
                raise
            if not found.get("Running"):
                return int(found["ExitCode"]) if found.get("ExitCode") is not None else None
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    def close(self) -> None:
        self._input.close()
        self._response.close()


async def begin(
    api: Api, container: str, command: Sequence[str], *, tty: bool, environment: Sequence[tuple[str, str]] = ()
) -> ExecStream:
    """Starts a command. CannotExec: why not. DaemonUnreachable."""
    body = {
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": tty,
        "Cmd": list(command),
        "Env": [f"{name}={value}" for name, value in environment],
    }
    try:
        made = await api.json("POST", f"/containers/{container}/exec", body=body)
        response = await api.open(
            "POST", f"/exec/{made['Id']}/start", body={"Detach": False, "Tty": tty}, headers=_HIJACK
        )
    except ApiError as error:
        if error.status in (404, 409):
            raise CannotExec(f"The container does not run: {error.message}.") from error
        raise CannotExec(f"The command can't be started: {error.message}.") from error
    return ExecStream(api, made["Id"], response, tty=tty)
