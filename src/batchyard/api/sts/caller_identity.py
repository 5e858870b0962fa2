"""GetCallerIdentity of STS: the signer of a request, by the name that the owner of the service gave to the key (STS
API reference)."""

from __future__ import annotations

import base64
import hashlib
import re

from batchyard.api.context import Call, Context
from batchyard.wire.messages import Document

ROLE_ID_PREFIX = "AROA"  # of the unique ids of roles (IAM user guide: Unique identifiers)
ROLE_ID_LETTERS = 17

_NOT_IN_USER_NAMES = re.compile(r"[^A-Za-z0-9_+=,.@-]")


async def get_caller_identity(context: Context, call: Call, request: Document) -> Document:
    """A key's owner is a user of that name in this account; a job is the role of its attempt."""
    principal = call.principal
    if principal.startswith("arn:"):  # an attempt's own credentials
        role, _, session = principal.partition(":assumed-role/")[2].partition("/")
        return _identity(context, principal, f"{_role_id(role)}:{session}")
    name = _NOT_IN_USER_NAMES.sub("_", context.key_name(principal))
    arn = f"arn:{context.account.partition}:iam::{context.account.account_id}:user/{name}"
    return _identity(context, arn, principal)


def _identity(context: Context, arn: str, user_id: str) -> Document:
    return {"UserId": user_id, "Account": context.account.account_id, "Arn": arn}


def _role_id(role: str) -> str:
    digest = hashlib.blake2b(role.encode(), person=b"role id").digest()
    return ROLE_ID_PREFIX + base64.b32encode(digest).decode()[:ROLE_ID_LETTERS]
