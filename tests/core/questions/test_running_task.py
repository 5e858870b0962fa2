"""Where a second command for a job's container goes, and why it may go nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.names import parse_task_id
from batchyard.core.model.records import Abilities
from batchyard.core.model.refusal import Refused
from batchyard.core.questions.running_task import AskRunningTask
from tests.core.driver import ENGINE, Driver


def yard_that_executes() -> Driver:
    yard = Driver()
    yard.do(c.SetHost(yard.host, {ENGINE: Abilities(execute_command=True)}))
    yard.define("open", container={"enableExecuteCommand": True})
    return yard


def refusal(yard: Driver, job_id: str) -> str:
    with pytest.raises(Refused) as refused:
        yard.do(AskRunningTask(job_id))
    return refused.value.message


def test_a_running_job_has_an_engine_and_a_task() -> None:
    yard = yard_that_executes()
    job = yard.submit("open")
    yard.started(job)
    task = yard.do(AskRunningTask(job))
    assert (task.engine, task.away) == (ENGINE, "")
    assert task.task_id == yard.attempt_of(job)
    assert parse_task_id(task.task_id) is not None


def test_a_pod_takes_commands_without_asking_for_it() -> None:
    yard = yard_that_executes()
    pod = {"containers": [{"name": "main", "image": "busybox", "command": ["sleep"]}]}
    yard.do(c.RegisterJobDefinition("pod", {"type": "container", "eksProperties": {"podProperties": pod}}))
    job = yard.submit("pod")
    yard.started(job)
    assert yard.do(AskRunningTask(job)).task_id == yard.attempt_of(job)


def test_the_engine_may_be_away() -> None:
    yard = yard_that_executes()
    job = yard.submit("open")
    yard.started(job)
    yard.do(c.SetAway({ENGINE: "its daemon is gone"}))
    assert yard.do(AskRunningTask(job)).away == "its daemon is gone"


def test_jobs_that_take_no_command() -> None:
    yard = yard_that_executes()
    starting, closed = yard.submit("open"), yard.submit("closed")
    yard.started(closed)
    unknown = "00000000-0000-4000-8000-999999999999"
    assert refusal(yard, unknown) == f"Job {unknown} does not run: it has ended, or there never was one."
    assert refusal(yard, starting).startswith(f"Job {starting} is STARTING: only the container of a RUNNING job")
    assert refusal(yard, closed).startswith("The job definition closed:1 does not set enableExecuteCommand")


def test_an_engine_of_programs_takes_no_command() -> None:
    yard = yard_that_executes()
    job = yard.submit("open")
    yard.started(job)
    yard.set_host()
    assert "runs on the process engine, which has no containers" in refusal(yard, job)


def test_a_child_is_named_by_its_index() -> None:
    yard = yard_that_executes()
    members: dict[str, Any] = {"array_size": 2}
    array = yard.submit("open", **members)
    yard.started(f"{array}:1")
    assert refusal(yard, array) == f"Job {array} is an array: name one of its children, like {array}:0."
    assert yard.do(AskRunningTask(f"{array}:1")).task_id == yard.attempt_of(f"{array}:1")
