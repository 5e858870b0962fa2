"""`batchyard cancel` and `terminate` of several jobs, and of a queue's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke
from tests.cli.stub import QUEUE_ARN, Refusal, Stub
from tests.waiting import until

A = "aaaaaaaa-0000-4000-8000-000000000000"
B = "bbbbbbbb-0000-4000-8000-000000000000"
C = "cccccccc-0000-4000-8000-000000000000"


def test_several_are_named(invoke: Invoke, stub: Stub) -> None:
    for job_id in (A, B, f"{C}:3", C):
        stub.add(job_id)
    stub.run(B, "s")
    result = invoke("cancel", "aaaaaaaa", B, "cccccccc:3", A)
    assert result.exit_code == 1  # one of them could not be
    assert result.stdout.splitlines() == [f"Job {A} is cancelled.", f"Job {C}:3 is cancelled."]
    assert result.stderr.splitlines() == [
        f"Job {B} is RUNNING, and cancelling stops only jobs that wait. Stop it with: batchyard terminate bbbbbbbb"
    ]
    assert [request["jobId"] for request in stub.asked("CancelJob")] == [A, f"{C}:3"]


def test_one_refusal_stops_no_other(invoke: Invoke, stub: Stub) -> None:
    stub.add(A)
    stub.refused["TerminateJob"] = Refusal("ClientException", "Not now.")
    result = invoke("terminate", A, C)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "Not now. (ClientException)"
    assert f"There is no job {C}" in result.stderr


def fill(stub: Stub, count: int) -> None:
    stub.queues = ["default", "other"]
    for number in range(count):
        stub.add(f"{number:08x}-0000-4000-8000-000000000000", "RUNNABLE" if number % 2 else "PENDING")
    stub.add(A, "RUNNABLE", jobQueue=QUEUE_ARN + "other")
    stub.add(B)
    stub.run(B, "s")


def test_all_of_a_queue_after_yes(invoke: Invoke, stub: Stub) -> None:
    fill(stub, 8)
    refused = invoke("cancel", "--queue", "default")
    assert refused.exit_code == 1
    assert refused.stderr == "Cancel 8 jobs of the queue default? Nobody can be asked here: say --yes if so.\n"
    assert stub.asked("CancelJob") == []
    done = invoke("cancel", "--queue", "default", "--status", "runnable", "--yes")
    assert (done.exit_code, done.stdout) == (0, "4 jobs cancelled.\n")
    assert stub.details[A]["status"] == "RUNNABLE"
    both = invoke("cancel", "--queue", "default", "--status", "PENDING", "--status", "runnable")
    assert both.stderr.startswith("Cancel 4 jobs of the queue default in the state PENDING or RUNNABLE?")
    other = invoke("cancel", "--queue", "other", "--status", "RUNNABLE", "--status", "PENDING")
    assert other.stderr.startswith("Cancel 1 job of the queue other in the state RUNNABLE or PENDING?")
    done = invoke("terminate", "--queue", "default", "--yes", "--json")
    assert len(json.loads(done.stdout)["jobs"]) == 5
    assert stub.details[B]["status"] == "FAILED"
    nothing = invoke("terminate", "--queue", "default", "--yes")
    assert (nothing.exit_code, nothing.stdout) == (0, "The queue default has no such jobs.\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cancel"], "JOB is missing: name jobs, or a --queue."),
        (["cancel", A, "--queue", "q"], "JOB or a --queue, not both."),
        (["cancel", A, "--status", "RUNNABLE"], "--status goes with --queue."),
        (["terminate", A, "--yes"], "--yes goes with --queue."),
        (["cancel", "--queue", "q", "--status", "running"], "must be one of SUBMITTED, PENDING, RUNNABLE, not"),
    ],
)
def test_wrong_usage(invoke: Invoke, stub: Stub, words: list[str], said: str) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert stub.calls == []


@pytest.mark.parametrize("answer", ["y", "n"])
def test_who_sits_at_a_terminal_is_asked_and_sees_how_far_it_is(stub: Stub, tmp_path: Path, answer: str) -> None:
    fill(stub, 30)
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "BATCHYARD_URL": stub.url}
    arguments = [sys.executable, "-m", "batchyard", "terminate", "--queue", "default", "--status", "PENDING"]
    terminal, inside = os.openpty()
    seen = bytearray()

    def shows(text: bytes) -> bool:
        try:
            seen.extend(os.read(terminal, 65536))
        except OSError:  # nobody has the other side open
            return True
        return text in seen

    try:
        with subprocess.Popen(arguments, env=variables, stdin=inside, stdout=inside, stderr=inside) as process:
            os.close(inside)
            until(lambda: shows(b"15 jobs of the queue default in the state PENDING? [y/N] "), describe="the question")
            os.write(terminal, answer.encode() + b"\n")
            until(lambda: shows(b"no end"), 30, describe=lambda: bytes(seen))
            code = process.wait(60)
    finally:
        os.close(terminal)
    if answer == "y":
        assert code == 0
        assert b"Terminate: 15 of 15 jobs" in seen
        assert seen.endswith(b"15 jobs terminated.\r\n")
    else:
        assert code == 1
        assert seen.endswith(b"Nothing was done.\r\n")
        assert stub.asked("TerminateJob") == []
