"""Rules of composite alarms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.alarms.composite import (
    Child,
    Constant,
    Joined,
    Node,
    Not,
    children,
    creation_reason,
    find_circle,
    holds,
    parse_rule,
    transition_reason,
)
from batchyard.evaluators.alarms.evaluation import AlarmState

STATES = {
    "a": AlarmState.ALARM,
    "b": AlarmState.OK,
    "c d": AlarmState.INSUFFICIENT_DATA,
    "arn:aws:x:alarm:e": AlarmState.OK,
}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("ALARM(a)", True),
        ('ALARM("a")', True),
        ("ALARM(b)", False),
        ("OK(a) OR OK(b)", True),
        ("ALARM(a) AND OK(b)", True),
        ('INSUFFICIENT_DATA("c d")', True),
        ("OK(arn:aws:x:alarm:e)", True),
        ("NOT ALARM(a)", False),
        ("NOT (ALARM(a) AND ALARM(b))", True),
        ("NOT ALARM(b) AND ALARM(a)", True),
        # NOT before AND before OR.
        ("TRUE OR FALSE AND FALSE", True),
        ("(TRUE OR FALSE) AND FALSE", False),
        ("NOT FALSE OR TRUE AND FALSE", True),
        ("NOT NOT TRUE", True),
        ("ALARM( a )AND(TRUE)", True),
        ("ALARM(gone)", False),
        ("NOT OK(gone)", True),
    ],
)
def test_rules(rule: str, expected: bool) -> None:
    assert holds(parse_rule(rule), STATES.get) is expected


def test_children_in_the_order_of_the_rule() -> None:
    assert children(parse_rule("OK(b) AND (ALARM(a) OR NOT ALARM(c)) OR ALARM(b)")) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("", "it ends where"),
        ("ALARM", "cannot be read from 'ALARM'"),
        ("ALARM()", "cannot be read"),
        ("alarm(a)", "cannot be read from 'alarm"),
        ("ALARM(a) ALARM(b)", "'ALARM(b)' stands where AND or OR is expected"),
        ("ALARM(a) AND", "it ends where"),
        ("AND ALARM(a)", "'AND' stands where"),
        ("(ALARM(a)", "a parenthesis is not closed"),
        ("TRUEISH", "cannot be read"),
        ("(" * 60 + "TRUE" + ")" * 60, "nested more than 50 deep"),
        ("NOT " * 60 + "TRUE", "nested more than 50 deep"),
        (" OR ".join(["TRUE"] * 251), "it has 501 elements, at most 500"),
        (" OR ".join(f"OK(a{n})" for n in range(101)), "it names 101 alarms, at most 100"),
        ("TRUE" + " " * 10_240, "10244 characters"),
    ],
)
def test_what_cannot_be_read(rule: str, sentence: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_rule(rule)
    assert refusal.value.code == "ValidationError"
    assert sentence in refusal.value.message


def test_circles() -> None:
    uses = {"a": ["b", "x"], "b": ["c", "y"], "c": ["a"], "d": ["a", "d2"]}
    assert find_circle("a", uses) == ["a", "b", "c", "a"]
    assert find_circle("d", uses) is None
    assert find_circle("s", {"s": ["s"]}) == ["s", "s"]


def test_reasons() -> None:
    assert transition_reason("arn:x", AlarmState.ALARM, 1_795_775_760) == (
        "arn:x transitioned to ALARM at Friday 27 November, 2026 10:36:00 UTC"
    )
    assert creation_reason("arn:x", AlarmState.OK) == "arn:x was created and its alarm rule evaluates to OK"


LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(Child, st.sampled_from(AlarmState), st.sampled_from(list(STATES))), st.builds(Constant, st.booleans())
)
RULES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner), st.builds(Joined, st.booleans(), st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=8,
)


def written(node: Node) -> str:
    if isinstance(node, Child):
        return f'{node.state.value}("{node.alarm}")'
    if isinstance(node, Not):
        return f"NOT ({written(node.operand)})"
    if isinstance(node, Joined):
        return (" AND " if node.is_and else " OR ").join(f"({written(operand)})" for operand in node.operands)
    return str(node.value).upper()


@given(RULES)
def test_a_written_rule_is_read_as_it_was(node: Node) -> None:
    assert parse_rule(written(node)) == node


@given(st.text('ALRMOKNDTUESF()" ab', max_size=30))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        node = parse_rule(text)
    except Refused:
        return
    assert holds(node, STATES.get) in (True, False)
