"""Requests of TestState, read and checked (step functions spec 16): the state that is tested, mocks, and contexts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.json_text import InvalidJson
from batchyard.evaluators.states.json_values import parse_value
from batchyard.evaluators.states.scope import Scope
from batchyard.workflows.compiled_states import JSONATA, MapState, ParallelState, State, TaskState, compile_state
from batchyard.workflows.executions.context_object import iso_time
from batchyard.workflows.executions.payload import Payload
from batchyard.workflows.resources import SYNC, SYNC_2, TOKEN
from batchyard.workflows.state_tests import STATE_NAME, StateTest, StateTestError

VALIDATION = "ValidationException"
INVALID_DEFINITION = "InvalidDefinition"
MOCKED_TYPES = ("Task", "Map", "Parallel")
TYPES_WITHOUT_MOCK = "[Task, Wait, Pass, Succeed, Fail, Choice]"
# The members of a context object that a caller gives, and the types of theirs.
CONTEXT_FIELDS: dict[str, dict[str, type]] = {
    "Execution": {"Id": str, "Input": object, "Name": str, "RoleArn": str, "StartTime": str, "RedriveCount": int},
    "State": {"EnteredTime": str, "Name": str, "RetryCount": int},
    "StateMachine": {"Id": str, "Name": str},
    "Task": {"Token": str},
}
TYPE_NAMES = {str: "a string", int: "an integer"}


class StateTestRequest(Struct, frozen=True, kw_only=True):
    """A request of TestState. `variables`, `context`, the mock's `result` and `reader_items`: JSON texts; None: not
    given. `mock`: None, or its members."""

    definition: Mapping[str, Any]
    state_name: str = ""
    role_arn: str = ""
    input: str = "{}"
    variables: str | None = None
    context: str | None = None
    mock: Mapping[str, Any] | None = None
    reveals_secrets: bool = False
    configuration: Mapping[str, Any] = {}


class Surroundings(Struct, frozen=True):
    """What a test has of the service: where it runs, the time, and ids for its execution and its machine."""

    region: str
    account_id: str
    now_ms: int
    new_id: Callable[[], str]


def invalid(message: str) -> Refused:
    return Refused(message, VALIDATION)


def isolated_definition(request: StateTestRequest) -> dict[str, Any]:
    """Returns the definition of a machine that has the tested state alone, by the name STATE_NAME. Raises Refused."""
    document = request.definition
    language = document.get("QueryLanguage")
    if request.state_name:
        found = _find_state(document, request.state_name)
        if found is None:
            raise invalid("State not found in definition")
        document = found
    elif "States" in document and "Type" not in document:
        raise invalid("stateName must be specified when the definition is a state machine")
    machine: dict[str, Any] = {"StartAt": STATE_NAME, "States": {STATE_NAME: dict(document)}}
    if request.state_name and language is not None:
        machine["QueryLanguage"] = language
    return machine


def check_type(kind: str, request: StateTestRequest) -> None:
    """Refuses a type of state that cannot be tested with, or without, a mock, and a mock that is none."""
    mock = request.mock
    if mock is None:
        if kind in ("Map", "Parallel"):
            raise Refused(
                "TestState API does not support Map or Parallel states. Supported state types include: "
                f"{TYPES_WITHOUT_MOCK}",
                INVALID_DEFINITION,
            )
        if kind == "Task" and not request.role_arn:
            raise invalid("RoleArn must be specified when testing a Task state")
        return
    if kind not in MOCKED_TYPES:
        raise invalid(f"State type '{kind}' is not supported when a mock is specified")
    if ("result" in mock) == ("errorOutput" in mock):
        raise invalid("A test mock should have only one of the following fields: [result, errorOutput].")
    if request.reveals_secrets:
        raise invalid("TestState does not support RevealSecrets when a mock is specified.")


def make_test(machine: Mapping[str, Any], request: StateTestRequest, surroundings: Surroundings) -> StateTest:
    """Returns the test that a request asks for. `machine`: of isolated_definition, checked. Raises Refused."""
    document = machine["States"][STATE_NAME]
    state = compile_state(STATE_NAME, document, is_jsonata=machine.get("QueryLanguage") == JSONATA)
    retry_count = request.configuration.get("retrierRetryCount", 0)
    given = Payload(request.input)
    _parsed(request.input, "Invalid test input")
    variables = _object(request.variables, "Invalid variables") if request.variables is not None else {}
    if request.context is None:
        context = _context(state, request, given, surroundings, retry_count)
    else:
        context = _object(request.context, "Invalid Context object provided")
        _check_context(context, state)
    result, failure = _mocked(state, document, request.mock)
    reader_items = request.configuration.get("mapItemReaderData")
    test = StateTest(
        state=state,
        input=given,
        scope=Scope(context=context, variables=variables, seed=surroundings.new_id(), now_ms=surroundings.now_ms),
        result=result,
        failure=failure,
        retry_count=retry_count,
        failed_items=request.configuration.get("mapIterationFailureCount", 0),
        reader_items=None if reader_items is None else _items_read(reader_items),
    )
    iterations = result.value if isinstance(state, MapState) and result is not None else None
    if isinstance(iterations, list) and test.failed_items > len(iterations):
        raise invalid("Map iteration failure count must be less than or equal to the number of Map iterations")
    return test


# -- the state --


def _find_state(scope: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Returns a state of a machine, its branches and item processors."""
    waiting: list[Any] = [scope]
    while waiting:
        current = waiting.pop(0)
        states = current.get("States") if isinstance(current, dict) else None
        if not isinstance(states, dict):
            continue
        if isinstance(states.get(name), dict):
            found: Mapping[str, Any] = states[name]
            return found
        for state in states.values():
            if isinstance(state, dict):
                branches = state.get("Branches")
                waiting += branches if isinstance(branches, list) else ()
                waiting += (state.get("ItemProcessor"), state.get("Iterator"))
    return None


