"""The facts about jobs, queues, environments and instances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from batchyard.core.model.fact_kinds import Fact, register
from batchyard.core.model.names import child_id
from batchyard.core.model.records import Status


@register
class JobStateChanged(Fact, frozen=True, tag="job"):
    """A job came into `status`. With `stop` above 0: so did the children [start, stop) of the array `key`, each alone.

    A job begins SUBMITTED and a child PENDING; from there on each change is one of lifecycle.TABLE."""

    key: int  # of the submission
    job_id: str  # of the submission
    queue: str
    status: Status
    attempts: int = 0  # that have ended before
    reason: str = ""  # statusReason
    start: int = 0
    stop: int = 0


@register
class JobQueueBlocked(Fact, frozen=True, tag="blocked"):
    """A job cannot start that blocks its queue, or would on AWS (AWS Batch behaviour 4.7, 9.3)."""

    queue: str
    job_id: str
    reason: str  # as in statusReason


GONE = "GONE"  # the state of an instance, and the status of an environment, that is no more


@register
class EnvironmentChanged(Fact, frozen=True, tag="environment"):
    """A compute environment was made, changed, or is gone."""

    name: str
    state: str  # empty when it is gone
    status: str
    status_reason: str = ""
    desired_vcpus: int = 0


@register
class InstanceChanged(Fact, frozen=True, tag="instance"):
    """An instance of a MANAGED environment came into a state: one of InstanceState, or GONE."""

    instance_id: str
    environment: str
    state: str


def expand(facts: Iterable[Fact]) -> Iterator[Fact]:
    """Returns the facts with each range of children replaced by a fact for every child, whose `job_id` is the
    child's."""
    for fact in facts:
        if not isinstance(fact, JobStateChanged) or not fact.stop:
            yield fact
            continue
        for index in range(fact.start, fact.stop):
            yield replace(fact, job_id=child_id(fact.job_id, index), start=index, stop=index + 1)
