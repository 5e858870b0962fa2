"""Managed policies: those of the account, and AWS's own.

AWS's are known by their ARNs: each may be attached. Those that programs of Batch attach are listed, and so is whichever
is attached. What is in them is AWS's and is not kept here: their document has no statement."""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.api.context import Call, Context
from batchyard.api.iam.policy_documents import managed_policy_in
from batchyard.api.iam.requests import (
    POLICY_ID_PREFIX,
    check_choice,
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
from batchyard.core.model.refusal import Refused
from batchyard.iam import commands as c
from batchyard.iam.records import Policy, PolicyVersion, Role, aws_policy_prefix, policy_arn
from batchyard.wire.messages import Document

NO_STATEMENT = '{"Version":"2012-10-17","Statement":[]}'
LISTED_OF_AWS = (
    "AWSBatchFullAccess",
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonS3FullAccess",
    "AmazonS3ReadOnlyAccess",
    "AmazonSSMManagedInstanceCore",
    "CloudWatchAgentServerPolicy",
    "CloudWatchLogsFullAccess",
    "service-role/AWSBatchServiceEventTargetRole",
    "service-role/AWSBatchServiceRole",
    "service-role/AmazonEC2ContainerServiceforEC2Role",
    "service-role/AmazonEC2SpotFleetTaggingRole",
    "service-role/AmazonECSTaskExecutionRolePolicy",
)
SCOPES, USAGES = ("All", "AWS", "Local"), ("PermissionsPolicy", "PermissionsBoundary")
ENTITIES = ("User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy")


async def create_policy(context: Context, call: Call, request: Document) -> Document:
    """PolicyName, PolicyDocument, Path, Description, Tags -> Policy."""
    command = c.CreatePolicy(
        name_in(request, "PolicyName"),
        path_in(request),
        unique_id(POLICY_ID_PREFIX, context.new_uuid()),
        managed_policy_in(request),
        text_in(request, "Description"),
        tags_in(request),
    )
    policy = await context.ask(command)
    return {"Policy": _summary(context, policy_arn(context.account, policy), policy, ()) | tags_member(policy.tags)}


async def get_policy(context: Context, call: Call, request: Document) -> Document:
    arn = request["PolicyArn"]
    policy, roles = await find_policy(context, arn), await context.ask(c.AskRoles())
    description = {"Description": policy.description} if policy.description else {}
    return {"Policy": _summary(context, arn, policy, roles) | description | tags_member(policy.tags)}


async def list_policies(context: Context, call: Call, request: Document) -> Document:
    """By ARN; Scope, OnlyAttached, PathPrefix, PolicyUsageFilter."""
    check_choice(request, "Scope", SCOPES)
    check_choice(request, "PolicyUsageFilter", USAGES)
    roles, scope = await context.ask(c.AskRoles()), request.get("Scope", "All")
    found: dict[str, Policy] = {}
    if scope != "AWS":
        found |= {policy_arn(context.account, policy): policy for policy in await context.ask(c.AskPolicies())}
    if scope != "Local":
        prefix = aws_policy_prefix(context.account)
        attached = {arn for role in roles for arn in (*role.attached, role.boundary) if arn.startswith(prefix)}
        found |= {arn: _of_aws(arn) for arn in attached | {prefix + name for name in LISTED_OF_AWS}}
    if request.get("OnlyAttached") or "PolicyUsageFilter" in request:
        found = {arn: policy for arn, policy in found.items() if _roles_with(arn, request, roles)}
    rows = [
        (arn, _summary(context, arn, policy, roles))
        for arn, policy in sorted(found.items())
        if is_below(policy.path, request)
    ]
    return page(request, "Policies", rows)


async def list_entities_for_policy(context: Context, call: Call, request: Document) -> Document:
    """The roles that have a policy, by name; EntityFilter, PathPrefix, PolicyUsageFilter. Users and groups are not
    kept here."""
    check_choice(request, "EntityFilter", ENTITIES)
    check_choice(request, "PolicyUsageFilter", USAGES)
    await find_policy(context, request["PolicyArn"])
    roles = _roles_with(request["PolicyArn"], request, await context.ask(c.AskRoles()))
    rows = [
        (role.name, {"RoleName": role.name, "RoleId": role.id})
        for role in roles
        if is_below(role.path, request) and request.get("EntityFilter", "Role") == "Role"
    ]
    return page(request, "PolicyRoles", rows) | {"PolicyUsers": [], "PolicyGroups": []}


async def delete_policy(context: Context, call: Call, request: Document) -> Document:
    """Refused with DeleteConflict while it is attached or has other versions than the default one."""
    await context.ask(c.DeletePolicy(request["PolicyArn"]))
    return {}


async def find_policy(context: Context, arn: str) -> Policy:
    """Returns a policy of the account or of AWS."""
    if arn.startswith(aws_policy_prefix(context.account)):
        return _of_aws(arn)
    for policy in await context.ask(c.AskPolicies()):
        if policy_arn(context.account, policy) == arn:
            return policy
    raise Refused(f"Policy {arn} was not found.", "NoSuchEntity")


def _of_aws(arn: str) -> Policy:
    path, _, name = arn.partition(":policy")[2].rpartition("/")
    versions = (PolicyVersion(1, NO_STATEMENT, 0),)
    return Policy(name, f"{path}/", unique_id(POLICY_ID_PREFIX, arn), 0, 0, versions)


def _roles_with(arn: str, request: Document, roles: Sequence[Role]) -> list[Role]:
    """Returns the roles that have a policy in the use of the request's PolicyUsageFilter; without one, in any."""
    usage = request.get("PolicyUsageFilter")
    return [
        role
        for role in roles
        if (usage != "PermissionsBoundary" and arn in role.attached)
        or (usage != "PermissionsPolicy" and arn == role.boundary)
    ]


def _summary(context: Context, arn: str, policy: Policy, roles: Sequence[Role]) -> Document:
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": arn,
        "Path": policy.path,
        "DefaultVersionId": f"v{policy.default}",
        "AttachmentCount": sum(arn in role.attached for role in roles),
        "PermissionsBoundaryUsageCount": sum(arn == role.boundary for role in roles),
        "IsAttachable": True,
        "CreateDate": seconds(policy.created_at_ms),
        "UpdateDate": seconds(policy.updated_at_ms),
    }
