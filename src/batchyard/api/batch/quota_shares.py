"""CreateQuotaShare, UpdateQuotaShare, DeleteQuotaShare, DescribeQuotaShare, ListQuotaShares (AWS Batch behaviour 2.7,
5.5)."""

from __future__ import annotations

import re
from functools import partial

from batchyard.api.batch.rules.capacity_rules import check_share_limits
from batchyard.api.checks import new_resource, quoted, require
from batchyard.api.context import Call, Context
from batchyard.api.pages import page_size, read_page
from batchyard.core.model import service_commands
from batchyard.core.model.names import JOB_QUEUE, Account, resource_name
from batchyard.core.model.records import Health
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import QuotaShare, quota_share_path
from batchyard.core.service_jobs.document_kinds import QUOTA_SHARE
from batchyard.wire.messages import Document

QUOTA_SHARE_ARN = re.compile(r"arn:[^:/]+:batch:[^:/]*:[^:/]*:job-queue/([^/]+)/quota-share/([^/]+)", re.DOTALL)
UNLIMITED = -1  # API: QuotaShareResourceSharingConfiguration, the default of borrowLimit
BORROWING = "LEND_AND_BORROW"


async def create_quota_share(context: Context, call: Call, request: Document) -> Document:
    name, tags = new_resource(request, "quotaShareName", "Quota share")
    limits, sharing = request["capacityLimits"], request["resourceSharingConfiguration"]
    check_share_limits(limits)
    _check_sharing(sharing)
    share = await context.ask(
        service_commands.CreateQuotaShare(
            name=name,
            queue=resource_name(request["jobQueue"], JOB_QUEUE),
            state=request.get("state", "ENABLED"),
            capacity_limits=tuple(limits),
            sharing=sharing,
            preemption=request["preemptionConfiguration"],
            tags=tags,
        )
    )
    return _named(share, context.account)


async def update_quota_share(context: Context, call: Call, request: Document) -> Document:
    limits, sharing = request.get("capacityLimits"), request.get("resourceSharingConfiguration")
    if limits is not None:
        check_share_limits(limits)
    if sharing is not None:
        _check_sharing(sharing)
    share = await context.ask(
        service_commands.UpdateQuotaShare(
            path=_path(request),
            state=request.get("state", ""),
            capacity_limits=tuple(limits or ()),
            sharing=sharing,
            preemption=request.get("preemptionConfiguration"),
        )
    )
    return _named(share, context.account)


async def delete_quota_share(context: Context, call: Call, request: Document) -> Document:
    await context.ask(service_commands.DeleteQuotaShare(_path(request)))
    return {}


async def describe_quota_share(context: Context, call: Call, request: Document) -> Document:
    path = _path(request)
    found, _ = await context.read(context.reader.documents, QUOTA_SHARE, [path])
    if not found:
        raise Refused(f"QuotaShare {quoted(request['quotaShareArn'])} does not exist.")
    return _detail(found[0], context.account) | {"tags": found[0].tags}


async def list_quota_shares(context: Context, call: Call, request: Document) -> Document:
    queue = resource_name(request["jobQueue"], JOB_QUEUE)
    queues, _ = await context.read(context.reader.queues, [queue])
    require(queues, f"Job queue {quoted(queue)} does not exist")
    token, prefix = request.get("nextToken"), quota_share_path(queue, "")
    query = partial(context.reader.documents, QUOTA_SHARE, None, page_size(request), token, prefix=prefix)
    found, following = await read_page(context, query)
    return {"quotaShares": [_detail(share, context.account) for share in found]} | following


def _check_sharing(sharing: Document) -> None:
    limit = sharing.get("borrowLimit")
    if limit is not None:
        require(sharing["strategy"] == BORROWING, f"borrowLimit can only be used with the strategy {BORROWING}.")
        require(limit >= UNLIMITED, f"borrowLimit must be at least {UNLIMITED}, got {limit}.")


def _path(request: Document) -> str:
    arn = request["quotaShareArn"]
    match = QUOTA_SHARE_ARN.fullmatch(arn)
    if match is None:
        raise Refused(f"Only quota share Arn can be allowed, got {quoted(arn)!r}.")
    return quota_share_path(*match.groups())


def _named(share: QuotaShare, account: Account) -> Document:
    return {"quotaShareName": share.name, "quotaShareArn": account.quota_share_arn(share.queue, share.name)}


def _detail(share: QuotaShare, account: Account) -> Document:
    """QuotaShareDetail. Changes are done when they are answered: every share is VALID."""
    sharing = share.sharing
    if sharing["strategy"] == BORROWING:
        sharing = {"borrowLimit": UNLIMITED} | sharing
    return _named(share, account) | {
        "jobQueueArn": account.queue_arn(share.queue),
        "capacityLimits": list(share.capacity_limits),
        "resourceSharingConfiguration": sharing,
        "preemptionConfiguration": share.preemption,
        "state": share.state.value,
        "status": Health.VALID.value,
    }
