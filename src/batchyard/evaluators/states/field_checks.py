"""Checks of single fields of a definition: types, ranges, paths, templates and expressions, with AWS's texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from batchyard.evaluators.states.diagnostics import (
    INVALID_JSONATA_EXPRESSION,
    NO_DOLLAR,
    PASS_RESULT_IS_STATIC,
    UNSUPPORTED_JSONATA_EXPRESSION,
    Report,
)
from batchyard.evaluators.states.errors import InvalidExpression
from batchyard.evaluators.states.expression_text import is_expression, text_of
from batchyard.evaluators.states.intrinsics import compile_intrinsic, is_intrinsic
from batchyard.evaluators.states.json_paths import compile_path, compile_reference_path
from batchyard.evaluators.states.jsonata import Expression
from batchyard.evaluators.states.timestamps import parse_timestamp

JSONPATH, JSONATA = "JSONPath", "JSONata"
CONTEXT_PREFIX = "$$"
DYNAMIC_SUFFIX = ".$"
RESERVED_VARIABLE = "states"
MAX_VARIABLE_NAME_CHARACTERS = 80
MAX_SECONDS = 99_999_999  # AWS's ceiling of every duration

TaskCheck = Callable[[str, Any], Sequence[tuple[str, str]]]


class Field(Struct, frozen=True):
    """Where a value stands. `location`: its JSON pointer; `language`: of its state; `readable`: members of `$states`
    that an expression there may read beside `input` and `context`."""

    report: Report
    location: str
    language: str
    readable: frozenset[str] = frozenset()

    def below(self, name: str | int) -> Field:
        step = f"[{name}]" if isinstance(name, int) else f"/{name}"
        return Field(self.report, self.location + step, self.language, self.readable)

    def fault(self, message: str) -> None:
        self.report.fault(message, self.location)


Check = Callable[[Any, Field], None]


# -- JSON types --


def _expected(type_name: str, field: Field) -> None:
    field.fault(f"Expected value of type {type_name}")


def text(value: Any, field: Field) -> None:
    if not isinstance(value, str):
        _expected("String", field)


def boolean(value: Any, field: Field) -> None:
    if not isinstance(value, bool):
        _expected("Boolean", field)


def json_object(value: Any, field: Field) -> None:
    if not isinstance(value, dict):
        _expected("Object", field)


def anything(_value: Any, _field: Field) -> None:
    """Any JSON value is right."""


def literal_result(value: Any, field: Field) -> None:
    """The Result of a Pass state: data, in which what looks like a path is none."""
    if isinstance(value, dict) and any(name.endswith(DYNAMIC_SUFFIX) for name in value):
        field.report.warn(
            "Attempt to use a path in the result of a pass state.", field.location, code=PASS_RESULT_IS_STATIC
        )


def one_of(name: str, *values: str) -> Check:
    """Returns the check of a field that has one of a few texts."""

    def check(value: Any, field: Field) -> None:
        if not isinstance(value, str) or value not in values:
            field.fault(f"The field '{name}' should have one of these values: [{', '.join(values)}]")

    return check


def number(least: float, most: float | None = None, *, is_integer: bool = True) -> Check:
    """Returns the check of a number within a range. In a JSONata state an expression may stand for it."""

    def check(value: Any, field: Field) -> None:
        if field.language == JSONATA and is_expression(value):
            expression(value, field)
        elif isinstance(value, bool) or not isinstance(value, int if is_integer else int | float):
            _expected("Integer" if is_integer else "Float", field)
        elif value < least:
            field.fault(f"Minimum value is {least}")
        elif most is not None and value > most:
            field.fault(f"Maximum value is {most}")

    return check


def literal_number(least: float, most: float | None = None, *, is_integer: bool = True) -> Check:
    """Returns the check of a number for which no expression may stand, as in a retrier."""
    plain = number(least, most, is_integer=is_integer)
    return lambda value, field: plain(value, Field(field.report, field.location, JSONPATH))


def timestamp(value: Any, field: Field) -> None:
    if field.language == JSONATA and is_expression(value):
        expression(value, field)
    elif not isinstance(value, str):
        _expected("String", field)
    elif parse_timestamp(value) is None:
        field.fault("String does not match RFC3339 timestamp")


def text_or_expression(value: Any, field: Field) -> None:
    text(value, field)
    if field.language == JSONATA:
        expressions(value, field)


# -- paths --


def path_or_null(value: Any, field: Field) -> None:
    """InputPath and OutputPath."""
    if value is not None:
        path(value, field)


def path(value: Any, field: Field) -> None:
    """Any path, also into the context object and variables."""
    if not isinstance(value, str):
        _expected("String", field)
        return
    try:
        compile_path(value)
    except InvalidExpression:
        field.fault("Value is not a valid JSONPath")


def result_path(value: Any, field: Field) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        _expected("String", field)
        return
    try:
        compile_reference_path(value)
    except InvalidExpression:
        field.fault("Value is not a Reference Path")


def reference_path(value: Any, field: Field) -> None:
    """The fields whose names end in Path: one value of the input or of a variable."""
    if not isinstance(value, str):
        _expected("String", field)
        return
    try:
        is_reference = compile_path(value).is_reference and not value.startswith(CONTEXT_PREFIX)
    except InvalidExpression:
        is_reference = False
    if not is_reference:
        field.fault("Value is not a Reference Path")


def path_or_intrinsic(value: Any, field: Field) -> None:
    """ErrorPath and CausePath."""
    if not isinstance(value, str):
        _expected("String", field)
    elif not is_dynamic(value):
        field.fault("Value is not a valid JSONPath or a valid intrinsic function call")


def is_dynamic(value: Any) -> bool:
    """Whether a text is a path or a call of an intrinsic function."""
    if not isinstance(value, str):
        return False
    try:
        if is_intrinsic(value):
            compile_intrinsic(value)
        else:
            compile_path(value)
    except InvalidExpression:
        return False
    return True


# -- templates and expressions --


def template(value: Any, field: Field) -> None:
    """A payload template of JSONPath, or a value with expressions of JSONata."""
    if field.language == JSONATA:
        expressions(value, field)
    else:
        _payload(value, field)


def object_template(value: Any, field: Field) -> None:
    """A template that has to be an object; in a JSONata state an expression may make it."""
    if isinstance(value, dict) or (field.language == JSONATA and is_expression(value)):
        template(value, field)
    else:
        _expected("Object", field)


def _payload(value: Any, field: Field) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _payload(item, field.below(index))
    elif isinstance(value, dict):
        for name, below in value.items():
            if not name.endswith(DYNAMIC_SUFFIX):
                _warn_of_path(below, field.below(name))
                _payload(below, field.below(name))
            elif not is_dynamic(below):
                field.fault(
                    f"The value for the field '{name}' must be a valid JSONPath or a valid intrinsic function call"
                )


def _warn_of_path(value: Any, field: Field) -> None:
    if isinstance(value, str) and value.startswith(("$.", "$$.", "States.")) and is_dynamic(value):
        field.report.warn(
            "No .$ on a field that appears to be a JSONPath or Intrinsic Function.", field.location, code=NO_DOLLAR
        )


def expressions(value: Any, field: Field) -> None:
    """Checks each expression in a value."""
    if is_expression(value):
        expression(value, field)
    elif isinstance(value, dict):
        for name, below in value.items():
            expressions(below, field.below(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            expressions(item, field.below(index))


def expression(value: str, field: Field) -> None:
    """Checks that a JSONata expression parses, and reads only what is there."""
    try:
        compiled = Expression(text_of(value), field.location)
    except InvalidExpression as error:
        _, _, message = error.message.partition(": ")  # AWS leaves out the code of JSONata
        field.report.fault(message, field.location, code=INVALID_JSONATA_EXPRESSION)
        return
    for name in compiled.top_level_names():
        message = f"Reference to '{name}' at the top level is not supported."
        field.report.fault(message, field.location, code=UNSUPPORTED_JSONATA_EXPRESSION)
    read = compiled.reads_of_states()
    for name in ("result", "errorOutput"):
        if isinstance(read, dict) and name in read and name not in field.readable:
            message = f"Reference to '$states.{name}' is not supported in this field."
            field.report.fault(message, field.location, code=UNSUPPORTED_JSONATA_EXPRESSION)


def condition(value: Any, field: Field) -> None:
    """The Condition of a choice rule."""
    if is_expression(value):
        expression(value, field)
    elif not isinstance(value, bool):
        field.fault("The value for the field 'Condition' must be a valid JSONata expression")


# -- variables --


def assign(value: Any, field: Field) -> None:
    """The field Assign: names of variables, and templates of their values."""
    if not isinstance(value, dict):
        _expected("Object", field)
        return
    for name in value:
        variable = assigned_name(name, field.language)
        if variable == RESERVED_VARIABLE or not variable.isidentifier():
            field.fault(f"The variable name '{variable}' is not a valid identifier, or is reserved")
        elif len(variable) > MAX_VARIABLE_NAME_CHARACTERS:
            field.fault(f"The variable name '{variable}' is longer than {MAX_VARIABLE_NAME_CHARACTERS} characters")
    template(value, field)


def assigned_name(member: str, language: str) -> str:
    """Returns the name of the variable that a member of Assign sets."""
    return member.removesuffix(DYNAMIC_SUFFIX) if language == JSONPATH else member
