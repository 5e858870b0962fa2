"""What happens to data on its way through a state: from its raw input to what its work gets, and from the result of the
work to its output and the variables that it assigns (step functions spec 8, 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchyard.evaluators.states import jsonata, payload_templates
from batchyard.evaluators.states.errors import DATA_LIMIT_EXCEEDED, RUNTIME, StateError
from batchyard.evaluators.states.json_values import MAX_PAYLOAD_BYTES, check_size, compact, size_bytes
from batchyard.evaluators.states.scope import Scope
from batchyard.workflows.compiled_states import Catcher, PathFilter, ResultPlace, State, Template
from batchyard.workflows.executions.payload import EMPTY_OBJECT, Payload, payload_of

Assigned = dict[str, Any]  # variables by name; they must not be changed


def bindings_of(raw: Payload, scope: Scope, **members: Any) -> dict[str, Any]:
    """Returns what JSONata expressions of a state can read besides variables: `$states`, with `members` such as
    `result`."""
    return {"states": {"input": raw.value, "context": scope.context, **members}}


def evaluate(template: Template, raw: Payload, scope: Scope, document: Payload, **members: Any) -> Any:
    """Evaluates a template. `document`: `$` of JSONPath; `members`: those of `$states` besides input and context."""
    if isinstance(template, payload_templates.Template):
        return template.evaluate(scope.with_document(document.value))
    assert isinstance(template, jsonata.Template), "an absent field is not evaluated"
    return template.evaluate(bindings_of(raw, scope, **members), scope)


def filtered_input(state: State, raw: Payload, scope: Scope) -> Payload:
    """Applies InputPath."""
    return _filtered(state.input_filter, raw, scope)


def work_input(state: State, raw: Payload, scope: Scope) -> Payload:
    """Returns what the work of a state gets: InputPath and Parameters, or Arguments, applied."""
    filtered = filtered_input(state, raw, scope)
    if state.parameters is None:
        return filtered
    return payload_of(evaluate(state.parameters, raw, scope, filtered))


def output_of_result(state: State, raw: Payload, result: Payload, scope: Scope) -> tuple[Payload, Assigned]:
    """Returns the output and the assigned variables of a state whose work gave a result."""
    if state.is_jsonata:
        return _with_expressions(state.output, state.assign, raw, result, scope, {"result": result})
    selected = result
    if state.result_selector is not None:
        selected = payload_of(evaluate(state.result_selector, raw, scope, result))
    placed = placed_result(state.result_place, raw, selected)
    assigned = assigned_by(state.assign, raw, scope, selected)
    return _filtered(state.output_filter, placed, scope), assigned


def output_of_input(
    state: State, raw: Payload, scope: Scope, assign: Template = None, output: Template = None
) -> tuple[Payload, Assigned]:
    """Returns the output and the assigned variables of a state that only passes its input on. `assign`, `output`: of
    the state, or of the rule that a Choice has taken."""
    if state.is_jsonata:
        return _with_expressions(output, assign, raw, raw, scope, {})
    filtered = filtered_input(state, raw, scope)
    assigned = assigned_by(assign, raw, scope, filtered)
    return _filtered(state.output_filter, filtered, scope), assigned


def output_of_catcher(
    state: State, catcher: Catcher, raw: Payload, error_output: Payload, scope: Scope
) -> tuple[Payload, Assigned]:
    if state.is_jsonata:
        members = {"errorOutput": error_output}
        return _with_expressions(catcher.output, catcher.assign, raw, error_output, scope, members)
    return (
        placed_result(catcher.result_place, raw, error_output),
        assigned_by(catcher.assign, raw, scope, error_output),
    )


def assigned_by(assign: Template, raw: Payload, scope: Scope, document: Payload, **members: Any) -> Assigned:
    if assign is None:
        return {}
    return object_of(evaluate(assign, raw, scope, document, **members), "Assign")


def object_of(value: Any, field: str) -> dict[str, Any]:
    """Returns what a field gives, if it is an object. Raises StateError."""
    if not isinstance(value, dict):
        raise StateError(RUNTIME, f"The field '{field}' must give an object, but gave: {compact(value)}")
    return value


def check_output(output: Payload, name: str) -> None:
    """Raises StateError (States.DataLimitExceeded) if an output is too long. `name`: of its state or resource."""
    check_size(output.text, name)


def texts_of(assigned: Mapping[str, Any], state: str) -> dict[str, str]:
    """Returns assigned variables as JSON texts. Raises StateError if they are too long together."""
    texts = {name: compact(value) for name, value in assigned.items()}
    if sum(map(size_bytes, texts.values())) > MAX_PAYLOAD_BYTES:
        raise StateError(
            DATA_LIMIT_EXCEEDED,
            f"The state/task '{state}' assigned variables with a size exceeding the maximum number of bytes service "
            "limit.",
        )
    return texts


def _with_expressions(
    output: Template, assign: Template, raw: Payload, result: Payload, scope: Scope, members: dict[str, Payload]
) -> tuple[Payload, Assigned]:
    values = {name: payload.value for name, payload in members.items()} if output or assign else {}
    assigned = assigned_by(assign, raw, scope, result, **values)
    return result if output is None else payload_of(evaluate(output, raw, scope, result, **values)), assigned


def _filtered(given: PathFilter | None, document: Payload, scope: Scope) -> Payload:
    if given is None:
        return document
    if given.path is None:
        return EMPTY_OBJECT
    return payload_of(given.path.find(scope.with_document(document.value)))


def placed_result(place: ResultPlace | None, raw: Payload, result: Payload) -> Payload:
    """Applies ResultPath."""
    if place is None:
        return result
    if place.path is None:
        return raw
    return payload_of(place.path.put(raw.value, result.value))
