"""Events get to their targets from a service that is killed meanwhile: at least once, none lost."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3

from tests.server.running import Server
from tests.waiting import until

EVENTS = 200
GROUP = "/aws/events/mine"
ARN = f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}"


def client(server: Server) -> Any:
    return boto3.client(
        "events", "us-east-1", endpoint_url=server.address, aws_access_key_id="a", aws_secret_access_key="b"
    )


def written(server: Server) -> Counter[int]:
    """How often the group has each event, by its number."""
    with closing(sqlite3.connect(server.data_dir / "logs.db")) as connection:
        rows = connection.execute(
            "SELECT message FROM events JOIN streams ON key = stream WHERE log_group = ?", (GROUP,)
        ).fetchall()
    return Counter(json.loads(text)["detail"]["number"] for (text,) in rows)


def test_events_that_were_accepted_arrive_though_the_service_is_killed(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        events = client(server)
        events.put_rule(Name="mine", EventPattern='{"source": ["my.app"]}')
        events.put_targets(Rule="mine", Targets=[{"Id": "log", "Arn": ARN}])
        for first in range(0, EVENTS, 10):
            entries = [
                {"Source": "my.app", "DetailType": "number", "Detail": json.dumps({"number": number})}
                for number in range(first, first + 10)
            ]
            assert events.put_events(Entries=entries)["FailedEntryCount"] == 0
        server.signal(signal.SIGKILL)
        before = written(server)
        server.start()
        until(lambda: len(written(server)) == EVENTS, 30, lambda: f"the events to arrive; before the kill: {before}")
        assert client(server).list_targets_by_rule(Rule="mine")["Targets"] == [{"Id": "log", "Arn": ARN}]
