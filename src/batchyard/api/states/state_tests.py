"""TestState: one state, evaluated with the data of the request (step functions spec 16)."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from batchyard.api import integration_calls, integrations
from batchyard.api.context import Call, Context
from batchyard.api.states.mock_results import mock_fault
from batchyard.api.states.requests import check_role, invalid
from batchyard.core.model.executions import STANDARD
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.states.definitions import Options, check_definition, check_state
from batchyard.evaluators.states.diagnostics import ERROR, Diagnostic, refusal_text
from batchyard.wire.messages import Document
from batchyard.workflows.executions.payload import payload_of
from batchyard.workflows.resources import parse_resource
from batchyard.workflows.state_test_requests import (
    StateTestRequest,
    Surroundings,
    check_type,
    isolated_definition,
    make_test,
)
from batchyard.workflows.state_tests import (
    STATE_NAME,
    NeedsCall,
    StateTest,
    StateTestError,
    StateTestOutcome,
    run_test,
)

INFO, TRACE = "INFO", "TRACE"
NOT_VALIDATED = "NONE"  # fieldValidationMode


async def test_state(context: Context, call: Call, request: Document) -> Document:
    """definition, stateName, input, mock, ... -> status, output, error, cause, nextState, inspectionData."""
    test = await context.read(_prepared, context, request)
    outcome = await context.read(run_test, test)
    level = request.get("inspectionLevel", INFO)
    seen: Document = {}
    if isinstance(outcome, NeedsCall):
        if integrations.is_http(outcome.resource) and not outcome.resource.pattern:
            answered, seen = await _sent(context, test, outcome)
        else:
            answered = await _called(context, request, test, outcome)
        outcome = await context.read(run_test, answered)
        assert isinstance(outcome, StateTestOutcome), "the call was answered"
    document = _document(outcome, level)
    if level == TRACE:
        document["inspectionData"] = document["inspectionData"] | seen
    return document


def _prepared(context: Context, request: Document) -> StateTest:
    """Returns the test of a request. Raises Refused."""
    if "roleArn" in request:
        check_role(request["roleArn"])
    text, name = request["definition"], request.get("stateName", "")
    calls = request.get("mock") is None
    _refuse_faults(check_definition(text, STANDARD, Options()) if name else check_state(text, _options(calls)))
    read = StateTestRequest(
        definition=json.loads(text),
        state_name=name,
        role_arn=request.get("roleArn", ""),
        input=request.get("input", "{}"),
        variables=request.get("variables"),
        context=request.get("context"),
        mock=request.get("mock"),
        reveals_secrets=request.get("revealSecrets", False),
        configuration=request.get("stateConfiguration", {}),
    )
    machine = isolated_definition(read)
    state = machine["States"][STATE_NAME]
    check_type(state["Type"], read)
    if name and calls:
        language = {"QueryLanguage": machine["QueryLanguage"]} if "QueryLanguage" in machine else {}
        _refuse_faults(check_state(json.dumps(language | state), _options(calls)))
    surroundings = Surroundings(
        context.account.region, context.account.account_id, context.log_writer.now_ms(), context.new_uuid
    )
    test = make_test(machine, read, surroundings)
    _check_mock(state, test, request)
    return test


def _options(calls: bool) -> Options:
    """Returns what a definition is checked for. `calls`: without a mock, so that a Task calls its resource."""
    return Options(check_task=integrations.check_task) if calls else Options()


def _refuse_faults(found: list[Diagnostic]) -> None:
    if any(one.severity == ERROR for one in found):
        raise Refused(refusal_text(found), "InvalidDefinition")


def _check_mock(document: dict[str, Any], test: StateTest, request: Document) -> None:
    """Refuses the mocked result of a Task that the operation could not have returned."""
    mode = request.get("mock", {}).get("fieldValidationMode", "STRICT")
    if document["Type"] != "Task" or test.result is None or mode == NOT_VALIDATED:
        return
    integration = integrations.find_integration(parse_resource(document["Resource"]))
    if integration is not None and integration.model.output is not None:
        fault = mock_fault(integration.model.output, test.result.value, is_strict=mode == "STRICT")
        if fault:
            raise invalid(f"Mock result schema validation error: {fault}")


async def _called(context: Context, request: Document, test: StateTest, needed: NeedsCall) -> StateTest:
    """Carries out the call that a Task needs. Returns the test with its answer."""
    resource = needed.resource
    if resource.pattern or integrations.find_integration(resource) is None:
        raise invalid(
            f"TestState calls {resource.arn} with a mock only: activities and the patterns .sync and "
            ".waitForTaskToken are not carried out."
        )
    output = await integration_calls.call_once(context, resource, needed.arguments.value, request["roleArn"])
    if isinstance(output, integrations.CallError):
        cause = output.cause
        if output.error == integrations.RUNTIME:
            cause = f"The Parameters '{needed.arguments.text}' could not be used to start the Task: [{cause}]"
        return replace(test, failure=StateTestError(output.error, cause))
    return replace(test, result=payload_of(output))


async def _sent(context: Context, test: StateTest, needed: NeedsCall) -> tuple[StateTest, Document]:
    """Sends the request of an HTTP task. Returns the test with its answer, and request and response to be shown."""
    faults = integrations.argument_faults(needed.resource, needed.arguments.value)
    if faults:
        cause = f"The Parameters '{needed.arguments.text}' could not be used to start the Task: [{faults}]"
        return replace(test, failure=StateTestError(integrations.RUNTIME, cause)), {}
    if context.http_tasks.send is None:
        raise invalid(f"TestState calls {needed.resource.arn} with a mock only: no service runs.")
    exchange = await context.http_tasks.send(needed.arguments.value)
    seen: Document = {"request": exchange.request}
    if exchange.response is not None:
        seen["response"] = exchange.response
    if exchange.error:
        return replace(test, failure=StateTestError(exchange.error, exchange.cause)), seen
    return replace(test, result=payload_of(exchange.output)), seen


def _document(outcome: StateTestOutcome, level: str) -> Document:
    document: Document = {"status": outcome.status}
    if outcome.output is not None:
        document["output"] = outcome.output.text
    for name, text in (("error", outcome.error), ("cause", outcome.cause), ("nextState", outcome.next)):
        if text is not None:
            document[name] = text
    if level != INFO:
        document["inspectionData"] = outcome.inspection
    return document
