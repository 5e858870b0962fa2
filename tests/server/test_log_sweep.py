"""Logs of jobs and written events are packed, expire, and give way to the limit of the disk, oldest first."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from batchyard.engines.base import log_path
from batchyard.observe.packed_log import packed_path
from batchyard.server.admin import log_sweep
from batchyard.server.admin.log_sweep import REST_MS, LogSweep
from batchyard.store.logs.log_tables import ROW_BYTES
from tests.api.service import START_MS, Service, container

JOBS = "/aws/batch/job"
DAY_MS = 24 * 3600 * 1000
MIB = 1024 * 1024


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path / "yard")
    made.make_queue()
    made.register()
    yield made
    made.close()


@pytest.fixture
def logs(service: Service) -> Any:
    return service.client("logs")


def run(service: Service, text: str, *, ends: bool = True, size: int = 0) -> str:
    """A job that has written `text`, and lines to `size` bytes; the name of its stream."""
    job_id = service.submit()
    service.start(job_id)
    stream = str(service.detail(job_id)["container"]["logStreamName"])
    path = log_path(service.context.logs_directory, stream.rpartition("/")[2])
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        file.write(f"{service.now_ms}\t{text}\n")
        while file.tell() < size:
            file.write(f"{service.now_ms}\t{os.urandom(50).hex()}\n")
    os.utime(path, (service.now_ms / 1000, service.now_ms / 1000))
    if ends:
        service.end(job_id)
    return stream


def path_of(service: Service, stream: str) -> Path:
    return log_path(service.context.logs_directory, stream.rpartition("/")[2])


def sweep(service: Service, limit_mib: int = 0) -> None:
    stores = service.reader, service.context.log_reader, service.log_writer
    with ThreadPoolExecutor(1) as threads:
        swept = LogSweep(stores, service.context.logs_directory, limit_mib, lambda: service.now_ms, threads)
        asyncio.run(swept.sweep())


def messages(logs: Any, stream: str) -> list[str]:
    answer = logs.get_log_events(logGroupName=JOBS, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in answer["events"]]


def test_logs_of_ended_attempts_are_packed_and_read_alike(service: Service, logs: Any) -> None:
    ended, running = (run(service, "hello", ends=ends, size=60_000) for ends in (True, False))
    small = run(service, "small")
    before = messages(logs, ended)
    service.tick(REST_MS + 1000)
    sweep(service)
    assert [path_of(service, stream).exists() for stream in (ended, running, small)] == [False, True, True]
    assert packed_path(path_of(service, ended)).exists()
    assert messages(logs, ended) == before
    assert before[0] == "hello"


def test_logs_older_than_the_retention_of_their_group_are_deleted(service: Service, logs: Any) -> None:
    old, packed = run(service, "old"), run(service, "packed", size=60_000)
    service.tick(REST_MS + 1000)
    sweep(service)
    assert packed_path(path_of(service, packed)).exists()
    service.tick(DAY_MS - REST_MS - 1000)
    young = run(service, "young")
    running = run(service, "running", ends=False)
    logs.create_log_stream(logGroupName=JOBS, logStreamName="s")
    event = {"timestamp": service.now_ms, "message": "written"}
    logs.put_log_events(logGroupName=JOBS, logStreamName="s", logEvents=[event])
    service.tick(2000)
    sweep(service)
    assert messages(logs, old) == ["old"], "without a retention nothing goes"
    logs.put_retention_policy(logGroupName=JOBS, retentionInDays=1)
    sweep(service)
    assert [messages(logs, stream) for stream in (old, packed, young)] == [[], [], ["young"]]
    assert not packed_path(path_of(service, packed)).exists()
    service.tick(2 * DAY_MS)
    sweep(service)
    assert [messages(logs, stream) for stream in (young, running, "s")] == [[], ["running"], []]


def test_files_of_a_deleted_group_go_and_those_of_later_jobs_stay(service: Service, logs: Any) -> None:
    first = run(service, "first")
    service.tick(10)
    logs.delete_log_group(logGroupName=JOBS)
    service.tick(10)
    second = run(service, "second")
    service.tick(10)
    sweep(service)
    assert not path_of(service, first).exists()
    assert messages(logs, second) == ["second"]


def test_past_the_limit_the_oldest_go_and_say_so(
    service: Service, logs: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_sweep, "MIN_PACKED_BYTES", 10 * MIB)
    streams = []
    for number in range(4):
        streams.append(run(service, f"job {number}", size=MIB // 2))
        service.tick(1000)
    sweep(service, limit_mib=3)
    assert [messages(logs, stream)[0] for stream in streams] == [f"job {number}" for number in range(4)]
    sweep(service, limit_mib=2)
    found = [messages(logs, stream) for stream in streams]
    assert len(found[0]) == 1
    assert found[0][0].startswith("[batchyard: removed at 2023-11-14 22:13 UTC: all logs may take 2 MiB (log_disk_mib)")
    assert [lines[0] for lines in found[1:]] == ["job 1", "job 2", "job 3"]
    assert "Logs took more than 2 MiB" in caplog.text
    caplog.clear()
    sweep(service, limit_mib=2)
    assert caplog.text == ""


def test_written_events_count_and_give_way_too(service: Service, logs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.create_log_group(logGroupName="/w")
    logs.create_log_stream(logGroupName="/w", logStreamName="s")
    for number in range(40):
        event = {"timestamp": START_MS + number, "message": f"{number} " + os.urandom(20_000).hex()}
        logs.put_log_events(logGroupName="/w", logStreamName="s", logEvents=[event])
    service.tick(5000)
    newest = run(service, "newest", size=MIB // 2)
    sweep(service, limit_mib=1)
    answer = logs.filter_log_events(logGroupName="/w")["events"]
    assert answer[0]["message"].startswith("[batchyard: removed at")
    assert answer[-1]["message"].startswith("39 ")
    assert len(answer) < 40
    assert messages(logs, newest)[0] == "newest"


def stored(logs: Any) -> dict[str, int]:
    return {group["logGroupName"]: group["storedBytes"] for group in logs.describe_log_groups()["logGroups"]}


def test_the_sweep_counts_what_the_logs_of_a_group_take(service: Service, logs: Any) -> None:
    stream = run(service, "hello", size=60_000)
    logs.create_log_group(logGroupName="mine")
    logs.create_log_stream(logGroupName="mine", logStreamName="s")
    logs.put_log_events(
        logGroupName="mine", logStreamName="s", logEvents=[{"timestamp": service.now_ms, "message": "x" * 9000}]
    )
    assert stored(logs) == {JOBS: 0, "mine": 0}, "before it"
    sweep(service)
    assert stored(logs) == {JOBS: path_of(service, stream).stat().st_size, "mine": 9000 + ROW_BYTES}
    service.register("elsewhere", containerProperties=container(logConfiguration=log_group("other")))
    job_id = service.submit("elsewhere")
    service.start(job_id)
    name = str(service.detail(job_id)["container"]["logStreamName"])
    path_of(service, name).parent.mkdir(exist_ok=True)
    path_of(service, name).write_text("1\tfive!\n")
    service.tick(2 * REST_MS + 3600 * 1000)
    sweep(service)
    found = stored(logs)
    assert found[JOBS] == packed_path(path_of(service, stream)).stat().st_size < 60_000
    assert found["other"] == 8
    assert 0 < found["mine"] < 9000, "packed"
    logs.delete_log_group(logGroupName="mine")
    logs.create_log_group(logGroupName="mine")
    assert stored(logs)["mine"] == 0


def log_group(name: str) -> dict[str, Any]:
    return {"logDriver": "awslogs", "options": {"awslogs-group": name}}
