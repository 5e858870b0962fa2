"""The table of all implemented operations: (service, operation) -> its function. The dispatcher answers the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from batchyard.api import page_tokens
from batchyard.api.checks import check_names_alone
from batchyard.api.context import Call, Context
from batchyard.api.readers import CALLER
from batchyard.api.service_descriptor import Handler, ServiceDescriptor
from batchyard.api.services import SERVICES
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import OutOfTime
from batchyard.wire.messages import Document

BoundHandler = Callable[[Call, Document], Awaitable[Document]]

MAX_REFUSAL_CHARACTERS = 4000  # longer than any refusal of ours with names of valid length

OPERATIONS: dict[tuple[str, str], Handler] = {
    (service.name, name): function for service in SERVICES.values() for name, function in service.operations.items()
}


def bind(context: Context) -> dict[tuple[str, str], BoundHandler]:
    """Returns the operations of all services, ready to be called."""
    return {
        (service, operation): partial(perform, context, SERVICES[service], operation)
        for service, operation in OPERATIONS
    }


async def perform(
    context: Context, service: ServiceDescriptor, operation: str, call: Call, request: Document
) -> Document:
    """Performs one request. Values outside the model's enums or bounds, and page tokens that were made for another
    request, are refused before the operation runs."""
    CALLER.set(call.caller)
    try:
        check = service.checks.get(operation)
        if check is not None:
            check(request, "")
        member = service.token_members.get(operation)
        if member is None:
            return await OPERATIONS[service.name, operation](context, call, request)
        return await _page(context, service, operation, member, call, request)
    except OutOfTime as error:
        raise Refused(str(error), service.invalid_code) from error
    except Refused as refusal:
        if len(refusal.message) <= MAX_REFUSAL_CHARACTERS:
            raise
        raise Refused(shortened(refusal.message), refusal.code) from refusal


async def _page(
    context: Context, service: ServiceDescriptor, operation: str, member: str, call: Call, request: Document
) -> Document:
    """Performs a request for one page. `member`: the name of the page token; the operation gets the cursor that it
    once returned."""
    asked, token = request, request.get(member)
    if token:
        if operation in service.listed_by_names:
            check_names_alone(request, service.listed_by_names[operation])  # before the token is read, as on AWS
        cursor = page_tokens.unseal(
            context.page_key,
            service.name,
            operation,
            request,
            token,
            bad_token_code=service.bad_token_code,
            bad_token_text=service.token_text,
        )
        asked = request | {member: cursor}
    answer = await OPERATIONS[service.name, operation](context, call, asked)
    if answer.get(member):
        answer |= {member: page_tokens.seal(context.page_key, service.name, operation, request, answer[member])}
    return answer


def shortened(message: str) -> str:
    """Returns the beginning and the end of a refusal that repeats too much of the caller's request."""
    return f"{message[: MAX_REFUSAL_CHARACTERS // 2]}...{message[-MAX_REFUSAL_CHARACTERS // 4 :]}"
