"""The scope in which a state of an execution evaluates its fields, and the numbers that fields give."""

from __future__ import annotations

from batchyard.core.model.executions import Frame
from batchyard.evaluators.states import path_numbers
from batchyard.evaluators.states.errors import QUERY_EVALUATION_ERROR, StateError
from batchyard.evaluators.states.scope import Scope
from batchyard.workflows.compiled_states import NumberField, State
from batchyard.workflows.executions.context_object import context_of
from batchyard.workflows.executions.data_flow import bindings_of
from batchyard.workflows.executions.open_executions import OpenExecution, OpenExecutions
from batchyard.workflows.executions.payload import Payload


def scope_for(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State, token: str = "") -> Scope:
    """Returns the scope of what a state evaluates now, without a document. What is derived from its seed is the same
    when the step is repeated after a crash, and differs from step to step."""
    return Scope(
        context=context_of(world, execution, frame, state, token),
        variables=world.variables_of(execution, frame),
        seed=f"{execution.record.arn}/{frame.id}/{execution.last_event_id}",
        now_ms=world.now_ms,
    )


def integer_of(field: NumberField, raw: Payload, scope: Scope, document: Payload) -> int:
    """Returns the integer of a field. `document`: `$` of its path. Raises StateError."""
    if field.path is not None:
        return path_numbers.integer_at(field.path, scope.with_document(document.value), field.name)
    number = _number_of(field, raw, scope)
    if number != number // 1:
        raise _unfit(field, f"must be an integer, but was {number}")
    return int(number)


def positive_integer_of(field: NumberField, raw: Payload, scope: Scope, document: Payload) -> int:
    """Returns the integer above 0 of a field. Raises StateError."""
    if field.path is not None:
        return path_numbers.positive_integer_at(field.path, scope.with_document(document.value), field.name)
    number = integer_of(field, raw, scope, document)
    if number < 1:
        raise _unfit(field, f"must be positive, but was {number}")
    return number


def tolerated_count_of(field: NumberField, raw: Payload, scope: Scope, document: Payload) -> int:
    if field.path is not None:
        return path_numbers.tolerated_count_at(field.path, scope.with_document(document.value))
    number = integer_of(field, raw, scope, document)
    if number < 0:
        raise _unfit(field, "cannot be negative.")
    return number


def tolerated_percentage_of(field: NumberField, raw: Payload, scope: Scope, document: Payload) -> float:
    if field.path is not None:
        return path_numbers.tolerated_percentage_at(field.path, scope.with_document(document.value))
    number = _number_of(field, raw, scope)
    if not 0 <= number <= 100:
        raise _unfit(field, "must be between 0 and 100.")
    return float(number)


def _number_of(field: NumberField, raw: Payload, scope: Scope) -> float:
    if field.expression is None:
        assert isinstance(field.value, int | float), f"{field.name} is a number in a checked definition"
        return field.value
    found = field.expression.evaluate_as(("number",), bindings_of(raw, scope), scope)
    assert isinstance(found, int | float), "the type was checked"
    return found


def _unfit(field: NumberField, what: str) -> StateError:
    return StateError(QUERY_EVALUATION_ERROR, f"{field.name} {what}", field.name)
