"""The process that answers one question about the future: reads it from its standard input, writes the answer to its
standard output. It opens the store to read alone, as it was committed last."""

from __future__ import annotations

import os
import sys

import msgspec

from batchyard.analysis.forecasts import NOT_WAITING, Forecast, Forecasts
from batchyard.analysis.past_runs import PastRun
from batchyard.core.capacity.prices import Prices
from batchyard.core.model.changes import Snapshot
from batchyard.core.model.commands import SetHost
from batchyard.core.model.names import Account
from batchyard.core.model.records import JobSpec, Status
from batchyard.core.state.world import Limits
from batchyard.planning.forecast import State, forecast
from batchyard.planning.instance_types import load_catalogue
from batchyard.planning.run_times import RunTimes
from batchyard.server.service_store import open_url
from batchyard.store.queries import Reader, TaskRow

HISTORY_ATTEMPTS = 4000  # the latest are read: some 15 us each
HISTORY_PAGE = 1000
NICENESS = 10  # the service comes first
WAITING = (Status.SUBMITTED, Status.PENDING, Status.RUNNABLE)


class Question(msgspec.Struct, frozen=True):
    """`seconds`: how long futures are played."""

    store_url: str
    job_ids: list[str]
    seconds: float
    now_ms: int
    account: Account
    hosts: tuple[SetHost, ...]
    prices: Prices
    limits: Limits
    boot_ms: int


def main() -> None:
    os.nice(NICENESS)
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(answer(question)))


def answer(question: Question) -> Forecasts:
    """Answers a question. Jobs that do not wait have no forecast: their basis is NOT_WAITING."""
    reader = open_url(question.store_url).reader()
    try:
        snapshot = reader.snapshot(question.now_ms)
        run_times = RunTimes(_latest_runs(reader))
    finally:
        reader.close()
    waiting = _waiting(snapshot)
    wanted = [job_id for job_id in question.job_ids if job_id.partition(":")[0] in waiting]
    now_ms = max(question.now_ms, snapshot.last_time_ms)
    state = State(
        question.account,
        snapshot,
        question.hosts,
        load_catalogue(),
        question.prices,
        now_ms,
        question.boot_ms,
        question.limits,
    )
    found = {one.job_id: one for one in forecast(state, run_times, wanted, question.seconds)} if wanted else {}
    return Forecasts(now_ms, [found.get(job_id) or Forecast(job_id, NOT_WAITING, 0) for job_id in question.job_ids])


def _waiting(snapshot: Snapshot) -> set[str]:
    """Returns the submissions of which a job has not started."""
    rows = {job.key: job for job in snapshot.jobs}
    return {spec.job_id for spec in snapshot.specs if _waits(spec, rows[spec.key].status)}


def _waits(spec: JobSpec, status: Status) -> bool:
    return status in WAITING or bool(spec.array_size)


def _latest_runs(reader: Reader) -> list[PastRun]:
    found: list[PastRun] = []
    page: str | None = None
    while len(found) < HISTORY_ATTEMPTS:
        rows, page = reader.tasks(HISTORY_PAGE, page, placed=False)
        found += [_run(row) for row in rows if not row.is_current]
        if page is None:
            break
    return found


def _run(row: TaskRow) -> PastRun:
    attempt = row.attempt
    ended_well = attempt.stopping is None and not attempt.is_lost
    return PastRun(
        job_id=row.job_id,
        attempt=attempt.number,
        queue=row.spec.queue,
        definition=row.spec.definition,
        share="",
        principal="",
        environment=attempt.environment,
        tags={},
        started_at_ms=attempt.started_at_ms,
        stopped_at_ms=attempt.stopped_at_ms,
        milli_vcpus=0,
        memory_mib=0,
        gpus=0,
        outcome=("SUCCEEDED" if attempt.exit_code == 0 else "FAILED") if ended_well else "CUT_SHORT",
        is_last=True,
    )


if __name__ == "__main__":
    main()
