"""Queries of jobs: by id, by task id, their final statuses and tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct
from sqlalchemy import Connection, bindparam, select

from batchyard.core.model import names
from batchyard.core.model.attempt_node import parse_node, task_id_of
from batchyard.core.model.names import child_key
from batchyard.core.model.ranges import contains
from batchyard.core.model.records import Attempt, Job, JobSpec, Status
from batchyard.core.state.arrays import virtual_child
from batchyard.core.state.node_views import node_job, node_spec
from batchyard.store import codec
from batchyard.store.tables import job_specs, jobs

_Value = TypeVar("_Value", int, str)

IN_LIST = 1000  # values of one IN (...); SQLite takes 32,766, and a longer statement is slower to prepare


class JobView(Struct, frozen=True):
    """A job together with its spec and tags. For an array's child `spec` is its parent's and `job` may be
    synthesised; for a node of a multi-node job both are as if they were of that node alone. `tags` are the top-level
    job's own (children and nodes have none). In listings `spec.task` and `spec.container` are empty."""

    spec: JobSpec
    job: Job
    tags: dict[str, str]
    parent: Job | None = None
    index: int | None = None
    node: int | None = None

    def task_id(self, number: int) -> str:
        """Returns the task id of an attempt; of a multi-node job that of its main node."""
        own = self.spec.job_id if self.node is not None else self.job_id
        node = self.spec.main_node if self.node is None else self.node
        return task_id_of(names.task_id(self.job.key, number, own), node)

    @property
    def job_id(self) -> str:
        if self.node is not None:
            return names.node_id(self.spec.job_id, self.node)
        return self.spec.job_id if self.index is None else names.child_id(self.spec.job_id, self.index)


class AttemptView(Struct, frozen=True):
    """Attempt `number` of a job. `attempt` is None when it is not the current one and never ran."""

    view: JobView
    number: int
    attempt: Attempt | None


class JobTags(Struct, frozen=True):
    key: int
    tags: dict[str, str]


_TOP = [job_specs.c.key, job_specs.c.job_id, job_specs.c.body, job_specs.c.tags, jobs.c.body.label("job")]
TOP_LEVEL = select(*_TOP).select_from(job_specs.join(jobs, jobs.c.key == job_specs.c.key))
_BY_JOB_ID = TOP_LEVEL.where(job_specs.c.job_id.in_(bindparam("ids", expanding=True)))
_BEFORE_KEY = TOP_LEVEL.where(job_specs.c.key <= bindparam("key")).order_by(job_specs.c.key.desc()).limit(1)
_BY_KEY = TOP_LEVEL.where(job_specs.c.key.in_(bindparam("keys", expanding=True))).order_by(job_specs.c.key)
_ROWS = select(jobs.c.key, jobs.c.body).where(jobs.c.key.in_(bindparam("keys", expanding=True)))
_PARENTS = (
    select(job_specs.c.job_id, jobs.c.status, jobs.c.body)
    .select_from(job_specs.join(jobs, jobs.c.key == job_specs.c.key))
    .where(job_specs.c.job_id.in_(bindparam("ids", expanding=True)))
)
_TAGS = select(job_specs.c.job_id, job_specs.c.key, job_specs.c.tags).where(
    job_specs.c.job_id.in_(bindparam("ids", expanding=True))
)


def top_view(body: str, tags: str, job: str) -> JobView:
    spec = codec.decode_spec(body, tags)
    return JobView(spec, codec.decode_job(job), spec.tags)


def listed_view(body: str, tags: str, job: str) -> JobView:
    """Returns a view for long listings: its spec comes without `task` and `container`."""
    spec = codec.decode_listed_spec(body, tags)
    return JobView(spec, codec.decode_job(job), spec.tags)


def views_by_key(connection: Connection, keys: Iterable[int]) -> list[JobView]:
    """Returns top-level jobs as views for listings, by ascending key."""
    return [listed_view(*row[2:]) for part in _parts(keys) for row in connection.execute(_BY_KEY, {"keys": part})]


def child_view(parent: JobView, index: int, row: str | None) -> JobView | None:
    """Returns the view of a child. `row`: the child's own, where it has one. None when there is no such child."""
    array = parent.job.array
    if array is None or not 0 <= index < array.size:
        return None
    job = codec.decode_job(row) if row is not None else virtual_child(parent.spec, parent.job, index)
    return None if job is None else JobView(parent.spec, job, {}, parent.job, index)


def node_view(top: JobView, node: int) -> JobView | None:
    """Returns the view of a node of a multi-node job. None when there is no such node."""
    if not 0 <= node < top.spec.num_nodes:
        return None
    return JobView(node_spec(top.spec, node), node_job(top.job, node), {}, top.job, node=node)


