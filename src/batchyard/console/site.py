"""What every page works with: the service's side (`Site`), the request, and the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from batchyard.analysis.execution_paths import Asked
from batchyard.api.context import Call, Context
from batchyard.api.operations import BoundHandler
from batchyard.api.readers import CALLER
from batchyard.console.bulk import BulkWorks
from batchyard.console.live import FactRing
from batchyard.console.visit_cache import VisitCache
from batchyard.wire.messages import Document

ROOT = "/console/"
HTML = "text/html; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"
JSON = "application/json"
UNQUOTED = "/:@!$'()*+,;=~"  # in paths; names of state machines have spaces and letters of all languages


class Visitor(Struct, frozen=True):
    """The person who looks. `principal`, `caller`: as in api.context.Call. `name`: of the access key; empty where no
    keys are configured. `theme`: light or dark; empty: as the system has it."""

    principal: str = ""
    caller: str = ""
    name: str = ""
    is_read_only: bool = False
    csrf_token: str = ""
    theme: str = ""


class PageRequest(Struct, frozen=True):
    """One request. `path`: below /console/, decoded; `parts`: what its route's pattern names; `query` and `form`:
    by name, several values joined by commas, or in forms by line ends; `is_fragment`: a script asks, to replace
    parts of the page on the screen; `fact_number`: of the latest fact before anything was read, from which the page's
    stream goes on."""

    path: str
    visitor: Visitor
    method: str = "GET"
    parts: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    form: Mapping[str, str] = {}
    is_fragment: bool = False
    fact_number: int = 0

    @property
    def url(self) -> str:
        """The address of this page, as links have it."""
        return url_of(self.path, self.query)


class Answer(Struct, frozen=True):
    """One answer. `headers`: beyond those of every answer."""

    body: bytes
    status: int = 200
    content_type: str = HTML
    headers: tuple[tuple[str, str], ...] = ()


class NotFound(Exception):
    """There is no such page or thing. The text is a sentence."""


class Forbidden(Exception):
    """The visitor may not do this. The text is a sentence."""


Found = TypeVar("Found")
Page = Callable[["Site", PageRequest], Awaitable[Answer]]


@dataclass(frozen=True)
class Site:
    """The service's side of every page. `handlers`: the bound operations of all services, as the API has them."""

    context: Context
    handlers: Mapping[tuple[str, str], BoundHandler]
    now_ms: Callable[[], int]
    ring: FactRing = field(default_factory=FactRing)
    visits: VisitCache = field(default_factory=VisitCache)
    works: BulkWorks = field(default_factory=BulkWorks)

    async def call(self, visitor: Visitor, service: str, operation: str, request: Document) -> Document:
        """Performs an operation as the visitor. Raises Refused, Busy or Stopped."""
        CALLER.set(visitor.caller)
        size_bytes = len(msgspec.json.encode(request))
        call = Call(operation, visitor.principal, size_bytes=size_bytes, caller=visitor.caller)
        return await self.handlers[service, operation](call, request)

    async def answered(self, visitor: Visitor, asking: Generator[Asked, Document, Found]) -> Found:
        """Returns the result of a generator, whose questions are operations performed as the visitor."""
        try:
            asked = next(asking)
            while True:
                answer = await self.call(visitor, asked.service, asked.operation, asked.request)
                asked = asking.send(answer)
        except StopIteration as end:
            found: Found = end.value
            return found


def url_of(path: str, query: Mapping[str, str] | None = None) -> str:
    """Returns the address of a page below /console/; empty values are left out."""
    kept = {name: value for name, value in (query or {}).items() if value}
    return f"{ROOT}{quote(path, safe=UNQUOTED)}" + (f"?{urlencode(kept)}" if kept else "")


def redirect(path: str, query: Mapping[str, str] | None = None) -> Answer:
    """Sends the browser to another page of the console, with GET."""
    return Answer(b"", 303, PLAIN, (("location", url_of(path, query)),))
