"""JSON text, read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.json_text import InvalidJson, JsonNumber, Members, minified, parse_json, parse_members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES)
def test_a_value_written_is_the_value_read(value: Any) -> None:
    assert parse_json(minified(value)) == value


def test_half_a_surrogate_pair_stays_an_escape() -> None:
    value = parse_json('["\\ud800", "é"]')
    assert minified(value) == '["\\ud800","\\u00e9"]'
    assert minified(["é"]) == '["é"]'
    assert parse_json(minified(value)) == value


def test_repeated_keys() -> None:
    assert parse_json('{"a": 1, "a": 2}') == {"a": 2}
    assert parse_members('{"a": 1, "a": 2}') == Members([("a", 1.0), ("a", 2.0)])


@pytest.mark.parametrize("text", ["", "NaN", "[Infinity]", "{", '{"a" 1}', "[1,]", "'a'", "[" * 100_000, "1" * 5000])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(InvalidJson):
        parse_json(text)


def test_numbers_keep_their_text() -> None:
    numbers = parse_members("[1, 1.0, 1e2, 12345678901234567, -0]")
    assert [number.text for number in numbers] == ["1", "1.0", "1e2", "12345678901234567", "-0"]
    assert [number.value for number in numbers] == [1.0, 1.0, 100.0, 12345678901234567, 0.0]
    assert [type(number.value) for number in numbers] == [float, float, float, int, float]
    assert JsonNumber("1" * 5000).value == float("inf")


@given(st.text())
def test_any_text_is_json_or_not(text: str) -> None:
    for parse in (parse_json, parse_members):
        try:
            parse(text)
        except InvalidJson:
            with pytest.raises(ValueError, match=r".*"):
                json.loads(text, parse_constant=int)
