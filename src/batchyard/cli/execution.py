"""`batchyard exec`: runs a command in the container of a running job, with this terminal or pipe as its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from batchyard.cli.client import Client, ClientError, Stream
from batchyard.cli.job_lookup import resolve
from batchyard.cli.terminal_output import flush
from batchyard.wire.execframes import BadFrame, Frames, Kind, pack, pack_size

READ_BYTES = 32 * 1024
STDIN, STDOUT, STDERR = 0, 1, 2


def execute(client: Client, job: str, command: list[str], *, container: str, tty: bool | None) -> int:
    """Runs the command and returns its exit code. `tty`: whether it gets a terminal; None: if we have one. Raises
    ClientError."""
    is_terminal = os.isatty(STDIN) and os.isatty(STDOUT)
    wants_terminal = is_terminal if tty is None else tty
    request = {"jobId": resolve(client, job), "command": command, "container": container, "tty": wants_terminal}
    try:
        with client.stream(request) as stream, _sizes(stream, enabled=wants_terminal and is_terminal):
            threading.Thread(target=_send_input, args=(stream,), daemon=True).start()
            return _follow(stream)
    except BadFrame as error:
        raise ClientError(f"{client.url} does not answer as Batchyard does: {error}.") from error


def _follow(stream: Stream) -> int:
    frames = Frames()
    while piece := stream.read():
        for kind, content in frames.feed(piece):
            if kind is Kind.STDOUT or kind is Kind.STDERR:
                _write(STDERR if kind is Kind.STDERR else STDOUT, content)
            elif kind is Kind.EXIT and content:
                return int(content)
            elif kind is Kind.EXIT:
                raise ClientError("The command has ended, and Docker does not know its exit code.")
            elif kind is Kind.ERROR:
                raise ClientError(content.decode("utf-8", "replace"))
    raise ClientError("The connection ended before the command did.")


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _send_input(stream: Stream) -> None:
    """Sends the input, in a thread of its own: reading a terminal can't be interrupted, and nothing waits for the
    thread."""
    try:
        while data := os.read(STDIN, READ_BYTES):
            stream.write(pack(Kind.INPUT, data))
        stream.write(pack(Kind.INPUT_END))
    except OSError:
        return  # the command has ended, or there is no input at all: the other thread has the result


@contextmanager
def _sizes(stream: Stream, *, enabled: bool) -> Iterator[None]:
    """Puts our terminal into raw mode and connects it with the command: it gets every key, and every change of size."""
    if not enabled:
        yield
        return
    import termios
    import tty

    def tell(number: int = 0, frame: FrameType | None = None) -> None:
        size = os.get_terminal_size(STDOUT)
        stream.write(pack_size(size.lines, size.columns))

    before = termios.tcgetattr(STDIN)
    handler = signal.signal(signal.SIGWINCH, tell)
    try:
        tty.setraw(STDIN)
        tell()
        yield
    finally:
        signal.signal(signal.SIGWINCH, handler)
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)
        flush()
