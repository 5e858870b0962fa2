"""Calls an integration once, for an operation that tests a state: nothing waits for what it begins."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from batchyard.api import (
    operations,  # its table is read in calls alone: it imports the modules of services
    services,
)
from batchyard.api.context import Call, Context
from batchyard.api.integrations import (
    RUNTIME,
    CallError,
    argument_faults,
    error_of,
    find_integration,
    output_of,
    read_arguments,
)
from batchyard.core.model.refusal import Refused
from batchyard.workflows.resources import Resource


def request_id_of(key: str) -> str:
    """Returns the request id of a call: the same where it is carried out again."""
    return str(uuid5(NAMESPACE_URL, key))


async def call_once(context: Context, resource: Resource, arguments: Any, principal: str = "") -> Any | CallError:
    """Performs a call as a request. Returns its output, a JSON value, or how it failed."""
    faults = argument_faults(resource, arguments)
    if faults:
        return CallError(RUNTIME, faults)
    integration = find_integration(resource)
    if integration is None:
        return CallError("States.TaskFailed", f"The resource {resource.arn} cannot be called by a test: give a mock.")
    request, _ = read_arguments(integration, arguments)
    request_id = context.new_uuid()
    call = Call(integration.operation, principal=principal, caller=principal)
    service = services.SERVICES[integration.service]
    try:
        result = await operations.perform(context, service, integration.operation, call, request)
    except Refused as refusal:
        return error_of(integration, refusal.code, refusal.message, request_id)
    return output_of(integration, result, request_id)
