"""Hostile addresses and forms: each gets a page, no page shows what it was sent as anything but text."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.console.routes import GET, ROUTES
from batchyard.console.site import PageRequest
from tests.console.site import VISITOR, Console
from tests.store.samples import patient

HOSTILE = "<script>alert('x')</script>"
TEXTS = st.sampled_from(
    [
        "",
        HOSTILE,
        "\x00",
        "..",
        "%",
        "%s{0}",
        "1" * 400,
        "-1",
        "9" * 19,
        "'",
        '"',
        "x" * 4000,
        "é",
        "uuid:1",
        "\u202e",
    ]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MEMBERS = ("queue", "state", "name", "definition", "share", "tag", "since", "before", "q", "older", "newer", "next")
OTHERS = ("attempt", "container", "after", "against", "action", "ids", "back", "theme", "command", "size", "timeout")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Console:
    made = Console(Path(tmp_path_factory.mktemp("hostile")))
    made.make_queue()
    made.register()
    made.started = made.submit(name="nap", tags={HOSTILE: HOSTILE})  # type: ignore[attr-defined]
    made.start(made.started)  # type: ignore[attr-defined]
    return made


@settings(patient, max_examples=300)
@given(st.data())
def test_every_page_stands_hostile_addresses(full: Console, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(ROUTES))
    known = st.sampled_from([full.started, "default", "sleeper", "1", "local", "alarms"])  # type: ignore[attr-defined]
    path = route.pattern
    for name in ("{id}", "{name}", "{revision}", "{kind}"):
        path = path.replace(name, data.draw(known | TEXTS))
    sent = data.draw(st.dictionaries(st.sampled_from(MEMBERS + OTHERS), TEXTS, max_size=4))
    values = {"query": sent} if route.method == GET else {"form": sent}
    found = full.ask(PageRequest(path, VISITOR, route.method, **values))  # type: ignore[arg-type]
    assert found.status < 500
    assert HOSTILE.encode() not in found.body
    for name, value in found.headers:
        assert "\r" not in value, name
        assert "\n" not in value, name
