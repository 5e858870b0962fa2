"""Records for the store's tests: plain ones by hand, and strategies for any record at all."""

from __future__ import annotations

import types
import typing
import uuid
from enum import Enum
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from batchyard.core.model.changes import Changes
from batchyard.core.model.records import ArrayState, Attempt, Job, JobSpec, Placement, Status, TaskSpec
from batchyard.core.model.resources import Resources

ACCOUNT = "123456789012"
REGION = "us-east-1"
NOW_MS = 1_700_000_000_000
TASK = TaskSpec(("true",), (("NAME", "value"),), Resources(1000, 512))
CONTAINER = {"image": "busybox", "command": ["true"]}


def job_id(key: int) -> str:
    """A uuid whose order is not that of the keys."""
    return str(uuid.UUID(int=key * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128), version=4))


def make_spec(key: int, **members: Any) -> JobSpec:
    given: dict[str, Any] = {"name": f"job-{key}", "queue": "default", "definition": "work:1", "log_prefix": "work"}
    given |= {"task": TASK, "container": CONTAINER, "created_at_ms": NOW_MS + key}
    return JobSpec(key, job_id(key), **{**given, **members})


def make_job(key: int, status: Status = Status.RUNNABLE, **members: Any) -> Job:
    return Job(key, status, NOW_MS + key, **members)


def ran(number: int = 1, started_at_ms: int = NOW_MS + 5) -> Attempt:
    return Attempt(
        number, "local", "fake", (Placement("i-1"),), started_at_ms=started_at_ms, stopped_at_ms=started_at_ms + 1
    )


def finished_job(key: int, status: Status = Status.SUCCEEDED) -> Job:
    return make_job(key, status, started_at_ms=NOW_MS + 5, stopped_at_ms=NOW_MS + 6, past=(ran(),))


def submit(*specs: JobSpec, status: Status = Status.RUNNABLE) -> Changes:
    """The submissions with their jobs' first rows."""
    changes = Changes(specs=list(specs))
    for spec in specs:
        array = ArrayState(spec.array_size, ((0, spec.array_size),), released_at_ms=1) if spec.array_size else None
        changes.jobs[spec.key] = make_job(spec.key, Status.PENDING if array else status, array=array)
        changes.next_key = max(changes.next_key, spec.key + spec.array_size + 1)
    return changes


# -- Any record --

# A loaded machine is slow, and slowness is no failure.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)  # half of a surrogate pair is no text
numbers = st.integers(-(2**63), 2**63 - 1)
documents = st.recursive(
    st.booleans() | numbers | texts | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def anything(kind: Any) -> st.SearchStrategy[Any]:
    """Every value that the type allows, Structs and their members included."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return documents
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return st.lists(anything(arguments[0]), max_size=3).map(tuple)
        return st.tuples(*map(anything, arguments))
    if origin is list:
        return st.lists(anything(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(anything(arguments[0]), anything(arguments[1]), max_size=3)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([anything(one) for one in arguments])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert issubclass(kind, msgspec.Struct), f"no strategy for {kind}"
    return st.builds(kind, **{one.name: anything(one.type) for one in fields(kind)})


_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: numbers,
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    type(None): st.none(),
}
