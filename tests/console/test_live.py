"""The ring of facts, and the streams of changes made of it."""

import asyncio

from batchyard.console import live
from batchyard.console.live import Change, FactRing
from batchyard.core.model.facts import EnvironmentChanged, InstanceChanged, JobStateChanged
from batchyard.core.model.records import Status


def changed(job_id: str, status: Status = Status.RUNNING, queue: str = "default") -> JobStateChanged:
    return JobStateChanged(1, 1, job_id, queue, status)


def test_changes_of_one_job_are_merged() -> None:
    ring = FactRing()
    for status in (Status.SUBMITTED, Status.PENDING, Status.RUNNABLE):
        ring.add(changed("a", status))
    ring.add(changed("b"))
    ring.add(EnvironmentChanged(1, "local", "ENABLED", "VALID"))
    ring.add(InstanceChanged(1, "i-1", "fleet", "READY"))
    assert ring.since(0) == Change(6, ("a", "b"), ("default",), ("local", "fleet"), submitted=1)
    assert ring.since(4) == Change(6, (), (), ("local", "fleet"))
    assert ring.since(6) == Change(6)


def test_what_the_ring_no_longer_has_is_everything() -> None:
    ring = FactRing(size=3)
    for number in range(5):
        ring.add(changed(str(number)))
    assert ring.since(1) == Change(5, is_all=True)
    assert ring.since(2) == Change(5, ("2", "3", "4"), ("default",))
    assert ring.since(6).is_all, "the page was made by a service that has ended since"


def test_a_thousand_jobs_are_not_named() -> None:
    ring = FactRing()
    for number in range(live.MAX_NAMED + 1):
        ring.add(changed(str(number)))
    change = ring.since(0)
    assert change.is_all
    assert change.jobs == ()


async def first(ring: FactRing, number: int, **of: object) -> Change | None:
    async for change in ring.changes(number, **of):  # type: ignore[arg-type]
        return change
    return None


def test_a_stream_waits_for_what_concerns_it() -> None:
    async def watch() -> Change | None:
        ring = FactRing()
        waiting = asyncio.create_task(first(ring, 0, job_id="b"))
        await asyncio.sleep(0)
        ring.add(changed("a"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        ring.add(changed("b"))
        return await waiting

    found = asyncio.run(watch())
    assert found is not None
    assert found.jobs == ("b",)


def test_streams_end_with_the_service() -> None:
    async def watch() -> Change | None:
        ring = FactRing()
        waiting = asyncio.create_task(first(ring, 0))
        await asyncio.sleep(0)
        ring.close()
        return await waiting

    assert asyncio.run(watch()) is None
