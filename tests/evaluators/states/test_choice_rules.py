"""Rules of Choice states: each operator on values of each type, and what stops the state."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.evaluators.states.choice_rules import OPERATOR_NAMES, compile_choices
from batchyard.evaluators.states.errors import InvalidExpression, StateError
from batchyard.evaluators.states.scope import Scope

T0, T1 = "2012-10-09T19:00:55Z", "2012-10-09T19:00:56Z"
# Values of every kind, none of them equal to another.
KINDS: list[Any] = [
    None,
    0,
    1.5,
    "",
    " ",
    "text",
    "2012-10-09T19:00:55",
    "2012-10-09",
    T0,
    [],
    [""],
    {},
    {"a": 0},
    True,
    False,
]


def holds(rule: dict[str, Any], document: Any, **variables: Any) -> bool:
    return compile_choices([rule]).select(Scope(document, {"Execution": {"Name": "e"}}, variables)) == 0


def compared(operator: str, left: Any, right: Any) -> bool:
    """The answer of an operator, which is the same for a constant and for its form with a path."""
    by_path = holds({"Variable": "$.left", f"{operator}Path": "$.right"}, {"left": left, "right": right})
    assert holds({"Variable": "$.left", operator: right}, {"left": left}) == by_path
    return by_path


@pytest.mark.parametrize(
    ("prefix", "values"),
    [
        ("String", ["", "A", "a", "ab", "b", "\U0001f197", "\uffff"]),
        ("Numeric", [-1, 0, 0.5, 1, 10**20]),
        ("Timestamp", ["2012-10-09T19:00:55.1+01:00", T0, "2012-10-09T19:00:55.000000001Z", T1]),
    ],
)
def test_values_of_one_type_are_ordered(prefix: str, values: list[Any]) -> None:
    for left_rank, left in enumerate(values):
        for right_rank, right in enumerate(values):
            assert compared(f"{prefix}Equals", left, right) == (left_rank == right_rank)
            assert compared(f"{prefix}LessThan", left, right) == (left_rank < right_rank)
            assert compared(f"{prefix}LessThanEquals", left, right) == (left_rank <= right_rank)
            assert compared(f"{prefix}GreaterThan", left, right) == (left_rank > right_rank)
            assert compared(f"{prefix}GreaterThanEquals", left, right) == (left_rank >= right_rank)


def test_equal_values_that_are_written_differently() -> None:
    assert compared("NumericEquals", 1, 1.0)
    assert compared("TimestampEquals", T0, "2012-10-09T20:00:55.000+01:00")
    assert compared("BooleanEquals", True, True)
    assert not compared("BooleanEquals", True, False)


@pytest.mark.parametrize(
    ("operator", "operand", "equal"),
    [
        ("StringEquals", "text", ["text"]),
        ("NumericEquals", 0, [0]),
        ("TimestampEquals", T0, [T0]),
        ("BooleanEquals", True, [True]),
        ("StringMatches", "te*", ["text"]),
    ],
)
def test_a_value_of_another_type_is_not_equal_and_no_error(operator: str, operand: Any, equal: list[Any]) -> None:
    for value in KINDS:
        expected = any(value == one and type(value) is type(one) for one in equal)
        assert holds({"Variable": "$.v", operator: operand}, {"v": value}) == expected


def test_a_path_to_another_type_is_not_equal_either() -> None:
    for name in ("StringEquals", "NumericLessThan", "TimestampEquals", "BooleanEquals"):
        for left in KINDS:
            assert not holds({"Variable": "$.v", f"{name}Path": "$.o"}, {"v": left, "o": {"no": "type"}})


@pytest.mark.parametrize(
    ("test", "true_for"),
    [
        ("IsNull", [None]),
        ("IsNumeric", [0, 1.5]),
        ("IsString", [kind for kind in KINDS if isinstance(kind, str)]),
        ("IsBoolean", [True, False]),
        ("IsTimestamp", [T0]),
        ("IsPresent", KINDS),
    ],
)
def test_tests_of_types(test: str, true_for: list[Any]) -> None:
    for value in KINDS:
        expected = any(value is one or (value == one and type(value) is type(one)) for one in true_for)
        assert holds({"Variable": "$.v", test: True}, {"v": value}) == expected
        assert holds({"Variable": "$.v", test: False}, {"v": value}) != expected


def test_an_absent_value_is_only_fit_for_is_present() -> None:
    assert not holds({"Variable": "$.v", "IsPresent": True}, {})
    assert holds({"Variable": "$.v.w[3]", "IsPresent": False}, {"v": 1})
    for name in OPERATOR_NAMES:
        operand: Any = "$.there" if name.endswith("Path") else "*" if name == "StringMatches" else True
        if name == "IsPresent" or (
            not name.endswith("Path") and name[:2] not in ("Is", "Bo") and name != "StringMatches"
        ):
            continue
        with pytest.raises(StateError) as failure:
            holds({"Variable": "$.v", name: operand}, {"there": 1})
        assert failure.value.error == "States.Runtime"
        assert failure.value.cause == (
            "Invalid path '$.v': The choice state's condition path references an invalid value."
        )
    with pytest.raises(StateError, match=r"Invalid path '\$\.limit'"):
        holds({"Variable": "$.v", "NumericEqualsPath": "$.limit"}, {"v": 1})


def test_and_and_or_stop_where_they_are_decided() -> None:
    absent = {"Variable": "$.absent", "IsNull": True}
    here = {"Variable": "$.a", "NumericEquals": 1}
    not_here = {"Variable": "$.absent", "IsPresent": True}
    assert not holds({"And": [not_here, absent]}, {"a": 1})
    assert holds({"Or": [here, absent]}, {"a": 1})
    assert holds({"Not": {"And": [here, {"Not": {"Or": [here, absent]}}]}}, {"a": 1})
    with pytest.raises(StateError):
        holds({"And": [here, absent]}, {"a": 1})


def test_the_first_rule_that_holds_wins() -> None:
    choices = compile_choices(
        {
            "Type": "Choice",
            "Choices": [
                {"Not": {"Variable": "$.type", "StringEquals": "Private"}, "Next": "Public"},
                {"Variable": "$x.limit", "NumericGreaterThanEqualsPath": "$y", "Next": "A"},
                {"Variable": "$$.Execution.Name", "StringEquals": "e", "Next": "B"},
            ],
        }
    )
    assert choices.variables == {"x", "y"}
    for document, limit, name, expected in [
        ({"type": "Public"}, 1, "e", 0),
        ({"type": "Private"}, 5, "e", 1),
        ({"type": "Private"}, 1, "e", 2),
        ({"type": "Private"}, 1, "f", None),
    ]:
        scope = Scope(document, {"Execution": {"Name": name}}, {"x": {"limit": limit}, "y": 5})
        assert choices.select(scope) == expected


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("log-*.txt", ["log-.txt", "log-a-b.txt"], ["log.txt", "log-a.txtx", "alog-.txt"]),
        ("*", ["", "x\ny"], []),
        ("", [""], ["x"]),
        ("a*b*c", ["abc", "aXbXbXc"], ["acb", "ab"]),
        (r"a\*b", ["a*b"], ["axb", r"a\*b"]),
        (r"a\\*", ["a\\", r"a\b"], ["ab"]),
        ("[a].?", ["[a].?"], ["a.x"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    for text in matching:
        assert holds({"Variable": "$", "StringMatches": pattern}, text)
    for text in other:
        assert not holds({"Variable": "$", "StringMatches": pattern}, text)


@pytest.mark.parametrize("pattern", [r"a\b", "a\\"])
def test_a_lonely_backslash_in_a_pattern_fails_the_state(pattern: str) -> None:
    with pytest.raises(StateError, match=r"pattern .* is not valid:"):
        holds({"Variable": "$", "StringMatches": pattern}, "a")


def test_patterns_take_linear_time() -> None:
    assert not holds({"Variable": "$", "StringMatches": "*a" * 2000 + "b"}, "a" * 100_000)


@pytest.mark.parametrize(
    "rules",
    [
        None,
        {},
        [],
        ["x"],
        [{}],
        [{"Variable": "$.a"}],
        [{"StringEquals": "x"}],
        [{"Variable": 1, "IsNull": True}],
        [{"Variable": "a", "IsNull": True}],
        [{"Variable": "$.a", "IsNull": "true"}],
        [{"Variable": "$.a", "IsPresent": 1}],
        [{"Variable": "$.a", "StringEquals": 1}],
        [{"Variable": "$.a", "NumericEquals": True}],
        [{"Variable": "$.a", "TimestampEquals": "2012-10-09"}],
        [{"Variable": "$.a", "StringMatches": 1}],
        [{"Variable": "$.a", "NumericEqualsPath": 1}],
        [{"Variable": "$.a", "NumericEqualsPath": "b"}],
        [{"Variable": "$.a", "NumericEquals": 1, "NumericLessThan": 2}],
        [{"And": []}],
        [{"Or": {}}],
        [{"Not": []}],
        [{"Not": {"Variable": "$.a", "IsNull": True}, "And": [{"Variable": "$.a", "IsNull": True}]}],
        [{"Variable": "$.a", "isnull": True}],
    ],
)
def test_rules_that_are_none_are_refused_with_a_sentence(rules: Any) -> None:
    with pytest.raises(InvalidExpression) as fault:
        compile_choices(rules)
    assert fault.value.message.endswith(".")


def test_rules_nested_without_end_are_refused() -> None:
    rule: dict[str, Any] = {"Variable": "$.a", "IsNull": True}
    for _ in range(51):
        rule = {"Not": rule}
    with pytest.raises(InvalidExpression, match="nested more than 50 levels"):
        compile_choices([rule])
