"""Envelopes of events, and entries of PutEvents."""

from __future__ import annotations

import pytest

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.events.envelope import (
    InvalidEntry,
    entry_bytes,
    envelope,
    event_text,
    parse_detail,
    parse_test_event,
)


def test_the_members_come_in_awss_order() -> None:
    event = envelope(
        event_id="i",
        detail_type="t",
        source="s",
        account="1",
        at_ms=1_700_000_000_999,
        region="r",
        resources=("a",),
        detail={"ä": 1},
    )
    assert event_text(event) == (
        '{"version":"0","id":"i","detail-type":"t","source":"s","account":"1","time":"2023-11-14T22:13:20Z",'
        '"region":"r","resources":["a"],"detail":{"ä":1}}'
    )


def test_entries() -> None:
    assert parse_detail("s", "t", '{"a": 1, "a": 2}') == {"a": 2}
    for source, detail_type, detail, name in (
        ("", "t", "{}", "Source"),
        ("s", None, "{}", "DetailType"),
        ("s", "t", "", "Detail"),
    ):
        with pytest.raises(InvalidEntry) as failure:
            parse_detail(source, detail_type, detail)
        assert failure.value.code == "InvalidArgument"
        assert failure.value.message == f"Parameter {name} is not valid. Reason: {name} is a required argument."
    for detail in ("x", "[]", '"x"', "NaN", "{"):
        with pytest.raises(InvalidEntry) as failure:
            parse_detail("s", "t", detail)
        assert (failure.value.code, failure.value.message) == ("MalformedDetail", "Detail is malformed.")
    assert (
        entry_bytes(source="ä", detail_type="t", detail="{}", resources=("abc",), has_time=True) == 14 + 2 + 1 + 2 + 3
    )


@pytest.mark.parametrize("text", ["x", "[]", "{}", '{"id": 1, "account": 1, "source": 1, "time": 1, "region": 1}'])
def test_events_of_tests_need_their_members(text: str) -> None:
    with pytest.raises(Refused, match=r"Parameter Event is not valid\."):
        parse_test_event(text)
