"""Versions of managed policies."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.iam.managed_policies import find_policy
from batchyard.api.iam.policy_documents import managed_policy_in
from batchyard.api.iam.requests import encoded, page
from batchyard.api.secret_values import seconds
from batchyard.core.model.refusal import Refused
from batchyard.iam import commands as c
from batchyard.iam.records import PolicyVersion
from batchyard.wire.messages import Document


async def create_policy_version(context: Context, call: Call, request: Document) -> Document:
    """PolicyArn, PolicyDocument, SetAsDefault -> PolicyVersion. A policy has at most five."""
    is_default = request.get("SetAsDefault", False)
    command = c.CreatePolicyVersion(request["PolicyArn"], managed_policy_in(request), is_default)
    return {"PolicyVersion": _summary(await context.ask(command), is_default=is_default)}


async def get_policy_version(context: Context, call: Call, request: Document) -> Document:
    """PolicyArn, VersionId -> PolicyVersion with its Document."""
    arn, version_id = request["PolicyArn"], request["VersionId"]
    policy = await find_policy(context, arn)
    for version in policy.versions:
        if version.id == version_id:
            document = {"Document": encoded(version.document)}
            return {"PolicyVersion": document | _summary(version, is_default=version.number == policy.default)}
    raise Refused(f"Policy {arn} version {version_id} does not exist or is not attachable.", "NoSuchEntity")


async def list_policy_versions(context: Context, call: Call, request: Document) -> Document:
    """The newest first, as on AWS."""
    policy = await find_policy(context, request["PolicyArn"])
    rows = []
    for version in sorted(policy.versions, key=lambda one: -one.number):
        rank = f"{policy.last - version.number:010}"  # sorts as the answer does
        rows.append((rank, _summary(version, is_default=version.number == policy.default)))
    return page(request, "Versions", rows)


async def set_default_policy_version(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.SetDefaultPolicyVersion(request["PolicyArn"], request["VersionId"]))
    return {}


async def delete_policy_version(context: Context, call: Call, request: Document) -> Document:
    """Refused with DeleteConflict for the default version."""
    await context.ask(c.DeletePolicyVersion(request["PolicyArn"], request["VersionId"]))
    return {}


def _summary(version: PolicyVersion, *, is_default: bool) -> Document:
    return {
        "VersionId": version.id,
        "IsDefaultVersion": is_default,
        "CreateDate": seconds(version.created_at_ms),
    }
