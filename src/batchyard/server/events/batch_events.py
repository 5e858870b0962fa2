"""Makes the events of AWS Batch of facts about jobs and queues (AWS Batch behaviour 9)."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence

from batchyard.api.batch.job_events import DETAIL_TYPES, FACT_TYPES, SOURCE, event_of, has_event, known_before
from batchyard.api.batch.render import spec_members
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobQueueBlocked, JobStateChanged
from batchyard.core.model.names import Account
from batchyard.core.model.records import JobSpec
from batchyard.server.events.fact_consumer import FactEvent
from batchyard.store.queries import Reader
from batchyard.wire.messages import Document

MAX_KNOWN = 10_000  # kinds whose fields are kept: queues by states


class BatchEventMaker:
    """An EventMaker (server.events.fact_consumer)."""

    name = "events"
    fact_types: Collection[type[Fact]] = FACT_TYPES
    source = SOURCE
    detail_types: Sequence[str] = DETAIL_TYPES

    def __init__(self, account: Account) -> None:
        self._account = account
        self._known: dict[Hashable, dict[str, str]] = {}  # by kind

    def kind_of(self, fact: Fact) -> Hashable:
        known = _of_jobs(fact)
        return type(known), known.queue, "" if isinstance(known, JobQueueBlocked) else known.status

    def has_event(self, fact: Fact) -> bool:
        return has_event(fact)

    def known_before(self, fact: Fact) -> dict[str, str]:
        kind = self.kind_of(fact)
        known = self._known.get(kind)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[kind] = known_before(_of_jobs(fact), self._account)
        return known

    def make(self, reader: Reader, facts: Sequence[Fact]) -> Iterator[FactEvent]:
        wanted = [_of_jobs(fact) for fact in facts]
        views = {view.job_id: view for view in reader.jobs([fact.job_id for fact in wanted])}
        common: tuple[JobSpec, Document] | None = None  # children of an array follow each other
        for fact in wanted:
            view = views.get(fact.job_id)
            if view is None:  # the job was pruned meanwhile: the consumer was away for days
                continue
            if common is None or common[0] is not view.spec:
                common = view.spec, spec_members(view.spec, self._account)
            yield FactEvent(fact, event_of(fact, view, self._account, common[1]), fact.job_id)


def _of_jobs(fact: Fact) -> JobStateChanged | JobQueueBlocked:
    assert isinstance(fact, JobStateChanged | JobQueueBlocked), f"{fact!r} makes no event of AWS Batch"
    return fact
