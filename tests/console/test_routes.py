"""Which page answers, and what visitors see instead of one."""

import re
from typing import Any

from batchyard.api.context import Call
from batchyard.console.routes import POST, ROUTES
from batchyard.console.site import PageRequest
from batchyard.core.model.facts import JobStateChanged
from batchyard.core.model.records import Status
from tests.console.site import READER, VISITOR, Console, header_of, text_of


def test_a_path_without_a_page_says_so(console: Console) -> None:
    found = console.ask(PageRequest("nonsense", VISITOR))
    assert found.status == 404
    assert "The console has no such page." in text_of(found.body.decode())
    assert console.ask(PageRequest("", VISITOR, "DELETE")).status == 404


def test_read_only_visitors_change_nothing(yard: Console) -> None:
    writing = [route for route in ROUTES if route.method == POST and route.writes]
    for route in writing:
        found = yard.post(re.sub(r"\{\w+\}", "x", route.pattern), READER)
        assert found.status == 403
        assert "may only read" in text_of(found.body.decode())


def test_the_theme_is_kept_in_a_cookie(console: Console) -> None:
    found = console.post("theme", READER, theme="dark", back="/console/jobs?state=FAILED")
    assert found.status == 303
    assert header_of(found, "location") == "/console/jobs?state=FAILED"
    assert header_of(found, "set-cookie").startswith("batchyard_theme=dark; Path=/console/")
    assert 'data-theme="dark"' in console.get(visitor=VISITOR.__class__("x", theme="dark"))


def test_the_way_back_stays_in_the_console(console: Console) -> None:
    for back in ("https://evil.example/", "//evil.example", "/console/\r\nx: y"):
        assert header_of(console.post("theme", theme="", back=back), "location") == "/console/"


def test_the_stream_of_a_page_begins_before_what_it_read(yard: Console) -> None:
    """What happens while a page is made is in its stream."""
    for number in range(3):
        yard.ring.add(JobStateChanged(1, number, "x", "default", Status.RUNNING))
    before = yard.site.handlers["yard", "ListQueues"]

    async def list_queues(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        yard.ring.add(JobStateChanged(1, 9, "x", "default", Status.RUNNING))
        return await before(call, request)

    yard.handlers["yard", "ListQueues"] = list_queues
    assert 'data-number="3"' in yard.get("queues")
