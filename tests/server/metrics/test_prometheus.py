"""`/metrics`: the text, read back; access with keys and without."""

from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import pytest

from batchyard.alarms.commands import AskAlarms
from batchyard.alarms.records import METRIC, Alarm
from batchyard.core.model.resources import Resources
from batchyard.core.questions.gauges import AskGauges, EnvironmentGauge, Gauges, TaskGroup
from batchyard.job_metrics.machine import AskTotals
from batchyard.job_metrics.totals import TotalCounter, Totals
from batchyard.server.access.keys import KeyFile, add_key
from batchyard.server.http.metrics_endpoint import MetricsEndpoint
from batchyard.server.metrics.prometheus import OwnTotals, Scrape, render
from batchyard.store.commit_times import CommitTimes

SAMPLE = re.compile(r'(?P<name>[a-z_]+)(?:\{(?P<labels>(?:[a-z]+="(?:[^"\\]|\\.)*",?)*)\})? (?P<value>\S+)')
GAUGES = Gauges(
    {"default": {"RUNNABLE": 4, "RUNNING": 2}, 'a"b\\c': {"RUNNABLE": 0}},
    (EnvironmentGauge("local", Resources(8000, 4096, 1), {"READY": 2}),),
    (TaskGroup("local", "work", 3, Resources(3000, 192)),),
)
ALARM = Alarm("load", METRIC, {}, 0, "ALARM", "", "", 0, 0)


def totals() -> Totals:
    counter = TotalCounter()
    counter.count("default", "JobsMovedToFailed", 3)
    for value_ms in (50, 400, 2_000_000):
        counter.took("default", "JobAttemptDuration", value_ms, 1)
    return counter.freeze()


OWN = OwnTotals({("sns", "failed"): 2, ("logs", "arrived"): 7}, CommitTimes().plus(0.002).plus(0.02).plus(60.0))
SCRAPE = Scrape(GAUGES, totals(), (ALARM,), OWN, 0.25)


def read(text: str) -> dict[str, float]:
    """The samples, by name and labels; each line is a comment or one of them."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            labels = f"{{{sample['labels']}}}" if sample["labels"] else ""
            found[sample["name"] + labels] = float(sample["value"])
    return found


@pytest.mark.parametrize("is_open", [False, True])
def test_gauges_counters_and_histograms_can_be_read_back(is_open: bool) -> None:
    text = render(SCRAPE, is_open=is_open).decode()
    assert text.endswith("# EOF\n") is is_open
    found = read(text)
    assert found['batchyard_jobs{queue="default",state="RUNNABLE"}'] == 4
    assert found['batchyard_jobs{queue="a\\"b\\\\c",state="RUNNABLE"}'] == 0
    assert found['batchyard_instances{environment="local",state="READY"}'] == 2
    assert found['batchyard_vcpus{environment="local",kind="capacity"}'] == 8
    assert found['batchyard_vcpus{environment="local",kind="reserved"}'] == 3
    assert found['batchyard_memory_bytes{environment="local",kind="reserved"}'] == 192 * 1024 * 1024
    assert found['batchyard_alarms{state="ALARM"}'] == 1
    assert found['batchyard_alarms{state="OK"}'] == 0
    assert found["batchyard_loop_lag_seconds"] == 0.25
    assert found['batchyard_jobs_total{queue="default",transition="JobsMovedToFailed"}'] == 3
    buckets = [value for name, value in found.items() if name.startswith("batchyard_attempt_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert found['batchyard_attempt_seconds_bucket{queue="default",le="0.5"}'] == 2
    assert found['batchyard_attempt_seconds_bucket{queue="default",le="+Inf"}'] == 3
    assert found['batchyard_attempt_seconds_count{queue="default"}'] == 3
    assert found['batchyard_attempt_seconds_sum{queue="default"}'] == 2000.45
    assert found['batchyard_deliveries_total{kind="sns",outcome="failed"}'] == 2
    commits = [found[f'batchyard_commit_seconds_bucket{{le="{bound}"}}'] for bound in ("0.001", "0.0025", "10", "+Inf")]
    assert commits == [0, 1, 2, 3]
    assert found["batchyard_commit_seconds_sum"] == 60.022
    assert found["batchyard_commit_seconds_count"] == 3


def test_each_family_has_a_type_before_its_samples() -> None:
    typed: set[str] = set()
    for line in render(SCRAPE, is_open=False).decode().splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            name = re.split(r"[{ ]", line)[0]
            assert name in typed or re.sub(r"_(bucket|sum|count)$", "", name) in typed


class Asked:
    """The machines' answers."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, command: Any) -> Any:
        self.count += isinstance(command, AskGauges)
        return {AskGauges: GAUGES, AskTotals: SCRAPE.totals, AskAlarms: (ALARM,)}[type(command)]


def get(endpoint: MetricsEndpoint, *, method: str = "GET", **headers: str) -> tuple[int, str]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("it reads no body")

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/metrics", "raw_path": b"/metrics", "headers": raw}
    asyncio.run(endpoint(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode()


def test_without_keys_every_caller_reads_and_one_look_serves_several(tmp_path: Path) -> None:
    asked = Asked()
    endpoint = MetricsEndpoint(asked, KeyFile(tmp_path / "keys.json"), lambda: OWN, is_open=False)
    status, text = get(endpoint)
    assert status == 200
    assert read(text)
    assert get(endpoint, accept="application/openmetrics-text; version=1.0.0")[1].endswith("# EOF\n")
    assert asked.count == 1
    assert get(endpoint, method="POST")[0] == 405


def test_with_keys_a_collector_sends_one(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", "prometheus")
    pair = f"{key.access_key_id}:{key.secret_access_key}"
    endpoint = MetricsEndpoint(Asked(), KeyFile(tmp_path / "keys.json"), lambda: OWN, is_open=False)
    assert get(endpoint)[0] == 401
    assert get(endpoint, authorization=f"Bearer {pair}")[0] == 200
    assert get(endpoint, authorization="Basic " + base64.b64encode(pair.encode()).decode())[0] == 200
    for wrong in (f"Bearer {pair}x", "Bearer x:y", "Basic ???", "Digest x"):
        assert get(endpoint, authorization=wrong)[0] == 401
    assert get(MetricsEndpoint(Asked(), KeyFile(tmp_path / "keys.json"), lambda: OWN, is_open=True))[0] == 200
