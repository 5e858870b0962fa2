"""JSON values: their texts, sizes and equality, and the bounds that hold them."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.json_text import InvalidJson
from batchyard.evaluators.states import json_values
from batchyard.evaluators.states.errors import StateError
from batchyard.evaluators.states.json_values import MAX_NESTING, compact, equality_key, java_text, parse_value

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@given(VALUES)
def test_a_value_survives_its_text(value: Any) -> None:
    text = compact(value)
    assert equality_key(parse_value(text)) == equality_key(value)
    assert json.loads(text) == value
    assert json_values.size_bytes(text) == len(text.encode())


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "1e999", "[-1e999]", '{"a":[1,2e400]}', "9" * 400 + ".0", "{", ""]
)
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(InvalidJson):
        parse_value(text)


def test_numbers_keep_their_form() -> None:
    for text in ("3.3", "1.0", "12345678901234567890", "-98765432109876543210", r'"\ud800"', r'["\ud83c\udd97\udd97"]'):
        again = compact(parse_value(text))
        assert json.loads(again) == json.loads(text)
        assert "." in again or "." not in text
        assert again.encode()
    assert compact(parse_value("-0")) == "0"


def test_nesting_is_bounded_in_both_directions() -> None:
    assert parse_value(compact(nested(MAX_NESTING))) == nested(MAX_NESTING)
    wide = [[number] for number in range(MAX_NESTING)]
    assert parse_value(compact(wide)) == wide
    for levels in (MAX_NESTING + 1, 100_000):
        with pytest.raises(InvalidJson):
            parse_value("[" * levels + "]" * levels)
        with pytest.raises(StateError, match="nested more than 200 levels"):
            compact(nested(levels))


def test_java_prints_values_its_own_way() -> None:
    value = {"a": [1, 1.5, True, None, "x y"], "b": {}, "c": {"d": "e"}}
    assert java_text(value) == "{a=[1, 1.5, true, null, x y], b={}, c={d=e}}"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "java.lang.Boolean"),
        (1, "java.lang.Integer"),
        (2**31, "java.lang.Long"),
        (1.5, "java.lang.Double"),
        ("x", "java.lang.String"),
        ([], "net.minidev.json.JSONArray"),
        ({}, "java.util.LinkedHashMap"),
    ],
)
def test_types_have_the_names_of_java(value: Any, name: str) -> None:
    assert json_values.java_class(value) == name


def test_equality_is_that_of_json() -> None:
    alike = [(1, 1.0), ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}), (None, None), ("x", "x")]
    different = [(1, True), (0, False), (None, False), ("1", 1), ([], {}), ([1, 2], [2, 1]), ({"a": None}, {})]
    assert all(equality_key(left) == equality_key(right) for left, right in alike)
    assert not any(equality_key(left) == equality_key(right) for left, right in different)


@given(st.floats(-1e15, 1e15) | st.integers())
def test_halves_are_rounded_up(number: float) -> None:
    difference = json_values.rounded(number) - Fraction(number)
    assert Fraction(-1, 2) < difference <= Fraction(1, 2)


def test_results_are_held_to_the_size_of_a_payload() -> None:
    json_values.check_size("x" * json_values.MAX_PAYLOAD_BYTES, "S")
    with pytest.raises(StateError) as failure:
        json_values.check_size("ä" * (json_values.MAX_PAYLOAD_BYTES // 2) + "x", "S")
    assert (failure.value.error, failure.value.cause) == (
        "States.DataLimitExceeded",
        "The state/task 'S' returned a result with a size exceeding the maximum number of bytes service limit.",
    )


@given(VALUES)
def test_what_is_built_is_measured_from_below(value: Any) -> None:
    length = len(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
    assert not json_values._is_longer_than(value, length)
    json_values.check_built(value, "x")


def test_the_weight_of_a_value_counts_what_is_in_it() -> None:
    assert json_values.weight(1) == 1
    assert json_values.weight({"a": [1, 2, {}], "b": "x"}) == 6
