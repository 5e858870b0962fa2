"""Event patterns: what they match, and AWS's texts for what is wrong with one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.events.envelope import parse_test_event
from batchyard.evaluators.events.event_pattern import EventPattern, InvalidPattern, compile_pattern
from tests.evaluators.recordings import recorded

TEXTS = st.text("ab.*\\ä", max_size=4)
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
EVENTS = st.dictionaries(TEXTS, VALUES, max_size=4)


def pattern_of(value: Any) -> EventPattern:
    return compile_pattern(json.dumps(value))


def matches(pattern: Any, event: dict[str, Any]) -> bool:
    return pattern_of(pattern).matches(event)


def reason(pattern: Any) -> str:
    with pytest.raises(InvalidPattern) as refusal:
        compile_pattern(pattern if isinstance(pattern, str) else json.dumps(pattern))
    assert refusal.value.code == "InvalidEventPatternException"
    assert refusal.value.message == f"Event pattern is not valid. Reason: {refusal.value.reason}"
    return refusal.value.reason


def test_the_recorded_answers_of_aws() -> None:
    wrong = []
    cases = recorded("patterns_aws.json")
    assert len(cases) == 168
    for case in cases:
        try:
            pattern = compile_pattern(case["pattern"])
            answer: Any = pattern.matches(parse_test_event(case["event"]))
            code, text = None, None
        except Refused as error:
            answer, code, text = "error", error.code, error.message
        if answer != case["expect"] or code != case.get("code") or (case.get("text") and text != case["text"]):
            wrong.append((case["label"], answer, code, text))
    assert wrong == []


# -- structure --


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ({"a": {"b": ["1"]}}, {"a.b": "1"}, True),
        ({"a.b": ["1"]}, {"a": {"b": "1"}}, True),
        ({"a": {"b.c": ["1"]}}, {"a.b": {"c": "1"}}, True),
        ({"a": ["1"], "b": ["2"]}, {"a": "1", "b": "3"}, False),
        ({"a": [5]}, {"a": 5.0}, True),
        ({"a": [5]}, {"a": "5"}, False),
        ({"a": [1]}, {"a": True}, False),
        ({"a": [True]}, {"a": 1}, False),
        ({"a": [12345678901.0]}, {"a": 12345678901}, True),
        ({"a": [None]}, {}, False),
        ({"a": [None]}, {"a": [None]}, True),
        ({"a": ["x"]}, {"a": [["y"], ["x"]]}, True),
        ({"a": ["x"]}, {"a": {"x": 1}}, False),
        ({"a": [{"numeric": [">", 0]}]}, {"a": 10**400}, False),
        ({"a": [12345678901234567]}, {"a": 12345678901234567}, True),
        ({"a": [12345678901234567]}, {"a": 12345678901234568}, False),
        ({"a": [{"anything-but": 12345678901234567}]}, {"a": 12345678901234567}, False),
    ],
)
def test_structure(pattern: Any, event: dict[str, Any], expected: bool) -> None:
    assert matches(pattern, event) is expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"l": [{"a": "1"}, {"b": "2"}]}, False),
        ({"l": [{"a": "1", "b": "2"}]}, True),
        ({"l": [{"a": "1"}, {"a": "1", "b": "2"}]}, True),
        ({"l": [{"a": ["0", "1"], "b": ["2", "3"]}]}, True),
        ({"l": [[{"a": "1"}], [{"b": "2"}]]}, False),
        ({"l": [[{"a": "1"}, {"b": "2"}]]}, False),
        ({"l": [{"a": "1"}], "l.b": "2"}, True),  # two fields by two ways: no array holds both
    ],
)
def test_fields_below_one_array_match_within_one_element(event: dict[str, Any], expected: bool) -> None:
    assert matches({"l": {"a": ["1"], "b": ["2"]}}, event) is expected


def test_consistency_of_nested_arrays() -> None:
    pattern = {"l": {"m": {"a": ["1"], "b": ["2"]}, "n": ["3"]}}
    assert matches(pattern, {"l": [{"m": [{"a": "1", "b": "2"}], "n": "3"}]})
    assert not matches(pattern, {"l": [{"m": [{"a": "1"}, {"b": "2"}], "n": "3"}]})
    assert not matches(pattern, {"l": [{"m": [{"a": "1", "b": "2"}]}, {"n": "3"}]})
    assert matches({"k": {"a": ["1"]}, "l": {"a": ["1"]}}, {"k": [{}, {"a": "1"}], "l": [{"a": "1"}]})


def test_absence_is_judged_within_the_element_chosen_so_far() -> None:
    pattern = {"l": {"a": ["1"], "b": [{"exists": False}]}}
    assert matches(pattern, {"l": [{"a": "1"}, {"a": "2", "b": "3"}]})
    assert not matches(pattern, {"l": [{"a": "1", "b": "3"}]})
    # Nothing is chosen yet when the field comes first, so that an element that has it counts.
    assert not matches({"l": {"a": [{"exists": False}]}}, {"l": [{"a": "1"}, {"b": "2"}]})


@pytest.mark.parametrize("value", [{}, [], [[]], [{}], {"b": 1}])
def test_what_has_no_leaf_is_absent(value: Any) -> None:
    assert matches({"a": [{"exists": False}]}, {"a": value})
    assert not matches({"a": [{"exists": True}]}, {"a": value})


@pytest.mark.parametrize("value", [None, [None], "", 0, [1, {}]])
def test_what_has_a_leaf_is_present(value: Any) -> None:
    assert matches({"a": [{"exists": True}]}, {"a": value})
    assert not matches({"a": [{"exists": False}]}, {"a": value})


# -- operators --


@pytest.mark.parametrize(
    ("expression", "accepted", "refused"),
    [
        ({"prefix": "ab"}, ["ab", "abc"], ["a", "AB", 5, None]),
        ({"prefix": ""}, ["", "x"], [5, None, True]),
        ({"suffix": "b"}, ["ab"], ["ba"]),
        ({"prefix": {"equals-ignore-case": "Ab"}}, ["aB", "ABc"], ["b"]),
        ({"suffix": {"equals-ignore-case": "Ab"}}, ["xaB"], ["abx"]),
        ({"equals-ignore-case": "ÄB"}, ["äb"], ["ab", 5]),
        ({"equals-ignore-case": "STRASSE"}, ["strasse"], ["straße"]),
        ({"wildcard": "a*c"}, ["ac", "abc", "abcc"], ["ab", "xac", 5]),
        ({"wildcard": "*"}, ["", "x"], [5]),
        ({"wildcard": "ab*ba"}, ["abba", "abxba"], ["aba"]),
        ({"wildcard": "*a*"}, ["a", "xay"], ["", "x"]),
        ({"wildcard": "a\\*b\\\\"}, ["a*b\\"], ["axb\\"]),
        ({"exactly": "a"}, ["a"], ["b", 5]),
        ({"numeric": ["=", 5]}, [5, 5.0], ["5", 6, None, True]),
        ({"numeric": [">", 0, "<=", 5]}, [1, 5], [0, 6]),
        ({"numeric": [">=", 0, "<", 5]}, [0], [5]),
        ({"numeric": ["<=", 1]}, [1, -9], [2]),
        ({"cidr": "10.0.0.5/24"}, ["10.0.0.0", "10.0.0.255"], ["10.0.1.0", "x", 5, "::ffff:10.0.0.5"]),
        ({"cidr": "0.0.0.0/0"}, ["1.2.3.4"], ["::1", 5]),
        ({"cidr": "2001:db8::/32"}, ["2001:db8:1::"], ["2001:db9::", "10.0.0.1"]),
        ({"anything-but": "a"}, ["b", 5, None, True], ["a"]),
        ({"anything-but": 5}, ["5", True, 6], [5, 5.0]),
        ({"anything-but": [5, 6]}, [7], [5, 6.0]),
        ({"anything-but": ["a", "b"]}, ["c", 5], ["a", "b"]),
        ({"anything-but": ""}, ["a"], [""]),
        ({"anything-but": {"prefix": ["a", "b"]}}, ["c", 5], ["ab", "ba"]),
        ({"anything-but": {"suffix": "a"}}, ["ab"], ["ba"]),
        ({"anything-but": {"equals-ignore-case": ["A"]}}, ["b"], ["a", "A"]),
        ({"anything-but": {"wildcard": "a*"}}, ["b", 5], ["ab"]),
    ],
)
def test_operators(expression: Any, accepted: list[Any], refused: list[Any]) -> None:
    pattern = pattern_of({"f": [expression]})
    assert [value for value in accepted if not pattern.matches({"f": value})] == []
    assert [value for value in refused if pattern.matches({"f": value})] == []
    assert not pattern.matches({}), "an absent field matches none of them"
    assert pattern.matches({"f": [*refused, *accepted]}), "one element of an array is enough"


# -- $or --


def test_or_makes_branches_that_siblings_hold_for() -> None:
    pattern = {"s": ["x"], "$or": [{"a": [1]}, {"b": {"c": [2]}}, {"d": [{"exists": False}], "e": [3]}]}
    assert matches(pattern, {"s": "x", "a": 1})
    assert matches(pattern, {"s": "x", "b": {"c": 2}, "d": 1})
    assert matches(pattern, {"s": "x", "e": 3})
    assert not matches(pattern, {"s": "x", "e": 3, "d": 0})
    assert not matches(pattern, {"s": "y", "a": 1})
    nested = {"p": {"$or": [{"a": [1]}, {"$or": [{"b": [1]}, {"c": [1]}], "d": [1]}]}}
    assert matches(nested, {"p": {"c": 1, "d": 1}})
    assert not matches(nested, {"p": {"c": 1}})


def test_ors_that_multiply_are_refused_before_they_are_made() -> None:
    doubling = {f"f{n}": {"$or": [{"a": [1]}, {"b": [1]}]} for n in range(60)}
    assert reason(doubling) == "Rule is too complex - $or makes more than 1000 combinations"
    assert matches({f"f{n}": {"$or": [{"a": [1]}, {"b": [1]}]} for n in range(9)}, {f"f{n}.b": 1 for n in range(9)})


# -- what is wrong --


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("[]", "Filter is not an object"),
        ({}, "Empty objects are not allowed"),
        ({"a": {}}, "Empty objects are not allowed"),
        ({"a": [[1]]}, "Match value must be String, number, true, false, or null"),
        ({"a": [{}]}, "Match expression name not found"),
        ({"a": [{"prefix": "x", "suffix": "y"}]}, "Only one key allowed in match expression"),
        ({"a": [{"prefix": {"suffix": "y"}}]}, "Unsupported prefix pattern: suffix"),
        ({"a": [{"wildcard": "a\\b"}]}, "Invalid escape character at pos 2"),
        ({"a": [{"wildcard": "ä**"}]}, "Consecutive wildcard characters at pos 3"),
        ({"a": [{"numeric": []}]}, "Invalid member in numeric match: ]"),
        ({"a": [{"numeric": [1, "<"]}]}, "Invalid member in numeric match: 1"),
        ({"a": [{"numeric": ["<>", 1]}]}, "Unrecognized numeric range operator: <>"),
        ({"a": [{"numeric": ["=", "1"]}]}, "Value of equals must be numeric"),
        ({"a": [{"numeric": ["<", 1, ">", 2]}]}, "Too many elements in numeric expression"),
        ({"a": [{"numeric": [">", 1, 30]}]}, "Bad value in numeric range: 30"),
        ({"a": [{"numeric": [">", 1, "<", 3, 4]}]}, "Too many terms in numeric range expression"),
        ({"a": [{"numeric": [">", 3, "<", 1]}]}, "Bottom must be less than top"),
        ({"a": [{"numeric": ["<", 12345678901234567]}]}, "Cannot compare number : 12345678901234567"),
        ({"a": [{"exists": "x"}]}, "exists match pattern must be either true or false."),
        ({"a": [{"cidr": "1.2.3.4/-1"}]}, "Malformed CIDR, mask bits must not be negative"),
        ({"a": [{"cidr": "1.2.3.4/32"}]}, "IPv4 mask bits must be < 32"),
        ({"a": [{"cidr": "::/128"}]}, "IPv6 mask bits must be < 128"),
        ({"a": [{"cidr": "1.2.3.400/8"}]}, "Invalid IP address: 1.2.3.400"),
        (
            {"a": [{"anything-but": [1, "a"]}]},
            "Inside anything but list, either all values are number or string, mixed type is not supported",
        ),
        ({"a": [{"anything-but": {}}]}, "Anything-But expression name not found"),
        ({"a": [{"anything-but": {"numeric": ["=", 1]}}]}, "Unsupported anything-but pattern: numeric"),
        ({"$or": [{"a": [1]}]}, "There must have at least 2 Objects in $or relationship."),
        ({"$or": {"a": [1]}}, "It must be an Array followed with $or."),
        ({"$or": [{"a": [1]}, 2]}, "Only JSON object is allowed in array of $or relationship."),
        (
            {"$or": [{"numeric": [1]}, {"a": [1]}]},
            "numeric is Ruler reserved fieldName which cannot be used inside $or.",
        ),
        ('{"a":' * 200 + "[1]" + "}" * 200, "Patterns are nested at most 100 deep"),
        ('{"a":[NaN]}', "NaN is not a JSON value"),
        ("[" * 100_000, "The text is nested too deeply"),
    ],
)
def test_texts_of_refusals(pattern: Any, text: str) -> None:
    assert reason(pattern) == text


# -- judged before there is an event --


def test_what_is_known_of_an_event_excludes_patterns() -> None:
    pattern = pattern_of(
        {
            "source": ["aws.batch"],
            "detail-type": [{"prefix": "Batch Job"}],
            "detail": {"status": ["FAILED"], "jobName": ["x"]},
        }
    )
    known = {"source": "aws.batch", "detail-type": "Batch Job State Change"}
    assert pattern.could_match({})
    assert pattern.could_match({**known, "detail.status": "FAILED"})
    assert not pattern.could_match({**known, "detail.status": "RUNNING"})
    assert not pattern.could_match({"source": "mine"})
    either = pattern_of({"$or": [{"source": ["a"]}, {"detail": {"status": ["FAILED"]}}]})
    assert either.could_match({"source": "b", "detail.status": "FAILED"})
    assert not either.could_match({"source": "b", "detail.status": "RUNNING"})


def test_literals_are_the_only_strings_that_a_field_may_be() -> None:
    pattern = pattern_of({"source": ["a", "b"], "x": [{"prefix": "y"}], "z": ["1", None]})
    assert pattern.literals("source") == frozenset({"a", "b"})
    assert [pattern.literals(name) for name in ("x", "z", "unnamed")] == [None, None, None]
    assert pattern_of({"$or": [{"source": ["a"]}, {"b": [1]}]}).literals("source") is None


@given(EVENTS)
def test_a_pattern_made_of_an_events_own_fields_matches_it(event: dict[str, Any]) -> None:
    fields = {key: [value] for key, value in event.items() if key != "$or" and not isinstance(value, dict | list)}
    if fields:
        assert matches(fields, event)
        known = {key: value for key, value in event.items() if isinstance(value, str)}
        assert pattern_of(fields).could_match(known)


@given(st.one_of(VALUES, st.dictionaries(st.sampled_from(["a", "$or", "a.b"]), VALUES)), EVENTS)
def test_any_json_is_a_pattern_or_refused(pattern: Any, event: dict[str, Any]) -> None:
    try:
        compiled = pattern_of(pattern)
    except InvalidPattern:
        return
    assert compiled.matches(event) in (True, False)


OPERATORS = ["prefix", "suffix", "equals-ignore-case", "wildcard", "numeric", "exists", "cidr", "anything-but", "x"]
ARGUMENTS = VALUES | st.lists(st.sampled_from(["<", "<=", "=", ">", ">=", 1, 2.5, "x"]), max_size=5)
EXPRESSIONS = st.recursive(
    ARGUMENTS, lambda inner: st.dictionaries(st.sampled_from(OPERATORS), inner, min_size=1, max_size=2), max_leaves=3
)


@given(st.lists(EXPRESSIONS, min_size=1, max_size=3), VALUES)
def test_any_expression_is_read_or_refused(expressions: list[Any], value: Any) -> None:
    try:
        compiled = pattern_of({"f": expressions})
    except InvalidPattern:
        return
    assert compiled.matches({"f": value}) in (True, False)


@given(st.text(max_size=30))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    with pytest.raises(InvalidPattern):
        compile_pattern(text)
