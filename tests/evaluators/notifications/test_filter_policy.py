"""Filter policies: which messages they accept, and AWS's texts for what is wrong with one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.json_text import parse_members
from batchyard.evaluators.notifications.filter_policy import InvalidPolicy, combinations, compile_filter_policy
from batchyard.evaluators.notifications.message_attributes import MessageAttribute
from tests.evaluators.recordings import recorded


def test_the_recorded_texts_of_aws() -> None:
    cases = recorded("sns_filter_errors.json")
    assert len(cases) > 30
    wrong = []
    for case in cases:
        with pytest.raises(InvalidPolicy) as refusal:
            compile_filter_policy(case["policy"])
        if (refusal.value.code, refusal.value.message) != ("InvalidParameter", case["text"]):
            wrong.append((case["label"], case["policy"], refusal.value.message))
    assert wrong == []


ATTRIBUTES = {
    "color": MessageAttribute("String", "red"),
    "price": MessageAttribute("Number", "12.50"),
    "count": MessageAttribute("Number.int", "3"),
    "tags": MessageAttribute("String.Array", '["a", 5, true, null]'),
    "broken": MessageAttribute("String.Array", "[1"),
    "blob": MessageAttribute("Binary", None, b"x"),
    "dotted.name": MessageAttribute("String", "x"),
}


@pytest.mark.parametrize(
    ("policy", "accepted"),
    [
        ({"color": ["red", "blue"]}, True),
        ({"color": ["blue"]}, False),
        ({"color": [{"anything-but": "red"}]}, False),
        ({"color": [{"anything-but": {"prefix": "b"}}]}, True),
        ({"price": [12.5]}, True),
        ({"price": ["12.50"]}, False),
        ({"price": [{"numeric": [">", 12, "<=", 13]}], "count": [3]}, True),
        ({"tags": ["a"]}, True),
        ({"tags": [5]}, True),
        ({"tags": [None]}, True),
        ({"tags": ["b"]}, False),
        ({"broken": [{"exists": True}]}, False),
        ({"blob": [{"exists": True}]}, False),
        ({"absent": [{"exists": False}]}, True),
        ({"absent": [None, {"anything-but": "x"}]}, False),
        ({"dotted.name": ["x"]}, True),
        ({"$or": [{"color": ["blue"]}, {"count": [3]}]}, True),
    ],
)
def test_attributes(policy: dict[str, Any], accepted: bool) -> None:
    compiled = compile_filter_policy(json.dumps(policy))
    assert compiled is not None
    assert compiled.accepts("no JSON", ATTRIBUTES) is accepted


def test_bodies() -> None:
    compiled = compile_filter_policy('{"a": {"b": ["x"]}}', "MessageBody")
    assert compiled is not None
    assert compiled.accepts('{"a": {"b": "x"}}', {})
    assert compiled.accepts('{"a.b": ["y", "x"]}', {})
    for body in ('{"a": {"b": "y"}}', "[]", "no JSON", '"x"', ""):
        assert not compiled.accepts(body, ATTRIBUTES)


def test_no_policy() -> None:
    assert compile_filter_policy("") is None
    assert compile_filter_policy("{}") is None


@pytest.mark.parametrize(
    ("policy", "scope", "reason"),
    [
        ("{", "MessageBody", "failed to parse JSON."),
        ("[]", "MessageBody", "Filter is not an object"),
        (
            {"a": {"b": [1]}},
            "MessageAttributes",
            "Filter policy scope MessageAttributes does not support nested filter policy",
        ),
        ({f"k{n}": [1] for n in range(6)}, "MessageAttributes", "Filter policy can not have more than 5 keys"),
        ({"a": list(range(10)), "b": list(range(16))}, "MessageAttributes", "Filter policy is too complex"),
        ({"a": {"b": list(range(76))}}, "MessageBody", "Filter policy is too complex"),
        ({"a": [{"anything-but": {"wildcard": "x*"}}]}, "MessageBody", "Unsupported anything-but pattern: wildcard"),
    ],
)
def test_limits(policy: Any, scope: str, reason: str) -> None:
    text = policy if isinstance(policy, str) else json.dumps(policy)
    with pytest.raises(InvalidPolicy) as refusal:
        compile_filter_policy(text, scope, is_subscribe=False)
    assert refusal.value.message == f"Invalid parameter: FilterPolicy: {reason}"


def test_keys_of_the_first_level_count() -> None:
    nested = {"a": {f"k{at}": [1] for at in range(6)}, "b": [1]}
    assert compile_filter_policy(json.dumps(nested), "MessageBody") is not None
    either = {"$or": [{f"k{at}": [1]} for at in range(5)]}
    assert compile_filter_policy(json.dumps(either)) is not None
    with pytest.raises(InvalidPolicy, match="more than 5 keys"):
        compile_filter_policy(json.dumps({**either, "a": [1]}))


def test_combinations_multiply_values_by_their_level() -> None:
    policy = {"a": {"b": {"c": [1, 2, 3, 4]}}, "d": {"e": [1, 2, 3]}, "f": [1, 2]}
    assert combinations(parse_members(json.dumps(policy))) == 4 * 3 * 3 * 2 * 2
    either = {"a": [1, 2], "$or": [{"b": [1, 2, 3]}, {"c": [1]}]}
    assert combinations(parse_members(json.dumps(either))) == 2 * (3 + 1)
    deep = {"$or": [{"m": [1, 2, 3]}, {"n": [1, 2]}], "d": {"s": [1, 2], "$or": [{"a": [1]}, {"t": [1, 2, 3]}]}}
    assert combinations(parse_members(json.dumps(deep))) == 160


@given(st.text('{}[]":,ab1$or', max_size=30), st.sampled_from(["MessageAttributes", "MessageBody"]), st.text())
def test_any_text_is_a_policy_or_refused(text: str, scope: str, body: str) -> None:
    try:
        compiled = compile_filter_policy(text, scope)
    except InvalidPolicy:
        return
    assert compiled is None or compiled.accepts(body, ATTRIBUTES) in (True, False)
