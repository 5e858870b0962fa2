"""The console on the machine and store of tests.api.service, without HTTP."""

import asyncio
import re
from html import unescape
from pathlib import Path
from typing import Any

from batchyard.api.context import Settings
from batchyard.console.live import FactRing
from batchyard.console.routes import answer
from batchyard.console.site import Answer, PageRequest, Site, Visitor
from tests.api.service import Service

VISITOR = Visitor("AKEXAMPLE", "key AKEXAMPLE", csrf_token="token")
READER = Visitor("AKREADER", "key AKREADER", "reader", is_read_only=True)


class Console(Service):
    """`get` and `post` answer as the server would for a visitor who was let in."""

    def __init__(self, directory: Path, settings: Settings | None = None) -> None:
        super().__init__(directory, settings)
        self.ring = FactRing()
        self.site = Site(self.context, self.handlers, lambda: self.now_ms, self.ring)

    def ask(self, request: PageRequest) -> Answer:
        return asyncio.run(answer(self.site, request))

    def get(self, path: str = "", visitor: Visitor = VISITOR, **query: str) -> str:
        """The page, which must be there."""
        found = self.ask(PageRequest(path, visitor, query=query))
        assert found.status == 200, text_of(found.body.decode())
        return found.body.decode()

    def post(self, path: str, visitor: Visitor = VISITOR, **form: str) -> Answer:
        return self.ask(PageRequest(path, visitor, "POST", form=form))


def text_of(page: str) -> str:
    """What a reader sees of a page's main part, with single spaces."""
    main = re.search(r"<main.*?>(.*)</main>", page, re.DOTALL)
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", main[1] if main else page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())


def links_of(page: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'<a\b[^>]*href="([^"]*)"', page)]


def header_of(found: Answer, name: str) -> Any:
    return dict(found.headers).get(name)
