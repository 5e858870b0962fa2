"""Sends the requests of HTTP tasks for operations: the running service gives the means when it has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from batchyard.wire.messages import Document


class HttpExchange(Struct, frozen=True):
    """What an HTTP task sent and got, as TestState shows it, without what its connection adds. `output`: of the task;
    or `error` and `cause`. `response`: None where none came."""

    request: Document
    response: Document | None
    output: Any = None
    error: str = ""
    cause: str = ""


class HttpTaskSender:
    """`send`: carries out arguments without faults; None: no service runs."""

    send: Callable[[Document], Awaitable[HttpExchange]] | None = None
