"""Makes the events of AWS Batch of facts about jobs and queues (AWS Batch behaviour 9)."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence

from batchyard.api.batch.job_events import DETAIL_TYPES, FACT_TYPES, SOURCE, event_of, has_event, known_before
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobQueueBlocked, JobStateChanged
from batchyard.core.model.names import Account
from batchyard.server.events.fact_consumer import FactEvent
from batchyard.store.queries import Reader


class BatchEventMaker:
    """An EventMaker (server.events.fact_consumer)."""

    name = "events"
    fact_types: Collection[type[Fact]] = FACT_TYPES
    source = SOURCE
    detail_types: Sequence[str] = DETAIL_TYPES

    def __init__(self, account: Account) -> None:
        self._account = account

    def kind_of(self, fact: Fact) -> Hashable:
        known = _of_jobs(fact)
        return type(known), known.queue, "" if isinstance(known, JobQueueBlocked) else known.status

    def has_event(self, fact: Fact) -> bool:
        return has_event(fact)

    def known_before(self, fact: Fact) -> dict[str, str]:
        return known_before(_of_jobs(fact), self._account)

    def make(self, reader: Reader, facts: Sequence[Fact]) -> Iterator[FactEvent]:
        wanted = [_of_jobs(fact) for fact in facts]
        views = {view.job_id: view for view in reader.jobs([fact.job_id for fact in wanted])}
        for fact in wanted:
            view = views.get(fact.job_id)
            if view is not None:  # else the job was pruned meanwhile: the consumer was away for days
                yield FactEvent(fact, event_of(fact, view, self._account), fact.job_id)


def _of_jobs(fact: Fact) -> JobStateChanged | JobQueueBlocked:
    assert isinstance(fact, JobStateChanged | JobQueueBlocked), f"{fact!r} makes no event of AWS Batch"
    return fact
