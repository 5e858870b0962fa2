"""CreateSchedulingPolicy, UpdateSchedulingPolicy, DeleteSchedulingPolicy, DescribeSchedulingPolicies,
ListSchedulingPolicies (AWS Batch behaviour 1.4, 2.5, 5.3)."""

from __future__ import annotations

import re
from functools import partial
from itertools import pairwise

from batchyard.api.batch import render
from batchyard.api.checks import (
    check_between,
    check_describe_count,
    has_duplicates,
    new_resource,
    quoted,
    require,
)
from batchyard.api.context import Call, Context
from batchyard.api.pages import page_size, read_page
from batchyard.core.model import commands
from batchyard.core.model.names import resource_name
from batchyard.core.model.refusal import Refused
from batchyard.core.state.document_kinds import SCHEDULING_POLICY
from batchyard.wire.messages import Document

POLICY_ARN = re.compile(r"arn:[^:/]+:batch:[^:/]*:[^:/]*:scheduling-policy/[^/]+", re.DOTALL)
KINDS = ("fairsharePolicy", "quotaSharePolicy")
# Ranges of FairsharePolicy and ShareAttributes (Batch API model).
DECAY_SECONDS_RANGE = (0, 604_800)
RESERVATION_PERCENT_RANGE = (0, 99)
WEIGHT_RANGE = (0.0001, 999.9999)
MAX_SHARES = 500
SHARE_ENTRY = re.compile(r"(?=.{1,255}$)[a-zA-Z0-9_-]*\*?", re.DOTALL)
IDLE_STRATEGIES = ("FIFO",)


async def create_scheduling_policy(context: Context, call: Call, request: Document) -> Document:
    name, tags = new_resource(request, "name", "Scheduling policy")
    document = _policy(request) or {"fairsharePolicy": {}}  # AWS's default: all shares alike
    await context.ask(commands.CreateSchedulingPolicy(name, document, tags))
    return {"name": name, "arn": context.account.policy_arn(name)}


async def update_scheduling_policy(context: Context, call: Call, request: Document) -> Document:
    name = policy_name(request["arn"])
    await context.ask(commands.UpdateSchedulingPolicy(name, _policy(request)))
    return {}


async def delete_scheduling_policy(context: Context, call: Call, request: Document) -> Document:
    await context.ask(commands.DeleteSchedulingPolicy(policy_name(request["arn"])))
    return {}


async def describe_scheduling_policies(context: Context, call: Call, request: Document) -> Document:
    """Unknown ARNs are left out."""
    check_describe_count(request["arns"], "arns")
    wanted = [resource_name(arn, SCHEDULING_POLICY) for arn in request["arns"] if POLICY_ARN.fullmatch(arn)]
    found, _ = await context.read(context.reader.documents, SCHEDULING_POLICY, wanted)
    return {"schedulingPolicies": [render.policy_detail(policy, context.account) for policy in found]}


async def list_scheduling_policies(context: Context, call: Call, request: Document) -> Document:
    query = partial(context.reader.documents, SCHEDULING_POLICY, None, page_size(request), request.get("nextToken"))
    found, token = await read_page(context, query)
    return {"schedulingPolicies": [{"arn": context.account.policy_arn(policy.name)} for policy in found]} | token


def policy_name(arn: str) -> str:
    """Returns the name in a scheduling policy's ARN, which requests must use."""
    require(POLICY_ARN.fullmatch(arn), f"Only scheduling policy Arn can be allowed, got {quoted(arn)!r}.")
    return resource_name(arn, SCHEDULING_POLICY)


def _policy(request: Document) -> Document:
    """Returns the part that defines the sharing, checked; {} when the request has none."""
    given = [kind for kind in KINDS if request.get(kind) is not None]
    require(len(given) <= 1, "A scheduling policy can have either fairsharePolicy or quotaSharePolicy")
    if not given:
        return {}
    document = request[given[0]]
    if given[0] == "fairsharePolicy":
        check_between(document.get("shareDecaySeconds"), *DECAY_SECONDS_RANGE, "shareDecaySeconds")
        check_between(document.get("computeReservation"), *RESERVATION_PERCENT_RANGE, "computeReservation")
        _check_distribution(document.get("shareDistribution", []))
    else:
        strategy = document.get("idleResourceAssignmentStrategy")
        allowed = ", ".join(IDLE_STRATEGIES)
        require(
            strategy is None or strategy in IDLE_STRATEGIES,
            f"Idle resource assignment strategy must be one of [{allowed}].",
        )
    return {given[0]: document}


def _check_distribution(entries: list[Document]) -> None:
    require(len(entries) <= MAX_SHARES, f"ShareDistribution size cannot be greater than {MAX_SHARES}.")
    low, high = WEIGHT_RANGE
    for entry in entries:
        identifier, weight = entry["shareIdentifier"], entry.get("weightFactor")
        require(SHARE_ENTRY.fullmatch(identifier), "ShareIdentifier name should match a valid pattern.")
        require(weight is None or low <= weight <= high, f"Weight factor should be between {low} and {high}.")
    identifiers = [entry["shareIdentifier"] for entry in entries]
    require(not has_duplicates(identifiers), "Cannot have two or more identical shareIdentifiers.")
    _check_overlaps(identifiers)


def _check_overlaps(identifiers: list[str]) -> None:
    """Refuses overlapping identifiers: `UserA*` matches `UserA1` and `UserA1*`. In the order of the text before the
    `*`, what a prefix matches follows it directly, so that comparing neighbours is enough."""
    ordered = sorted(identifiers, key=lambda identifier: (identifier.removesuffix("*"), not identifier.endswith("*")))
    for before, after in pairwise(ordered):
        if before.endswith("*") and after.startswith(before[:-1]):
            raise Refused(f"Share identifier {quoted(before)} matches another share identifier {quoted(after)}.")
