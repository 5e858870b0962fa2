"""A running service streams a live tail to boto3."""

from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.server.running import Server


def test_boto3_watches_a_group(tmp_path: Path) -> None:
    with Server(tmp_path, "--vcpus", "1", "--memory", "64") as server:
        # AWS has a host of its own for live tails, which an address has not.
        config = Config(inject_host_prefix=False, retries={"total_max_attempts": 1})
        logs: Any = boto3.client(
            "logs",
            endpoint_url=server.address,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=config,
        )
        logs.create_log_group(logGroupName="/w")
        logs.create_log_stream(logGroupName="/w", logStreamName="s")
        stream = logs.start_live_tail(logGroupIdentifiers=["/w"])["responseStream"]
        events = iter(stream)
        assert "sessionStart" in next(events)
        assert next(events)["sessionUpdate"]["sessionResults"] == []
        now_ms = logs.describe_log_groups()["logGroups"][0]["creationTime"]
        logs.put_log_events(
            logGroupName="/w", logStreamName="s", logEvents=[{"timestamp": now_ms, "message": "h\u00e9llo"}]
        )
        found: list[str] = []
        while not found:
            found = [event["message"] for event in next(events)["sessionUpdate"]["sessionResults"]]
        assert found == ["h\u00e9llo"]
        stream.close()
        assert logs.filter_log_events(logGroupName="/w")["events"][0]["message"] == "h\u00e9llo"
