"""Rules for the objects of a definition: which fields they have, in which query language, and which are required."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from batchyard.evaluators.states.field_checks import Check, Field


class FieldRule(Struct, frozen=True):
    """One field. `language`: the only query language that has it, empty for both; `readable`: what expressions in it
    may read of `$states` beside `input` and `context`."""

    check: Check
    language: str = ""
    readable: frozenset[str] = frozenset()


class ObjectRule(Struct, frozen=True):
    """One kind of object. `required`: fields that it needs; `exclusive`: groups of which it may have one."""

    fields: Mapping[str, FieldRule]
    required: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()


def check_object(value: Any, rule: ObjectRule, field: Field) -> None:
    """Reports what is wrong with an object, and with each of its fields."""
    if not isinstance(value, dict):
        field.fault("Expected value of type Object")
        return
    missing = [name for name in rule.required if name not in value]
    if missing:
        field.fault(f"These fields are required: [{', '.join(missing)}]")
    for group in rule.exclusive:
        given = [name for name in group if name in value]
        if len(given) > 1:
            field.fault(f"There should only be one of the following fields: [{', '.join(given)}]")
    for name, below in value.items():
        known = rule.fields.get(name)
        if known is None:
            field.fault(f"Field '{name}' is not supported")
        elif known.language and known.language != field.language:
            field.fault(
                f"The QueryLanguage is set to '{field.language}', but field '{name}' is only supported for the "
                f"'{known.language}' QueryLanguage"
            )
        else:
            inner = field.below(name)
            known.check(below, structs.replace(inner, readable=inner.readable | known.readable))


def object_of(rule: ObjectRule) -> Check:
    """Returns the check of a field that holds one such object."""
    return lambda value, field: check_object(value, rule, field)


def list_of(check: Check, *, may_be_empty: bool = False) -> Check:
    """Returns the check of a field that holds a list."""

    def check_list(value: Any, field: Field) -> None:
        if not isinstance(value, list):
            field.fault("Expected value of type Array")
        elif not value and not may_be_empty:
            field.fault("Value cannot be empty")
        else:
            for index, item in enumerate(value):
                check(item, field.below(index))

    return check_list
