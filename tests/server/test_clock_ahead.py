"""After a clock that was far ahead once, nothing that the service tells runs backwards."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import boto3

from tests.server.running import Server
from tests.waiting import until

HOUR_MS = 3_600_000


def test_times_of_jobs_and_lines_go_on_from_the_stores(tmp_path: Path) -> None:
    with Server(tmp_path, "--vcpus", "1", "--memory", "512") as server:
        server.signal()
        ahead_ms = time.time_ns() // 1_000_000 + HOUR_MS
        with sqlite3.connect(server.data_dir / "batchyard.db") as database:
            database.execute("UPDATE meta SET last_time_ms = ?", (ahead_ms,))
        database.close()
        server.start()
        job_id = server.submit(["sh", "-c", "echo one; sleep 0.02; echo two"])
        until(lambda: server.status(job_id) == "SUCCEEDED", 60, "the job to end")
        job = server.call("DescribeJobs", {"jobs": [job_id]})["jobs"][0]
        logs = boto3.Session("any", "any", region_name="us-east-1").client("logs", endpoint_url=server.address)
        lines = logs.get_log_events(
            logGroupName="/aws/batch/job", logStreamName=job["container"]["logStreamName"], startFromHead=True
        )["events"]
    times = [job["createdAt"], job["startedAt"], *(line["timestamp"] for line in lines), job["stoppedAt"]]
    assert len(lines) == 2
    assert ahead_ms <= times[0]
    assert times == sorted(times)
