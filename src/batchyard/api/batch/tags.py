"""TagResource, UntagResource, ListTagsForResource (AWS Batch behaviour 1.5, 2.8)."""

from __future__ import annotations

import re

from msgspec import Struct

from batchyard.api.batch.quota_shares import QUOTA_SHARE_ARN
from batchyard.api.checks import MAX_TAGS, check_tag_key, check_tags, quoted, require
from batchyard.api.context import Call, Context
from batchyard.core.model import commands
from batchyard.core.model.names import (
    COMPUTE_ENVIRONMENT,
    JOB,
    JOB_DEFINITION,
    JOB_QUEUE,
    parse_job_id,
    split_definition,
)
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import quota_share_path
from batchyard.core.service_jobs.document_kinds import QUOTA_SHARE, SERVICE_ENVIRONMENT, SERVICE_JOB
from batchyard.core.state.document_kinds import CONSUMABLE_RESOURCE, SCHEDULING_POLICY
from batchyard.wire.messages import Document

RESOURCE_ARN = re.compile(r"arn:[^:/]+:batch:[^:/]*:[^:/]*:([a-z-]+)/(.+)", re.DOTALL)
KINDS = (
    COMPUTE_ENVIRONMENT,
    JOB_QUEUE,
    JOB_DEFINITION,
    SCHEDULING_POLICY,
    JOB,
    CONSUMABLE_RESOURCE,
    SERVICE_ENVIRONMENT,
    SERVICE_JOB,
    QUOTA_SHARE,
)
# Kept as documents of that kind.
DOCUMENTS = (SCHEDULING_POLICY, CONSUMABLE_RESOURCE, SERVICE_ENVIRONMENT, SERVICE_JOB, QUOTA_SHARE)


class Tagged(Struct, frozen=True):
    """The resource that an ARN names, and its tags in the store. `job_key` is 0 for resources that are not jobs."""

    kind: str
    name: str
    tags: dict[str, str]
    job_key: int = 0


async def tag_resource(context: Context, call: Call, request: Document) -> Document:
    tags = request["tags"]
    require(tags, f"tags must hold 1 to {MAX_TAGS} entries, got 0.")
    check_tags(tags)
    found = await _find(context, request["resourceArn"])
    await context.ask(
        commands.TagResource(found.kind, found.name, tags, stored_key=found.job_key, stored=_stored(found))
    )
    return {}


async def untag_resource(context: Context, call: Call, request: Document) -> Document:
    keys = request["tagKeys"]
    require(1 <= len(keys) <= MAX_TAGS, f"tagKeys must hold 1 to {MAX_TAGS} entries, got {len(keys)}.")
    for key in keys:
        check_tag_key(key)
    found = await _find(context, request["resourceArn"])
    await context.ask(
        commands.UntagResource(found.kind, found.name, tuple(keys), stored_key=found.job_key, stored=_stored(found))
    )
    return {}


async def list_tags_for_resource(context: Context, call: Call, request: Document) -> Document:
    return {"tags": (await _find(context, request["resourceArn"])).tags}


def _stored(found: Tagged) -> dict[str, str] | None:
    return found.tags if found.job_key else None


async def _find(context: Context, arn: str) -> Tagged:
    """Returns the resource of an ARN as stored. Refuses what does not exist or can't be tagged."""
    match = RESOURCE_ARN.fullmatch(arn)
    if match is None:
        raise Refused(
            f"resourceArn must be the ARN of a Batch resource, arn:aws:batch:<region>:<account>:<type>/<name>, "
            f"got {quoted(arn)!r}."
        )
    share = QUOTA_SHARE_ARN.fullmatch(arn)
    kind, name = match.groups() if share is None else (QUOTA_SHARE, quota_share_path(*share.groups()))
    require(
        kind in KINDS, f"Resources of type {quoted(kind)} are not built yet in this version; known: {', '.join(KINDS)}."
    )
    found = await _look_up(context, kind, name)
    if found is None:
        raise Refused(f"Resource {quoted(arn)} does not exist.")
    return found


async def _look_up(context: Context, kind: str, name: str) -> Tagged | None:
    reader = context.reader
    if kind == JOB:
        job = parse_job_id(name)
        require(
            job.index is None and job.node is None,
            f"Child jobs of array and multi-node parallel jobs can not be tagged: {quoted(name)}. Tag the parent job.",
        )
        tags = (await context.read(reader.tags, [job.uuid])).get(job.uuid)
        return None if tags is None else Tagged(kind, job.uuid, tags.tags, tags.key)
    if kind == JOB_DEFINITION:
        definition, revision = split_definition(name)
        require(
            revision is not None, f"Job definitions are tagged by revision: use the ARN of {quoted(name)}:<revision>."
        )
        assert revision is not None
        definitions, _ = await context.read(reader.definitions, [(definition, revision)])
        return Tagged(kind, name, definitions[0].tags) if definitions else None
    if kind in DOCUMENTS:
        found, _ = await context.read(reader.documents, kind, [name])
        return Tagged(kind, name, found[0].tags) if found else None
    if kind == JOB_QUEUE:
        queues, _ = await context.read(reader.queues, [name])
        return Tagged(kind, name, queues[0].tags) if queues else None
    environments, _ = await context.read(reader.environments, [name])
    return Tagged(kind, name, environments[0].tags) if environments else None
