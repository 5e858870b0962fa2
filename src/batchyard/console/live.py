"""What changes while pages are on screens: a bounded ring of the latest facts, from which streams of changes are made.

The ring hears of facts after their commit, and stores nothing: a page that was away for longer fetches itself anew,
and shows the present state."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection
from itertools import islice

from msgspec import Struct

from batchyard.core.model.executions import ExecutionChanged
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import EnvironmentChanged, InstanceChanged, JobQueueBlocked, JobStateChanged

RING_FACTS = 10_000  # some seconds of a busy service: longer than a page needs to reconnect
MAX_NAMED = 500  # ids in one change: more than a page has rows; beyond it the page fetches itself anyway
INTERVAL_SECONDS = 0.25  # between two changes of one stream: a thousand facts a second are four changes
SILENCE_SECONDS = 15.0  # a comment is sent then: intermediaries close what is silent for longer

KINDS = JOB, QUEUE, ENVIRONMENT, EXECUTION = "job", "queue", "environment", "execution"
FACT_TYPES: tuple[type[Fact], ...] = (
    JobStateChanged,
    JobQueueBlocked,
    EnvironmentChanged,
    InstanceChanged,
    ExecutionChanged,
)


class Change(Struct, frozen=True):
    """What changed up to the fact `number`. `submitted`: how many jobs are new; `executions`: how
    many changes of executions there were. `is_all`: too
    much to be named, or no longer known."""

    number: int
    jobs: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    executions: int = 0
    submitted: int = 0
    is_all: bool = False


class FactRing:
    """The latest facts, numbered from 1. `add` is a listener of the loop; streams wait in `changes`."""

    def __init__(self, size: int = RING_FACTS) -> None:
        self._facts: deque[Fact] = deque(maxlen=size)
        self.number = 0  # of the latest fact
        self._news: set[asyncio.Event] = set()
        self._is_closed = False

    def add(self, fact: Fact) -> None:
        self._facts.append(fact)
        self.number += 1
        for news in self._news:
            news.set()

    def close(self) -> None:
        """Ends all streams: the service ends."""
        self._is_closed = True
        for news in self._news:
            news.set()

    def since(self, number: int) -> Change:
        """Returns what changed after the fact `number`."""
        missed = self.number - number
        if number > self.number or missed > len(self._facts):
            return Change(self.number, is_all=True)
        jobs: dict[str, None] = {}
        queues: dict[str, None] = {}
        environments: dict[str, None] = {}
        submitted = executions = 0
        for fact in islice(self._facts, len(self._facts) - missed, None):
            if isinstance(fact, JobStateChanged):
                jobs[fact.job_id] = None
                queues[fact.queue] = None
                submitted += fact.status == "SUBMITTED"
            elif isinstance(fact, JobQueueBlocked):
                queues[fact.queue] = None
            elif isinstance(fact, EnvironmentChanged):
                environments[fact.name] = None
            elif isinstance(fact, InstanceChanged):
                environments[fact.environment] = None
            elif isinstance(fact, ExecutionChanged):
                executions += 1
        is_all = len(jobs) > MAX_NAMED
        named = () if is_all else tuple(jobs)
        return Change(self.number, named, tuple(queues), tuple(environments), executions, submitted, is_all)

    async def changes(
        self, number: int, kinds: Collection[str] = KINDS, job_id: str = ""
    ) -> AsyncIterator[Change | None]:
        """Yields what changes after the fact `number`, and None after a silence, until the ring is closed. `kinds`: of
        what is asked; `job_id`: only that job and its children."""
        news = asyncio.Event()
        self._news.add(news)
        try:
            while not self._is_closed:
                if self.number == number:
                    news.clear()
                    try:
                        await asyncio.wait_for(news.wait(), SILENCE_SECONDS)
                    except TimeoutError:
                        yield None
                        continue
                change = self.since(number)
                number = change.number
                if _concerns(change, kinds, job_id):
                    yield change
                    await asyncio.sleep(INTERVAL_SECONDS)
        finally:
            self._news.discard(news)


def _concerns(change: Change, kinds: Collection[str], job_id: str) -> bool:
    if change.is_all:
        return True
    if job_id:
        return any(each.partition(":")[0] == job_id for each in change.jobs)
    found = {JOB: change.jobs, QUEUE: change.queues, ENVIRONMENT: change.environments, EXECUTION: change.executions}
    return any(kind in kinds and named for kind, named in found.items())
