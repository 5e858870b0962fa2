"""The frames that `batchyard exec` and the service exchange while a command runs, in both directions at once.

The request is `POST /yard/v1/execjob?request=JSON`, signed over its head alone; its body and the answer's are
frames, sent as they arise (chunked), so that one connection carries input, output, sizes of the terminal and the
exit code. A frame is one byte for its kind, four bytes for its length, and that many bytes of content.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

EXEC_PATH = "/yard/v1/execjob"
CONTENT_TYPE = "application/vnd.batchyard.exec"
HEADER_BYTES = 5
MAX_FRAME_BYTES = 1024 * 1024  # senders send what one read returned, far less: a longer frame is not ours


class Kind(IntEnum):
    INPUT = 0
    STDOUT = 1
    STDERR = 2
    INPUT_END = 3
    SIZE = 4  # of the terminal: rows and columns, two bytes each
    EXIT = 5  # the last one: the command's exit code, decimal; empty when it is not known
    ERROR = 6  # the last one: a sentence, why the command was cut off


class BadFrame(ValueError):
    """The other side does not speak this protocol."""


def pack(kind: Kind, content: bytes = b"") -> bytes:
    return bytes([kind]) + len(content).to_bytes(4, "big") + content


def pack_size(rows: int, columns: int) -> bytes:
    return pack(Kind.SIZE, min(rows, 0xFFFF).to_bytes(2, "big") + min(columns, 0xFFFF).to_bytes(2, "big"))


def size_of(content: bytes) -> tuple[int, int]:
    """Decodes rows and columns. Raises BadFrame."""
    if len(content) != 4:
        raise BadFrame("a terminal's size is four bytes")
    return int.from_bytes(content[:2], "big"), int.from_bytes(content[2:], "big")


class Frames:
    """Assembles frames from pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Returns the frames that are complete now. Raises BadFrame."""
        self._rest += piece
        while len(self._rest) >= HEADER_BYTES:
            length = int.from_bytes(self._rest[1:HEADER_BYTES], "big")
            if self._rest[0] not in set(Kind) or length > MAX_FRAME_BYTES:
                raise BadFrame(f"no frame: kind {self._rest[0]}, {length} bytes")
            end = HEADER_BYTES + length
            if len(self._rest) < end:
                return
            kind, content = Kind(self._rest[0]), self._rest[HEADER_BYTES:end]
            self._rest = self._rest[end:]
            yield kind, content
