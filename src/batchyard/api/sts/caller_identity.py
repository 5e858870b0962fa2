"""GetCallerIdentity of STS: the signer of a request, by the name that the owner of the service gave to the key (STS
API reference)."""

from __future__ import annotations

import re

from batchyard.api.context import Call, Context
from batchyard.api.iam.requests import ROLE_ID_PREFIX, unique_id
from batchyard.iam.commands import AskRole
from batchyard.wire.messages import Document

_NOT_IN_USER_NAMES = re.compile(r"[^A-Za-z0-9_+=,.@-]")


async def get_caller_identity(context: Context, call: Call, request: Document) -> Document:
    """A key's owner is a user of that name in this account; a job is the role of its attempt."""
    principal = call.principal
    if principal.startswith("arn:"):  # an attempt's own credentials
        role, _, session = principal.partition(":assumed-role/")[2].partition("/")
        kept = await context.ask(AskRole(role))
        role_id = unique_id(ROLE_ID_PREFIX, role) if kept is None else kept.id  # roles of jobs need not be there
        return _identity(context, principal, f"{role_id}:{session}")
    name = _NOT_IN_USER_NAMES.sub("_", context.key_name(principal))
    arn = f"arn:{context.account.partition}:iam::{context.account.account_id}:user/{name}"
    return _identity(context, arn, principal)


def _identity(context: Context, arn: str, user_id: str) -> Document:
    return {"UserId": user_id, "Account": context.account.account_id, "Arn": arn}