def find_jobs(connection: Connection, ids: Sequence[str]) -> list[JobView]:
    """Returns the jobs with these ids or ARNs, children included, each once, in the order of the request, without
    unknown ones."""
    wanted = [names.parse_job_id(text) for text in dict.fromkeys(ids)]
    tops = {
        view.spec.job_id: view
        for part in _parts({one.uuid for one in wanted})
        for view in (top_view(*row[2:]) for row in connection.execute(_BY_JOB_ID, {"ids": part}))
    }
    keys = [
        child_key(tops[one.uuid].job.key, one.index)
        for one in wanted
        if one.index is not None and one.uuid in tops and _has_child(tops[one.uuid], one.index)
    ]
    rows: dict[int, str] = {
        key: body for part in _parts(keys) for key, body in connection.execute(_ROWS, {"keys": part})
    }
    found: dict[names.JobId, JobView] = {}
    for one in wanted:
        top = tops.get(one.uuid)
        if top is None:
            continue
        view: JobView | None = top
        if one.node is not None:
            view = node_view(top, one.node)
        elif one.index is not None:
            view = child_view(top, one.index, rows.get(child_key(top.job.key, one.index)))
        if view is not None:
            found[one] = view
    return list(found.values())


def finished_statuses(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """Returns the final statuses of those of the jobs and children that have ended, by the id as given.

    A child's comes from its parent's ranges, so that it needs no row of its own."""
    wanted = {text: names.parse_job_id(text) for text in ids}
    found: dict[str, tuple[str, str]] = {
        job_id: (status, body)
        for part in _parts({one.uuid for one in wanted.values()})
        for job_id, status, body in connection.execute(_PARENTS, {"ids": part})
    }
    parents: dict[str, Job] = {}
    final: dict[str, str] = {}
    for text, one in wanted.items():
        if one.uuid not in found or one.node is not None:
            continue
        status, body = found[one.uuid]
        if one.index is not None:
            if one.uuid not in parents:
                parents[one.uuid] = codec.decode_job(body)
            status = _child_status(parents[one.uuid], one.index)
        if status and Status(status).is_final:
            final[text] = status
    return final


def _child_status(parent: Job, index: int) -> str:
    """Returns the final status of a child; empty while it has none, or where there is no such child."""
    if parent.array is None:
        return ""
    if contains(parent.array.succeeded, index):
        return Status.SUCCEEDED.value
    return Status.FAILED.value if contains(parent.array.failed, index) else ""


def find_tags(connection: Connection, ids: Sequence[str]) -> dict[str, JobTags]:
    """Returns the tags of top-level jobs, by id, without unknown ones."""
    return {
        job_id: JobTags(key, codec.decode_tags(tags))
        for part in _parts(set(ids))
        for job_id, key, tags in connection.execute(_TAGS, {"ids": part})
    }


def find_attempt(connection: Connection, task_id: str) -> AttemptView | None:
    """Returns the attempt that a task id names; None when no job can ever have had it."""
    if not names.is_task_id(task_id):
        return None
    attempt_id, node = parse_node(task_id)
    parsed = names.parse_task_id(attempt_id)
    if parsed is None:
        return None
    key, number = parsed
    row = connection.execute(_BEFORE_KEY, {"key": key}).one_or_none()
    if row is None or number == 0:
        return None
    view: JobView | None = top_view(*row[2:])
    assert view is not None
    if key != view.job.key:
        child = connection.execute(_ROWS, {"keys": [key]}).one_or_none()
        view = child_view(view, names.child_index(view.job.key, key), child[1] if child else None)
    if view is None or names.task_id(key, number, view.job_id) != attempt_id:
        return None
    if node or view.spec.num_nodes:
        view = node_view(view, node)
        if view is None:
            return None
    return AttemptView(view, number, _attempt(view.job, number))


def _attempt(job: Job, number: int) -> Attempt | None:
    if job.attempt is not None and job.attempt.number == number:
        return job.attempt
    return next((past for past in job.past if past.number == number and past.started_at_ms), None)


def _has_child(top: JobView, index: int) -> bool:
    return top.job.array is not None and 0 <= index < top.job.array.size


def _parts(values: Iterable[_Value]) -> Iterator[list[_Value]]:
    """Splits values into lists short enough for one statement; sorted, so that rows are read in their stored order."""
    ordered = sorted(values)
    for start in range(0, len(ordered), IN_LIST):
        yield ordered[start : start + IN_LIST]
