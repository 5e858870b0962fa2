"""Roles of IAM."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.iam.policy_documents import trust_policy_in
from batchyard.api.iam.requests import (
    ROLE_ID_PREFIX,
    encoded,
    find_role,
    invalid,
    is_below,
    name_in,
    page,
    path_in,
    tags_in,
    tags_member,
    text_in,
    unique_id,
)
from batchyard.api.secret_values import seconds
from batchyard.iam import commands as c
from batchyard.iam.records import DEFAULT_SESSION_SECONDS, Role, arn_of
from batchyard.wire.messages import Document

SESSION_SECONDS_RANGE = (3600, 43_200)  # API: roleMaxSessionDurationType


async def create_role(context: Context, call: Call, request: Document) -> Document:
    """RoleName, AssumeRolePolicyDocument, Path, Description, MaxSessionDuration, PermissionsBoundary, Tags -> Role."""
    command = c.CreateRole(
        name_in(request, "RoleName"),
        path_in(request),
        unique_id(ROLE_ID_PREFIX, context.new_uuid()),
        trust_policy_in(request, "AssumeRolePolicyDocument"),
        text_in(request, "Description"),
        session_seconds_in(request) or DEFAULT_SESSION_SECONDS,
        request.get("PermissionsBoundary", ""),
        tags_in(request),
    )
    role = await context.ask(command)
    members = _summary(context, role) | boundary_member(role) | tags_member(role.tags)
    if role.max_session_seconds == DEFAULT_SESSION_SECONDS:
        del members["MaxSessionDuration"]  # recorded: AWS's answer to CreateRole has none
    return {"Role": members}


async def get_role(context: Context, call: Call, request: Document) -> Document:
    return {"Role": role_detail(context, await find_role(context, name_in(request, "RoleName")))}


async def list_roles(context: Context, call: Call, request: Document) -> Document:
    """By name; PathPrefix. Tags and boundaries are in GetRole, as on AWS."""
    found = [role for role in await context.ask(c.AskRoles()) if is_below(role.path, request)]
    return page(request, "Roles", [(role.name, _summary(context, role)) for role in found])


async def update_role(context: Context, call: Call, request: Document) -> Document:
    """Description, MaxSessionDuration; what is not given stays."""
    description = text_in(request, "Description") if "Description" in request else None
    await context.ask(c.UpdateRole(name_in(request, "RoleName"), description, session_seconds_in(request)))
    return {}


async def update_role_description(context: Context, call: Call, request: Document) -> Document:
    role = await context.ask(c.UpdateRole(name_in(request, "RoleName"), text_in(request, "Description")))
    return {"Role": _summary(context, role)}


async def update_assume_role_policy(context: Context, call: Call, request: Document) -> Document:
    policy = trust_policy_in(request, "PolicyDocument")
    await context.ask(c.UpdateRole(name_in(request, "RoleName"), trust_policy=policy))
    return {}


async def put_role_permissions_boundary(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.UpdateRole(name_in(request, "RoleName"), boundary=request["PermissionsBoundary"]))
    return {}


async def delete_role_permissions_boundary(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.UpdateRole(name_in(request, "RoleName"), boundary=""))
    return {}


async def delete_role(context: Context, call: Call, request: Document) -> Document:
    """Refused with DeleteConflict while the role has policies or is in an instance profile."""
    await context.ask(c.DeleteRole(name_in(request, "RoleName")))
    return {}


def session_seconds_in(request: Document) -> int | None:
    seconds_asked: int | None = request.get("MaxSessionDuration")
    low, high = SESSION_SECONDS_RANGE
    if seconds_asked is not None and not low <= seconds_asked <= high:
        bound = f"greater than or equal to {low}" if seconds_asked < low else f"less than or equal to {high}"
        raise invalid(
            f"1 validation error detected: Value '{seconds_asked}' at 'maxSessionDuration' failed to satisfy "
            f"constraint: Member must have value {bound}"
        )
    return seconds_asked


def role_arn(context: Context, role: Role) -> str:
    return arn_of(context.account, "role", role.path, role.name)


def role_detail(context: Context, role: Role) -> Document:
    return _summary(context, role) | boundary_member(role) | tags_member(role.tags) | {"RoleLastUsed": {}}


def boundary_member(role: Role) -> Document:
    if not role.boundary:
        return {}
    boundary = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": role.boundary}
    return {"PermissionsBoundary": boundary}


def _summary(context: Context, role: Role) -> Document:
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role_arn(context, role),
        "CreateDate": seconds(role.created_at_ms),
        "AssumeRolePolicyDocument": encoded(role.trust_policy),
        **({"Description": role.description} if role.description else {}),
        "MaxSessionDuration": role.max_session_seconds,
    }


def profile_role(context: Context, role: Role) -> Document:
    """Returns a role as instance profiles show it."""
    return {name: value for name, value in _summary(context, role).items() if name != "MaxSessionDuration"}
