"""Checks of the rules of a Choice state (step functions spec 7)."""

from __future__ import annotations

from typing import Any

from batchyard.evaluators.states import field_checks
from batchyard.evaluators.states.choice_rules import OPERATOR_NAMES, TYPE_TESTS
from batchyard.evaluators.states.field_checks import JSONATA, JSONPATH, Check, Field
from batchyard.evaluators.states.object_rules import FieldRule, ObjectRule, check_object, list_of

COMBINATIONS = ("And", "Or", "Not")
MAX_RULE_NESTING = 50  # levels of And, Or and Not


def _operand(name: str) -> Check:
    if name.endswith("Path"):
        return field_checks.path
    if name in TYPE_TESTS or name.startswith(("Is", "Boolean")):
        return field_checks.boolean
    if name.startswith("Numeric"):
        return _number
    return field_checks.timestamp if name.startswith("Timestamp") else field_checks.text


def _number(value: Any, field: Field) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        field.fault("Expected value of type Number")


COMPARISONS = {name: FieldRule(_operand(name), JSONPATH) for name in OPERATOR_NAMES}
INNER_FIELDS = {
    "Comment": FieldRule(field_checks.text),
    "Variable": FieldRule(field_checks.path, JSONPATH),
    **{name: FieldRule(field_checks.anything, JSONPATH) for name in COMBINATIONS},
    **COMPARISONS,
}
OUTER_FIELDS = INNER_FIELDS | {
    "Next": FieldRule(field_checks.text),
    "Assign": FieldRule(field_checks.assign),
    "Condition": FieldRule(field_checks.condition, JSONATA),
    "Output": FieldRule(field_checks.template, JSONATA),
}


def choice_rule(value: Any, field: Field) -> None:
    """Reports what is wrong with a rule of the field Choices."""
    if field.language == JSONATA:
        check_object(value, ObjectRule(OUTER_FIELDS, ("Condition", "Next")), field)
    else:
        check_object(value, ObjectRule(OUTER_FIELDS, ("Next",)), field)
        _condition(value, field, 0)


def _condition(value: Any, field: Field, depth: int) -> None:
    """Checks that a rule compares one thing, or combines others."""
    if not isinstance(value, dict):
        return
    if depth > MAX_RULE_NESTING:
        field.fault(f"Choice rules are nested more than {MAX_RULE_NESTING} levels deep")
        return
    given = [name for name in (*COMBINATIONS, *COMPARISONS) if name in value]
    if len(given) > 1:
        field.fault(f"There should only be one of the following fields: [{', '.join(given)}]")
    elif not given:
        field.fault("A choice rule needs a comparison such as StringEquals, or one of And, Or and Not")
    elif given[0] in COMPARISONS and "Variable" not in value:
        field.fault("These fields are required: [Variable]")
    for name in ("And", "Or"):
        if name in value:
            list_of(lambda inner, below: _inner(inner, below, depth + 1))(value[name], field.below(name))
    if "Not" in value:
        _inner(value["Not"], field.below("Not"), depth + 1)


def _inner(value: Any, field: Field, depth: int) -> None:
    check_object(value, ObjectRule(INNER_FIELDS), field)
    _condition(value, field, depth)
