"""The metrics of AWS Batch after servers were killed: each job is counted once in each state, none is lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from batchyard.job_metrics.records import QUEUE_MINUTE, QueueMinute
from batchyard.store.metrics.metric_store import MetricStore
from batchyard.store.metrics.series import Series
from batchyard.store.store import Store
from tests.kill.yard import Yard
from tests.waiting import until

COUNTED = (
    "JobsSubmitted",
    "JobsMovedToRunnable",
    "JobsMovedToStarting",
    "JobsMovedToRunning",
    "JobsMovedToSucceeded",
    "JobsMovedToFailed",
    "JobsRetried",
    "JobsCancelled",
)


def counts(data_dir: Path) -> Counter[str]:
    """What is counted in the store of metrics, and in minutes that are still to be put there."""
    reader = Store.open(f"sqlite:///{data_dir}/batchyard.db").reader()
    metrics = MetricStore(data_dir / "metrics.db")
    try:
        found: Counter[str] = Counter()
        stored: set[tuple[str, int]] = set()
        for name in COUNTED:
            series = metrics.find(Series("AWS/Batch", name, (("JobQueueName", "default"),), "Count"))
            for at_s, samples in metrics.points(series.id, 0, 1 << 40) if series is not None else ():
                found[name] += int(samples.total)
                stored.add((name, at_s))
        minutes, _ = reader.documents(QUEUE_MINUTE, limit=100, after=None)
        for minute in minutes:
            assert isinstance(minute, QueueMinute)
            for name, number in minute.counts.items():
                if name in COUNTED and minute.queue == "default" and (name, minute.start_s) not in stored:
                    found[name] += number
        return found
    finally:
        reader.close()
        metrics.close()


@pytest.mark.parametrize("at", ["RUNNING", "ENDING"])
def test_each_job_is_counted_once_in_each_state_over_kills(tmp_path: Path, at: str) -> None:
    gate = str(tmp_path / "gate")
    with Yard(tmp_path) as yard:
        yard.register()
        array = yard.submit("array", size=4, nap=gate)
        retried = yard.submit("retried", "0 0", nap=gate)
        cancelled = yard.submit("cancelled", after=array)
        yard.try_call("CancelJob", {"jobId": cancelled, "reason": "enough"})
        if at == "RUNNING":
            until(lambda: yard.status(f"{array}:3") == "RUNNING")
        if at == "ENDING":
            Path(gate).touch()
        yard.kill()
        yard.start()
        Path(gate).touch()
        until(lambda: yard.status(array) == yard.status(retried) == "SUCCEEDED", 30)
        until(lambda: yard.status(cancelled) == "FAILED")
        attempts = len(yard.describe([retried])[0]["attempts"])
        yard.kill()
        found = counts(yard.data_dir)
        yard.start()
    assert found["JobsSubmitted"] == 4 + 1 + 1
    assert found["JobsMovedToSucceeded"] == 4 + 1
    assert (found["JobsMovedToFailed"], found["JobsCancelled"]) == (1, 1)
    assert found["JobsRetried"] == attempts - 1
    assert found["JobsMovedToRunnable"] == found["JobsMovedToStarting"] == 4 + attempts
    assert found["JobsMovedToRunning"] == 4 + attempts
