"""Inline policies of roles, and the managed policies that are attached to them."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.iam.policy_documents import inline_policy_in
from batchyard.api.iam.requests import encoded, find_role, is_below, name_in, page
from batchyard.core.model.refusal import Refused
from batchyard.iam import commands as c
from batchyard.wire.messages import Document


async def put_role_policy(context: Context, call: Call, request: Document) -> Document:
    """Adds an inline policy, or replaces the one of that name."""
    role, name = name_in(request, "RoleName"), name_in(request, "PolicyName")
    await context.ask(c.PutRolePolicy(role, name, inline_policy_in(request)))
    return {}


async def get_role_policy(context: Context, call: Call, request: Document) -> Document:
    role, name = await find_role(context, name_in(request, "RoleName")), name_in(request, "PolicyName")
    document = role.inline.get(name)
    if document is None:
        raise Refused(f"The role policy with name {name} cannot be found.", "NoSuchEntity")
    return {"RoleName": role.name, "PolicyName": name, "PolicyDocument": encoded(document)}


async def list_role_policies(context: Context, call: Call, request: Document) -> Document:
    """The names of the inline policies, sorted."""
    role = await find_role(context, name_in(request, "RoleName"))
    return page(request, "PolicyNames", [(name, name) for name in sorted(role.inline)])


async def delete_role_policy(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.DeleteRolePolicy(name_in(request, "RoleName"), name_in(request, "PolicyName")))
    return {}


async def attach_role_policy(context: Context, call: Call, request: Document) -> Document:
    """RoleName, PolicyArn: a policy of the account, or any of AWS's (arn:aws:iam::aws:policy/...)."""
    await context.ask(c.AttachRolePolicy(name_in(request, "RoleName"), request["PolicyArn"]))
    return {}


async def detach_role_policy(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.DetachRolePolicy(name_in(request, "RoleName"), request["PolicyArn"]))
    return {}


async def list_attached_role_policies(context: Context, call: Call, request: Document) -> Document:
    """By ARN; PathPrefix."""
    role = await find_role(context, name_in(request, "RoleName"))
    rows = []
    for arn in sorted(role.attached):
        path, _, name = arn.partition(":policy")[2].rpartition("/")
        if is_below(f"{path}/", request):
            rows.append((arn, {"PolicyName": name, "PolicyArn": arn}))
    return page(request, "AttachedPolicies", rows)
