"""Which page answers, and what visitors see instead of one."""

import re

from batchyard.console.routes import POST, ROUTES
from batchyard.console.site import PageRequest
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
