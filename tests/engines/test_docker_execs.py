"""The stream of a second command, against a daemon's end of the connection that closes early."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from batchyard.engines.docker.api import Api, DaemonUnreachable
from batchyard.engines.docker.execs import STDOUT, ExecStream, begin

Ending = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MANY_BYTES = bytes(1 << 20)  # more than a socket holds


def frame(data: bytes) -> bytes:
    return struct.pack(">BxxxL", STDOUT, len(data)) + data


async def exec_against(path: Path, ending: Ending, check: Callable[[ExecStream], Awaitable[None]]) -> None:
    """Runs `check` with the stream of a command whose daemon does `ending` once the connection is a stream."""

    handlers: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer_requests(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):  # it was reset: the connection is closed
                await writer.wait_closed()

    async def answer_requests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode():
            length = 0
            while (header := await reader.readline()) != b"\r\n":
                name, value = header.decode().lower().split(":", 1)
                length = int(value) if name == "content-length" else length
            await reader.readexactly(length)
            if "/start" in line:
                writer.write(b"HTTP/1.1 101 UPGRADED\r\n\r\n")
                await ending(reader, writer)
                return
            answer = json.dumps({"Id": "e1", "Running": False, "ExitCode": 3}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_unix_server(accept, path):
        api = Api(path)
        stream = await begin(api, "c1", ["head"], tty=False)
        try:
            await check(stream)
        finally:
            stream.close()
            api.close()
            await asyncio.gather(*handlers)


async def write_until_refused(stream: ExecStream) -> None:
    with suppress(DaemonUnreachable):
        while True:
            await stream.write(MANY_BYTES)


async def end_before_the_input(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(1)
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # what is not read resets the connection at its close
    writer.write(frame(b"first") + frame(b"second"))
    await writer.drain()


async def end_within_a_frame(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await end_before_the_input(reader, writer)
    writer.write(frame(b"cut")[:-1])


def test_output_of_a_command_that_ends_before_its_input_is_whole(tmp_path: Path) -> None:
    async def check(stream: ExecStream) -> None:
        await write_until_refused(stream)
        stream.end_input()
        assert [await stream.read() for _ in range(3)] == [(STDOUT, b"first"), (STDOUT, b"second"), None]
        assert await stream.exit_code() == 3

    asyncio.run(exec_against(tmp_path / "docker.sock", end_before_the_input, check))


def test_output_that_ends_within_a_frame_was_cut(tmp_path: Path) -> None:
    async def check(stream: ExecStream) -> None:
        await write_until_refused(stream)
        assert [await stream.read() for _ in range(2)] == [(STDOUT, b"first"), (STDOUT, b"second")]
        with pytest.raises(DaemonUnreachable, match="cut"):
            await stream.read()

    asyncio.run(exec_against(tmp_path / "docker.sock", end_within_a_frame, check))
