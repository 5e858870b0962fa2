"""Instance profiles of IAM, each with at most one role."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.iam.requests import (
    PROFILE_ID_PREFIX,
    find_instance_profile,
    find_role,
    is_below,
    name_in,
    page,
    path_in,
    tags_in,
    tags_member,
    unique_id,
)
from batchyard.api.iam.roles import profile_role
from batchyard.api.secret_values import seconds
from batchyard.iam import commands as c
from batchyard.iam.records import InstanceProfile, Role, arn_of
from batchyard.wire.messages import Document


async def create_instance_profile(context: Context, call: Call, request: Document) -> Document:
    """InstanceProfileName, Path, Tags -> InstanceProfile."""
    command = c.CreateInstanceProfile(
        name_in(request, "InstanceProfileName"),
        path_in(request),
        unique_id(PROFILE_ID_PREFIX, context.new_uuid()),
        tags_in(request),
    )
    profile = await context.ask(command)
    return {"InstanceProfile": _summary(context, profile, {}) | tags_member(profile.tags)}


async def get_instance_profile(context: Context, call: Call, request: Document) -> Document:
    profile = await find_instance_profile(context, name_in(request, "InstanceProfileName"))
    roles = {profile.role: await find_role(context, profile.role)} if profile.role else {}
    return {"InstanceProfile": _summary(context, profile, roles) | tags_member(profile.tags)}


async def list_instance_profiles(context: Context, call: Call, request: Document) -> Document:
    """By name; PathPrefix."""
    found = await context.ask(c.AskInstanceProfiles())
    return await _page(context, request, [profile for profile in found if is_below(profile.path, request)])


async def list_instance_profiles_for_role(context: Context, call: Call, request: Document) -> Document:
    """By name."""
    role = await find_role(context, name_in(request, "RoleName"))
    found = await context.ask(c.AskInstanceProfiles())
    return await _page(context, request, [profile for profile in found if profile.role == role.name])


async def add_role_to_instance_profile(context: Context, call: Call, request: Document) -> Document:
    """Refused with LimitExceeded where the instance profile has a role."""
    profile, role = name_in(request, "InstanceProfileName"), name_in(request, "RoleName")
    await context.ask(c.AddRoleToInstanceProfile(profile, role))
    return {}


async def remove_role_from_instance_profile(context: Context, call: Call, request: Document) -> Document:
    profile, role = name_in(request, "InstanceProfileName"), name_in(request, "RoleName")
    await context.ask(c.RemoveRoleFromInstanceProfile(profile, role))
    return {}


async def delete_instance_profile(context: Context, call: Call, request: Document) -> Document:
    """Refused with DeleteConflict while it has a role."""
    await context.ask(c.DeleteInstanceProfile(name_in(request, "InstanceProfileName")))
    return {}


async def _page(context: Context, request: Document, profiles: list[InstanceProfile]) -> Document:
    roles = {role.name: role for role in await context.ask(c.AskRoles())}
    rows = [(profile.name, _summary(context, profile, roles)) for profile in profiles]
    return page(request, "InstanceProfiles", rows)


def _summary(context: Context, profile: InstanceProfile, roles: dict[str, Role]) -> Document:
    role = roles.get(profile.role)  # one that was added a moment ago may be too new for `roles`
    return {
        "Path": profile.path,
        "InstanceProfileName": profile.name,
        "InstanceProfileId": profile.id,
        "Arn": arn_of(context.account, "instance-profile", profile.path, profile.name),
        "CreateDate": seconds(profile.created_at_ms),
        "Roles": [] if role is None else [profile_role(context, role)],
    }
