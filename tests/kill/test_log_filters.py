"""A metric filter counts each line of a job once, and an answered log event is there, though the server is killed."""

import signal
import sqlite3
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.server.running import Server
from tests.waiting import until

LINES = 30
KILLS = 1
PROGRAM = f"for i in $(seq {LINES}); do echo ERROR $i; sleep 0.05; done"
COUNT_SECONDS = 60.0


def client(server: Server) -> Any:
    config = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
    return boto3.client("logs", endpoint_url=server.address, config=config, **keys)


def counted(server: Server) -> int:
    connection = sqlite3.connect(f"file:{server.data_dir / 'logs.db'}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT coalesce(sum(samples), 0) FROM metric_minutes").fetchone()[0])
    finally:
        connection.close()


def test_lines_count_once_while_the_server_is_killed(tmp_path: Path) -> None:
    with Server(tmp_path, "--vcpus", "1", "--memory", "64") as server:
        logs = client(server)
        logs.create_log_group(logGroupName="/aws/batch/job")
        logs.create_log_stream(logGroupName="/aws/batch/job", logStreamName="notes")
        metric = {"metricName": "n", "metricNamespace": "N", "metricValue": "1"}
        logs.put_metric_filter(
            logGroupName="/aws/batch/job", filterName="f", filterPattern="ERROR", metricTransformations=[metric]
        )
        server.submit(["sh", "-c", PROGRAM])
        seen = 0
        for kill in range(KILLS):
            at = seen + 1
            until(lambda: counted(server) >= at, COUNT_SECONDS)  # noqa: B023
            seen = min(counted(server), LINES - KILLS)
            now_ms = logs.describe_log_groups()["logGroups"][0]["creationTime"]
            event = {"timestamp": now_ms, "message": f"ERROR answered {kill}"}
            logs.put_log_events(logGroupName="/aws/batch/job", logStreamName="notes", logEvents=[event])
            server.signal(signal.SIGKILL)
            server.start()
            logs = client(server)
        found = logs.get_log_events(logGroupName="/aws/batch/job", logStreamName="notes")["events"]
        assert [event["message"] for event in found] == [f"ERROR answered {kill}" for kill in range(KILLS)]
        until(lambda: counted(server) >= LINES + KILLS, COUNT_SECONDS, lambda: f"all lines; counted {counted(server)}")
        assert counted(server) == LINES + KILLS
