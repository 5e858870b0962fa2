"""Tags of roles, managed policies and instance profiles."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.iam.managed_policies import find_policy
from batchyard.api.iam.requests import (
    find_instance_profile,
    find_role,
    name_in,
    page,
    tag_keys_in,
    tag_list,
    tags_in,
)
from batchyard.iam import commands as c
from batchyard.wire.messages import Document


async def tag_role(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagRole(name_in(request, "RoleName"), tags_in(request)))
    return {}


async def untag_role(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagRole(name_in(request, "RoleName"), removed=tag_keys_in(request)))
    return {}


async def list_role_tags(context: Context, call: Call, request: Document) -> Document:
    return _page(request, (await find_role(context, name_in(request, "RoleName"))).tags)


async def tag_policy(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagPolicy(request["PolicyArn"], tags_in(request)))
    return {}


async def untag_policy(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagPolicy(request["PolicyArn"], removed=tag_keys_in(request)))
    return {}


async def list_policy_tags(context: Context, call: Call, request: Document) -> Document:
    return _page(request, (await find_policy(context, request["PolicyArn"])).tags)


async def tag_instance_profile(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagInstanceProfile(name_in(request, "InstanceProfileName"), tags_in(request)))
    return {}


async def untag_instance_profile(context: Context, call: Call, request: Document) -> Document:
    command = c.TagInstanceProfile(name_in(request, "InstanceProfileName"), removed=tag_keys_in(request))
    await context.ask(command)
    return {}


async def list_instance_profile_tags(context: Context, call: Call, request: Document) -> Document:
    return _page(request, (await find_instance_profile(context, name_in(request, "InstanceProfileName"))).tags)


def _page(request: Document, tags: dict[str, str]) -> Document:
    """By key."""
    return page(request, "Tags", [(tag["Key"], tag) for tag in tag_list(tags)])
