"""Service-linked roles of IAM, for the services of AWS that programs of Batch name (user guide: Using service-linked
roles)."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from batchyard.api.context import Call, Context
from batchyard.api.iam.requests import ROLE_ID_PREFIX, find_role, input_refused, name_in, text_in, unique_id
from batchyard.api.iam.roles import role_detail
from batchyard.core.model.refusal import Refused
from batchyard.iam import commands as c
from batchyard.iam.records import aws_policy_prefix
from batchyard.wire.messages import Document

PATH = "/aws-service-role/"
TASK = re.compile(r"task/aws-service-role/[a-z0-9.-]+/[\w+=,.@-]+/[0-9a-f-]{36}")


class _LinkedRole(NamedTuple):
    """`policy`: AWS's managed policy that its role has."""

    name: str
    policy: str
    takes_suffix: bool = False


_ROLES = {
    "autoscaling.amazonaws.com": _LinkedRole("AWSServiceRoleForAutoScaling", "AutoScalingServiceRolePolicy", True),
    "batch.amazonaws.com": _LinkedRole("AWSServiceRoleForBatch", "BatchServiceRolePolicy"),
    "ecs.amazonaws.com": _LinkedRole("AWSServiceRoleForECS", "AmazonECSServiceRolePolicy"),
    "eks.amazonaws.com": _LinkedRole("AWSServiceRoleForAmazonEKS", "AmazonEKSServiceRolePolicy"),
    "elasticfilesystem.amazonaws.com": _LinkedRole(
        "AWSServiceRoleForAmazonElasticFileSystem", "AmazonElasticFileSystemServiceRolePolicy"
    ),
    "events.amazonaws.com": _LinkedRole(
        "AWSServiceRoleForCloudWatchEvents", "CloudWatchEventsServiceRolePolicy"
    ),
    "spot.amazonaws.com": _LinkedRole("AWSServiceRoleForEC2Spot", "AWSEC2SpotServiceRolePolicy"),
    "spotfleet.amazonaws.com": _LinkedRole("AWSServiceRoleForEC2SpotFleet", "AWSEC2SpotFleetServiceRolePolicy"),
}  # fmt: skip


async def create_service_linked_role(context: Context, call: Call, request: Document) -> Document:
    """AWSServiceName, Description, CustomSuffix -> Role. Other services than those of the refusal are not known."""
    service = request["AWSServiceName"]
    linked = _ROLES.get(service)
    if linked is None:
        raise input_refused(f"AWSServiceName must be one of {', '.join(_ROLES)} here.")
    suffix = request.get("CustomSuffix", "")
    if suffix and not linked.takes_suffix:
        raise input_refused(f"Custom suffix is not allowed for {service}")
    name = f"{linked.name}_{name_in(request, 'CustomSuffix')}" if suffix else linked.name
    statement = {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": service}}
    command = c.CreateRole(
        name,
        f"{PATH}{service}/",
        unique_id(ROLE_ID_PREFIX, context.new_uuid()),
        json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        text_in(request, "Description"),
        attached=(f"{aws_policy_prefix(context.account)}aws-service-role/{linked.policy}",),
        is_service_linked=True,
    )
    role = role_detail(context, await context.ask(command))
    return {"Role": {member: value for member, value in role.items() if member != "RoleLastUsed"}}


async def delete_service_linked_role(context: Context, call: Call, request: Document) -> Document:
    """Deletes it at once, since no service depends on it -> DeletionTaskId."""
    role = await find_role(context, name_in(request, "RoleName"))
    await context.ask(c.DeleteRole(role.name, is_service_linked=True))
    return {"DeletionTaskId": f"task{role.path}{role.name}/{context.new_uuid()}"}


async def get_service_linked_role_deletion_status(context: Context, call: Call, request: Document) -> Document:
    """A deletion that was begun has succeeded: Status SUCCEEDED."""
    task = request["DeletionTaskId"]
    if not TASK.fullmatch(task):
        raise Refused(f"Deletion task {task} was not found.", "NoSuchEntity")
    return {"Status": "SUCCEEDED"}
