"""`batchyard run`: what is submitted, what is printed, and the exit code."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke
from tests.cli.stub import Refusal, Stub
from tests.waiting import until


def test_output_and_exit_code_are_the_jobs(invoke: Invoke, stub: Stub) -> None:
    job = stub.next_id

    def end() -> None:
        stub.logs["s1"].append("last")
        stub.end(job, 3)

    stub.steps = [
        lambda: None,
        lambda: stub.run(job, "s1", "one", "two"),
        lambda: stub.logs["s1"].extend(["three", "four", "five"]),
        end,
    ]
    result = invoke("run", "--", "train", "--fast")
    assert result.stdout == "one\ntwo\nthree\nfour\nfive\nlast\n"
    assert result.exit_code == 3
    assert f"Job {job} (run) submitted." in result.stderr
    assert "Job FAILED after 3.0s: Ended (exit code 3)" in result.stderr


def test_the_request_says_what_was_asked(invoke: Invoke, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t=1")
    stub.steps = [lambda: stub.end(stub.next_id)]
    options = "--vcpus 2 --memory 1024 --gpus 1 --env A=1 --env TOKEN --queue q --name n --attempts 2 --timeout 60"
    result = invoke("run", *options.split(), "echo", "--env", "x")
    assert result.exit_code == 0
    assert stub.asked("RunJob") == [
        {
            "command": ["echo", "--env", "x"],
            "workingDirectory": os.getcwd(),
            "jobName": "n",
            "jobQueue": "q",
            "vcpus": 2,
            "memory": 1024,
            "gpus": 1,
            "environment": [{"name": "A", "value": "1"}, {"name": "TOKEN", "value": "t=1"}],
            "attempts": 2,
            "timeoutSeconds": 60,
        }
    ]


def test_an_image_may_come_without_a_command(invoke: Invoke, stub: Stub) -> None:
    stub.steps = [lambda: stub.end(stub.next_id)]
    assert invoke("run", "--image", "busybox").exit_code == 0
    assert stub.asked("RunJob") == [{"image": "busybox", "workingDirectory": os.getcwd()}]


@pytest.mark.parametrize(("options", "priority"), [("--share anna", 0), ("--share anna --priority 7", 7)])
def test_a_share_has_the_lowest_priority_unless_told(invoke: Invoke, stub: Stub, options: str, priority: int) -> None:
    stub.steps = [lambda: stub.end(stub.next_id)]
    assert invoke("run", *options.split(), "true").exit_code == 0
    (asked,) = stub.asked("RunJob")
    assert (asked["shareIdentifier"], asked["schedulingPriorityOverride"]) == ("anna", priority)


def test_each_attempt_is_followed(invoke: Invoke, stub: Stub) -> None:
    job = stub.next_id
    stub.steps = [
        lambda: stub.run(job, "s1", "first"),
        lambda: stub.end(job, 1, retried=True),
        lambda: stub.run(job, "s2", "second"),
        lambda: stub.end(job, 0),
    ]
    result = invoke("run", "--attempts", "2", "--", "flaky")
    assert result.stdout == "first\nsecond\n"
    assert result.exit_code == 0
    assert "Attempt 1 ended with exit code 1; the job is tried again." in result.stderr


def test_attempts_that_end_between_two_looks_are_told_of(invoke: Invoke, stub: Stub) -> None:
    job = stub.next_id

    def all_at_once() -> None:
        for number in (1, 2, 3):
            stub.run(job, f"s{number}", f"try {number}")
            stub.end(job, number, retried=number < 3)

    stub.steps = [all_at_once]
    result = invoke("run", "--attempts", "3", "--", "flaky")
    assert result.stdout == "try 1\ntry 2\ntry 3\n"
    assert result.stderr.splitlines()[1:] == [
        "Attempt 1 ended with exit code 1; the job is tried again.",
        "Attempt 2 ended with exit code 2; the job is tried again.",
        "Job FAILED after 3.0s: Ended (exit code 3)",
    ]


@pytest.mark.parametrize(("code", "wanted"), [(None, 1), (0, 1), (137, 137)])
def test_a_failed_job_is_never_a_success(invoke: Invoke, stub: Stub, code: int | None, wanted: int) -> None:
    def fail() -> None:
        stub.end(stub.next_id, code)
        stub.details[stub.next_id]["status"] = "FAILED"

    stub.steps = [fail]
    assert invoke("run", "--", "x").exit_code == wanted


def test_waiting_is_told_with_its_reason(invoke: Invoke, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchyard.cli.follow.NOTICE_AFTER_SECONDS", -1)
    job = stub.next_id
    stub.steps = [
        lambda: None,
        lambda: stub.details[job].update(statusReason="CAPACITY:INSUFFICIENT"),
        lambda: None,
        lambda: stub.end(job),
    ]
    result = invoke("run", "--", "x")
    assert result.stderr.splitlines()[1:-1] == ["Waiting: RUNNABLE", "Waiting: RUNNABLE (CAPACITY:INSUFFICIENT)"]


def make_children(stub: Stub, size: int) -> Callable[[], None]:
    def make() -> None:
        for index in range(size):
            child = f"{stub.next_id}:{index}"
            stub.add(child)
            if index % 2:
                stub.run(child, f"s{index}", f"a{index}", f"b{index}")
        summary = {"RUNNING": size // 2, "RUNNABLE": size - size // 2}
        stub.details[stub.next_id]["arrayProperties"]["statusSummary"] = summary

    return make


def test_arrays_print_every_childs_lines_with_its_index(invoke: Invoke, stub: Stub) -> None:
    size = 7

    def end() -> None:
        for index in range(size):
            child = f"{stub.next_id}:{index}"
            if index % 2 == 0:
                stub.run(child, f"s{index}", f"a{index}", f"b{index}")
            stub.logs[f"s{index}"].append(f"c{index}")
            stub.end(child, {2: 4, 5: 7}.get(index, 0))
        stub.end(stub.next_id, None, reason="Array Child Job failed")
        summary = {"SUCCEEDED": size - 2, "FAILED": 2}
        stub.details[stub.next_id]["arrayProperties"]["statusSummary"] = summary

    # The second look is at the running children.
    stub.steps = [make_children(stub, size), lambda: None, end]
    result = invoke("run", "--array", str(size), "--", "part")
    assert sorted(result.stdout.splitlines()) == [f"[{i}] {c}{i}" for i in range(size) for c in "abc"]
    assert result.exit_code == 7
    assert "Job FAILED: 7/7 done, 2 failed" in result.stderr
    assert stub.asked("RunJob")[0]["arraySize"] == size


def test_json_lines(invoke: Invoke, stub: Stub) -> None:
    job = stub.next_id
    stub.steps = [lambda: stub.run(job, "s1", "one"), lambda: stub.end(job, 0)]
    result = invoke("run", "--json", "--", "x")
    first, event, last = map(json.loads, result.stdout.splitlines())
    assert first == {"jobId": job, "jobArn": f"arn:job/{job}", "jobName": "run"}
    assert event == {"jobId": job, "logStreamName": "s1", "timestamp": 1, "message": "one", "ingestionTime": 1}
    assert last["status"] == "SUCCEEDED"
    assert result.stderr == ""


def test_a_refused_submission(invoke: Invoke, stub: Stub) -> None:
    stub.refused["RunJob"] = Refusal("ClientException", "JobQueue q not found")
    result = invoke("run", "--queue", "q", "--", "x")
    assert (result.exit_code, result.stderr) == (1, "JobQueue q not found (ClientException)\n")


def test_what_cannot_be_sent(invoke: Invoke, stub: Stub) -> None:
    result = invoke("run", "--", "cat", "caf\udce9")
    assert result.exit_code == 1
    assert r"'caf\\udce9' is not UTF-8" in result.stderr
    assert stub.calls == []


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "--env", "NOT_SET_ANYWHERE", "x"], ["run", "--array", "1", "x"]]
)
def test_wrong_usage(invoke: Invoke, stub: Stub, arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2
    assert stub.calls == []


def test_a_line_of_the_shell_gets_a_hint(invoke: Invoke, stub: Stub, tmp_path: Path) -> None:
    def hint(*command: str) -> str:
        stub.steps = [lambda: stub.end(stub.next_id)]
        return invoke("run", "--", *command).stderr.partition("Job ")[0]

    said = "'echo a | wc' is taken as the name of one program. For a line of the shell: "
    assert hint("echo a | wc") == f"{said}batchyard run -- sh -c 'echo a | wc'\n"
    assert hint("true") == ""
    assert hint("echo", "a | wc") == ""
    program = tmp_path / "my program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert hint(str(program)) == ""


@pytest.mark.parametrize("kind", ["file", "pipe", "null"])
def test_input_that_no_job_reads_is_told_of(stub: Stub, tmp_path: Path, kind: str) -> None:
    stub.steps = [lambda: stub.end(stub.next_id)]
    (tmp_path / "input").write_text("x")
    reading, writing = os.pipe()
    os.write(writing, b"x")
    with (tmp_path / "input").open() as file:
        stdin = {"file": file.fileno(), "pipe": reading, "null": subprocess.DEVNULL}[kind]
        with start(stub, tmp_path, stdin=stdin) as process:
            _, errors = process.communicate(timeout=60)
    os.close(reading)
    os.close(writing)
    assert (b"Standard input is not passed on" in errors) == (kind != "null")


def test_a_timeout_below_the_least_is_refused_before_it_is_submitted(invoke: Invoke, stub: Stub) -> None:
    result = invoke("run", "--timeout", "5", "--", "x")
    assert result.exit_code == 2
    assert (
        "--timeout must be a whole number of 60 or more, not '5'. AWS Batch knows no shorter timeout." in result.stderr
    )
    assert stub.calls == []


def test_a_kill_for_memory_ends_with_numbers(invoke: Invoke, stub: Stub) -> None:
    job = stub.next_id

    def kill() -> None:
        stub.end(job, 137)
        stub.details[job]["container"] |= {
            "reason": "OutOfMemoryError: Container killed due to memory usage",
            "resourceRequirements": [{"type": "MEMORY", "value": "64"}],
        }

    stub.used[job] = [{"peakMemory": 70, "cpuMilliseconds": 5}]
    stub.steps = [lambda: stub.run(job, "s"), kill]
    stderr = invoke("run", "--", "hungry").stderr
    assert stderr.endswith("memory usage (exit code 137, its peak was 70 MiB, and its limit is 64 MiB)\n")


COMMAND = "from batchyard.cli.app import app; app()"


def start(stub: Stub, tmp_path: Path, **streams: int) -> subprocess.Popen[bytes]:
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "BATCHYARD_URL": stub.url}
    arguments = [sys.executable, "-c", COMMAND, "run", "--", "sleep"]
    default = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(arguments, env=variables, **(default | streams))  # type: ignore[call-overload,no-any-return]


def follows(stub: Stub) -> bool:
    return len(stub.asked("GetLogEvents")) > 2


def test_ctrl_c_without_a_terminal_leaves_the_job(stub: Stub, tmp_path: Path) -> None:
    stub.steps = [lambda: stub.run(stub.next_id, "s1", "one")]
    with start(stub, tmp_path) as process:
        until(lambda: follows(stub), describe="the log to be followed")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, b"one\n")
    assert b"runs on. See it: batchyard logs --follow 3f2b8c1e" in errors
    assert stub.asked("TerminateJob") == []


@pytest.mark.parametrize("answer", ["y", "n", "ctrl-c"])
def test_ctrl_c_asks(stub: Stub, tmp_path: Path, answer: str) -> None:
    stub.steps = [lambda: stub.run(stub.next_id, "s1", "one")]
    terminal, inside = os.openpty()
    seen = b""

    def asked() -> bool:
        nonlocal seen
        seen += os.read(terminal, 4096)
        return b"[y/N]" in seen

    try:
        with start(stub, tmp_path, stdin=inside, stderr=inside) as process:
            until(lambda: follows(stub), describe="the log to be followed")
            process.send_signal(signal.SIGINT)
            until(asked, describe="the question")
            if answer == "ctrl-c":
                process.send_signal(signal.SIGINT)
            else:
                os.write(terminal, answer.encode() + b"\n")
            output, _ = process.communicate(timeout=60)
    finally:
        os.close(inside)
        os.close(terminal)
    assert output == b"one\n"
    assert process.returncode == (143 if answer == "y" else 130)
    reason = {"jobId": stub.next_id, "reason": "Interrupted by the user"}
    assert stub.asked("TerminateJob") == ([reason] if answer == "y" else [])
