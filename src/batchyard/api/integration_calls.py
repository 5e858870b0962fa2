"""Calls an integration once, for an operation that tests a state: nothing waits for what it begins."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from batchyard.api import integrations, services  # read in calls alone: modules of services import this one
from batchyard.api.context import Call, Context
from batchyard.core.model.refusal import Refused
from batchyard.workflows.resources import Resource


def request_id_of(key: str) -> str:
    """Returns the request id of a call: the same where it is carried out again."""
    return str(uuid5(NAMESPACE_URL, key))


async def call_once(
    context: Context, resource: Resource, arguments: Any, principal: str = ""
) -> Any | integrations.CallError:
    """Performs a call as a request. Returns its output, a JSON value, or how it failed."""
    from batchyard.api import operations  # it needs the whole table of services, one of whose modules imports this one

    faults = integrations.argument_faults(resource, arguments)
    if faults:
        return integrations.CallError(integrations.RUNTIME, faults)
    integration = integrations.find_integration(resource)
    if integration is None:
        return integrations.CallError(
            "States.TaskFailed", f"The resource {resource.arn} cannot be called by a test: give a mock."
        )
    request, _ = integrations.read_arguments(integration, arguments)
    request_id = context.new_uuid()
    call = Call(integration.operation, principal=principal, caller=principal)
    service = services.SERVICES[integration.service]
    try:
        result = await operations.perform(context, service, integration.operation, call, request)
    except Refused as refusal:
        return integrations.error_of(integration, refusal.code, refusal.message, request_id)
    return integrations.output_of(integration, result, request_id)