# -- mocks --


def _mocked(
    state: State, document: Mapping[str, Any], mock: Mapping[str, Any] | None
) -> tuple[Payload | None, StateTestError | None]:
    if mock is None:
        return None, None
    if "errorOutput" in mock:
        given = mock["errorOutput"]
        return None, StateTestError(given.get("error", ""), given.get("cause"))
    value = _parsed(mock["result"], "Mocked result must be valid JSON", is_whole=True)
    if isinstance(state, MapState) and "ResultWriter" in document:
        if not isinstance(value, dict):
            raise invalid("Mocked result must be a JSON object.")
    elif isinstance(state, MapState | ParallelState):
        if not isinstance(value, list):
            raise invalid("Mocked result must be an array.")
        if isinstance(state, ParallelState) and len(value) != len(state.branches):
            raise invalid("Mocked result must contain the same number of items as number of Parallel branches.")
    return Payload(mock["result"], value), None


def _items_read(text: str) -> Payload:
    value = _parsed(text, "mapItemReaderData must be valid JSON", is_whole=True)
    return Payload(text, value)


def _parsed(text: str, what: str, *, is_whole: bool = False) -> Any:
    """Returns the value of a JSON text. `is_whole`: the refusal is `what`, without the reason."""
    try:
        return parse_value(text)
    except InvalidJson as error:
        raise invalid(what if is_whole else f"{what}: {error}") from error


def _object(text: str, what: str) -> dict[str, Any]:
    value = _parsed(text, what)
    if not isinstance(value, dict):
        raise invalid(f"{what}: it must be a JSON object")
    return value


# -- the context object --


def _context(
    state: State, request: StateTestRequest, given: Payload, surroundings: Surroundings, retry_count: int
) -> dict[str, Any]:
    """Returns the context object that AWS makes up: an execution of an EXPRESS machine, both named by UUIDs."""
    prefix = f"arn:aws:states:{surroundings.region}:{surroundings.account_id}"
    execution, machine = surroundings.new_id(), surroundings.new_id()
    now = iso_time(surroundings.now_ms)
    of_state: dict[str, Any] = {"Name": STATE_NAME, "EnteredTime": now}
    if state.type in MOCKED_TYPES:
        of_state["RetryCount"] = retry_count
    found: dict[str, Any] = {
        "Execution": {
            "Id": f"{prefix}:express:{machine}:{execution}",
            "Input": given.value,
            "Name": execution,
            "RoleArn": request.role_arn or None,
            "StartTime": now,
        },
        "StateMachine": {"Id": f"{prefix}:stateMachine:{machine}", "Name": machine},
        "State": of_state,
    }
    if isinstance(state, TaskState) and state.resource.pattern == TOKEN:
        found["Task"] = {"Token": surroundings.new_id()}
    return found


def _check_context(context: Mapping[str, Any], state: State) -> None:
    """Refuses a context object that could not be the one of a state."""
    for name, members in context.items():
        if name == "Map":
            raise _unfit("'Map' field is not supported when mocking a Context object")
        if name not in CONTEXT_FIELDS:
            raise _unfit(f"Field '{name}' is not allowed")
        if not isinstance(members, dict):
            raise _unfit(f"{name} must be an object")
        for member, value in members.items():
            if member not in CONTEXT_FIELDS[name]:
                raise _unfit(f"Field '{member}' is not allowed")
            expected = CONTEXT_FIELDS[name][member]
            if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
                raise _unfit(f"{name}.{member} must be {TYPE_NAMES[expected]}")
    waits = isinstance(state, TaskState) and state.resource.pattern in (SYNC, SYNC_2, TOKEN)
    if "Task" in context and not waits:
        raise _unfit(
            "Context object contains 'Task' when state is not a Task state with a '.sync' or '.waitForTaskToken' "
            "service integration pattern"
        )


def _unfit(what: str) -> Refused:
    return invalid(f"Invalid Context object provided: {what}")
