"""`batchyard jobs`, `logs`, `describe`, `cancel`, `terminate`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batchyard.cli.formats import duration
from tests.cli.conftest import Invoke
from tests.cli.stub import QUEUE_ARN, Refusal, Stub
from tests.waiting import until

A = "aaaaaaaa-0000-4000-8000-000000000000"
B = "bbbbbbbb-0000-4000-8000-000000000000"
B2 = "bbbbbbbb-1111-4000-8000-000000000000"
C = "cccccccc-0000-4000-8000-000000000000"


def fill(stub: Stub) -> None:
    stub.queues = ["default", "other"]
    stub.add(A, "RUNNABLE", statusReason="CAPACITY:\x1b[2JFULL", createdAt=1)
    stub.add(
        B, createdAt=2, arrayProperties={"size": 50, "statusSummary": {"SUCCEEDED": 35, "FAILED": 2, "RUNNING": 4}}
    )
    stub.details[B]["status"] = "PENDING"
    stub.add(C, createdAt=3, jobQueue=QUEUE_ARN + "other", jobName="n" * 60)
    stub.run(C, "s", "line")
    stub.end(C, 2, reason="Essential container in task exited")


def test_unfinished_jobs_as_a_table(invoke: Invoke, stub: Stub) -> None:
    fill(stub)
    result = invoke("jobs")
    heading, array, waiting = result.stdout.splitlines()
    assert heading.split() == ["ID", "NAME", "QUEUE", "STATUS", "AGE", "RAN", "EXIT", "REASON"]
    assert array.split()[:4] == ["bbbbbbbb", "train", "default", "PENDING"]
    assert array.endswith("37/50 done, 2 failed, 4 running")
    assert waiting.startswith("aaaaaaaa")
    assert waiting.endswith("CAPACITY:\\x1b[2JFULL")
    assert heading.index("STATUS") == array.index("PENDING") == waiting.index("RUNNABLE")


def test_all_jobs_and_jobs_of_a_state(invoke: Invoke, stub: Stub) -> None:
    fill(stub)
    result = invoke("jobs", "--all")
    rows = result.stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["cccccccc", "bbbbbbbb", "aaaaaaaa"]
    assert rows[0].split()[1:4] == ["n" * 29 + "...", "other", "FAILED"]
    assert rows[0].split()[5:7] == ["3.0s", "2"]
    assert rows[0].endswith("Essential container in task exited")
    assert "cccccccc" in invoke("jobs", "--status", "failed").stdout
    both = invoke("jobs", "--status", "FAILED", "--status", "RUNNABLE").stdout
    assert "cccccccc" in both
    assert both == invoke("jobs", "--status", "RUNNABLE", "--status", "FAILED").stdout
    assert len(invoke("jobs", "--all", "--queue", "default").stdout.splitlines()) == 3
    limited = invoke("jobs", "--all", "--limit", "1")
    assert limited.stdout.splitlines()[1].startswith("cccccccc")
    assert "The newest 1" in limited.stderr
    assert invoke("jobs", "--status", "LOST").exit_code == 2


def test_ids_grow_until_they_differ(invoke: Invoke, stub: Stub) -> None:
    stub.add(B, createdAt=1)
    stub.add(B2, createdAt=2)
    assert [row.split()[0] for row in invoke("jobs").stdout.splitlines()[1:]] == ["bbbbbbbb-1", "bbbbbbbb-0"]


def test_no_jobs(invoke: Invoke) -> None:
    result = invoke("jobs")
    assert (result.stdout, result.stderr) == ("", "No unfinished jobs. Finished ones: batchyard jobs --all\n")
    assert json.loads(invoke("jobs", "--json").stdout) == {"jobSummaryList": []}


def test_jobs_as_json(invoke: Invoke, stub: Stub) -> None:
    fill(stub)
    found = json.loads(invoke("jobs", "--all", "--json").stdout)["jobSummaryList"]
    assert [job["jobId"] for job in found] == [C, B, A]
    assert found[0]["container"] == {"exitCode": 2}
    assert found[1]["arrayProperties"]["statusSummary"] == {"SUCCEEDED": 35, "FAILED": 2, "RUNNING": 4}


def test_watching_writes_a_line_for_each_change(stub: Stub, tmp_path: Path) -> None:
    stub.add(A)
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "BATCHYARD_URL": stub.url}
    program = "from batchyard.cli import tables; from batchyard.cli.app import app; tables.WATCH_SECONDS = 0.01; app()"
    arguments = [sys.executable, "-c", program, "jobs", "--watch", "--json", "--all"]
    with subprocess.Popen(arguments, env=variables, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())["status"]]
        stub.run(A, "s")
        seen.append(json.loads(process.stdout.readline())["status"])
        stub.end(A)
        seen.append(json.loads(process.stdout.readline())["status"])
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert seen == ["RUNNABLE", "RUNNING", "SUCCEEDED"]


def test_short_ids(invoke: Invoke, stub: Stub) -> None:
    fill(stub)
    stub.add(B2, createdAt=9)
    assert json.loads(invoke("describe", "aaaaaaaa", "--json").stdout)["jobId"] == A
    stub.add(f"{A}:7")
    assert json.loads(invoke("describe", "aaaaaaaa-0000:7", "--json").stdout)["jobId"] == f"{A}:7"
    stub.calls.clear()
    assert json.loads(invoke("describe", A, "--json").stdout)["jobId"] == A
    assert json.loads(invoke("describe", f"arn:aws:batch:us-east-1:1:job/{A}", "--json").stdout)["jobId"] == A
    assert stub.asked("ListJobs") == []
    assert f"2 jobs' ids begin with bbbbbbbb: {B}, {B2}." in invoke("describe", "bbbbbbbb").stderr
    assert "No job's id begins with dddddddd" in invoke("describe", "dddddddd").stderr
    assert "at least its first 8 characters" in invoke("describe", "aaaa").stderr
    assert "There is no job dddddddd-" in invoke("describe", A.replace("a", "d")).stderr


def test_logs_of_a_finished_job(invoke: Invoke, stub: Stub) -> None:
    stub.add(A)
    stub.run(A, "s1", *"abcde")
    stub.end(A, 1, retried=True)
    stub.run(A, "s2", "second")
    stub.end(A, 0)
    assert invoke("logs", A).stdout == "second\n"
    assert invoke("logs", A, "--attempt", "1").stdout == "a\nb\nc\nd\ne\n"
    assert invoke("logs", A, "--attempt", "1", "--follow").stdout == "a\nb\nc\nd\ne\n"
    assert invoke("logs", A, "--follow").stdout == "second\n"
    assert [event["message"] for event in json.loads(invoke("logs", A, "--json").stdout)] == ["second"]
    assert f"Job {A} has no attempt 3: it has 2." in invoke("logs", A, "--attempt", "3").stderr


def test_following_goes_on_to_the_end(invoke: Invoke, stub: Stub) -> None:
    stub.add(A)
    stub.run(A, "s1", "one")
    stub.steps = [lambda: None, lambda: stub.logs["s1"].append("two"), lambda: None, lambda: stub.end(A, 5)]
    result = invoke("logs", A, "--follow")
    assert (result.stdout, result.exit_code) == ("one\ntwo\n", 0)


def test_logs_of_a_job_that_waits(invoke: Invoke, stub: Stub) -> None:
    stub.add(A, statusReason="CAPACITY:FULL")
    result = invoke("logs", A)
    assert (result.stdout, result.stderr) == ("", "No output: the job is RUNNABLE (CAPACITY:FULL).\n")


def test_logs_of_a_stream_that_is_not_there(invoke: Invoke, stub: Stub) -> None:
    stub.add(A)
    stub.run(A, "s1")
    del stub.logs["s1"]
    stub.end(A, None)
    assert invoke("logs", A).exit_code == 0
    stub.refused["GetLogEvents"] = Refusal("AccessDeniedException", "not yours", 403)
    assert invoke("logs", A).exit_code == 1


def test_the_sheet(invoke: Invoke, stub: Stub) -> None:
    container = {
        "command": ["python", "train.py", "a b"],
        "image": "busybox",
        "resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "4096"}],
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/mine"}},
    }
    stub.add(A, container=container, retryStrategy={"attempts": 3}, dependsOn=[{"jobId": B}], tags={"team": "x"})
    stub.run(A, "s1")
    stub.end(A, 1, retried=True, reason="first")
    stub.run(A, "s2")
    stub.end(A, 137, reason="Essential container in task exited")
    stub.details[A]["container"]["reason"] = "OutOfMemoryError: Container killed due to memory usage"
    stub.used[A] = [{"peakMemory": 12, "cpuMilliseconds": 1500}, {"peakMemory": 4100}]
    text = invoke("describe", A).stdout
    wanted = [
        f"Job         train  {A}",
        "Status      FAILED, exit code 137: Essential container in task exited - OutOfMemoryError: Container killed",
        "Queue       default",
        "Definition  batchyard-run:1",
        "(ran 3.0s)",
        "Command     python train.py 'a b'",
        "Resources   2 vCPU, 4096 MiB",
        "Environment A=1\n            B=2",
        f"Depends on  {B}",
        "Retries     up to 3 attempts",
        "Tags        team=x",
        "Log group   /mine",
        "Log stream  s2",
        f"Read it     batchyard logs {A}\n",
    ]
    for part in wanted:
        assert part in text
    rows = [line.split() for line in text.partition("Attempts\n")[2].splitlines()[:3]]
    assert rows[0] == ["#", "STARTED", "RAN", "EXIT", "MEMORY", "CPU", "REASON"]
    assert [row[0] for row in rows[1:]] == ["1", "2"]
    assert rows[1][3:] == ["12", "MiB", "1.5s", "first"]
    assert rows[2][3:6] == ["4100", "MiB", "Essential"]
    assert "memory usage (its peak was 4100 MiB, and its limit is 4096 MiB)\n" in text
    assert "\x1b" not in text


def test_each_attempt_by_itself(invoke: Invoke, stub: Stub) -> None:
    stub.add(A)
    stub.run(A, "s1", "one", "two")
    stub.end(A, 1, retried=True, reason="first")
    stub.run(A, "s2", "three")
    stub.end(A, 0, reason="second")
    stub.used[A] = [{"peakMemory": 12, "cpuMilliseconds": 1500}]
    text = invoke("describe", A, "--attempts").stdout
    first, second = text.split("\nAttempt     ")[1:]
    for part in (
        "1 of 2",
        "Exit code   1",
        "Reason      first",
        "Peak memory 12 MiB",
        "CPU time    1.5s",
        "Log stream  s1",
    ):
        assert part in first
    assert f"Read it     batchyard logs --attempt 1 {A}" in first
    assert "Peak memory" not in second
    assert invoke("logs", A).stdout == "three\n"
    assert "This is attempt 2. Those before it: batchyard logs --attempts aaaaaaaa" in invoke("logs", A).stderr
    every = invoke("logs", A, "--attempts")
    assert every.stdout == "one\ntwo\nthree\n"
    assert every.stderr.splitlines() == ["-- Attempt 1 ended with exit code 1", "-- Attempt 2 ended with exit code 0"]
    assert invoke("logs", A, "--attempts", "--attempt", "1").exit_code == 2


def test_cancel_and_terminate(invoke: Invoke, stub: Stub) -> None:
    stub.add(A)
    result = invoke("cancel", A, "--reason", "not needed")
    assert (result.stdout, result.exit_code) == (f"Job {A} is cancelled.\n", 0)
    assert stub.asked("CancelJob") == [{"jobId": A, "reason": "not needed"}]
    assert invoke("cancel", A).stdout == f"Job {A} has ended already: FAILED.\n"
    stub.add(B)
    stub.run(B, "s")
    refused = invoke("cancel", B)
    assert refused.exit_code == 1
    assert "Stop it with: batchyard terminate bbbbbbbb" in refused.stderr
    assert invoke("terminate", B).stdout == f"Job {B} is terminated.\n"
    assert stub.asked("TerminateJob") == [{"jobId": B, "reason": "Terminated by the user"}]
    assert json.loads(invoke("terminate", B, "--json").stdout)["status"] == "FAILED"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (-5, "0ms"),
        (420, "420ms"),
        (4_230, "4.2s"),
        (9_999, "10.0s"),
        (59_999, "59s"),
        (192_000, "3m12s"),
        (18_180_000, "5h03m"),
        (187_200_000, "2d04h"),
    ],
)
def test_durations(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


def test_a_reader_that_leaves_is_no_failure_to_speak_of(stub: Stub, tmp_path: Path) -> None:
    stub.add(A)
    stub.run(A, "s1", *("x" * 1000 for _ in range(600)))
    stub.end(A)
    stub.page_events = 1000
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "BATCHYARD_URL": stub.url}
    arguments = [sys.executable, "-c", "from batchyard.cli.app import app; app()", "logs", A]
    with subprocess.Popen(arguments, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        until(lambda: process.poll() is not None, describe="the command to end")
    assert process.returncode == 1
