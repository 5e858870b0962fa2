"""Where a second command for a job's container goes, and why it may go nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.attempt_node import parse_node
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


@pytest.mark.parametrize("suffix", ["", ":0", "#0"])
def test_an_ended_job_takes_no_command(suffix: str) -> None:
    yard = yard_that_executes()
    job = yard.submit("open")
    yard.started(job)
    yard.exited(job, 0)
    wanted = f"Job {job}{suffix} has no container now: only the container of a RUNNING job takes a command."
    assert refusal(yard, job + suffix) == wanted


def test_there_is_no_child_of_a_job_without_children() -> None:
    yard = yard_that_executes()
    job, after = yard.submit("open"), yard.submit("open")
    yard.started(job)
    yard.started(after)
    assert refusal(yard, f"{job}:0") == f"Job {job} has no child 0."


@pytest.fixture
def gang() -> tuple[Driver, str]:
    """A job whose main node is 1, and whose node 2 alone takes no commands. All nodes run."""
    yard = yard_that_executes()
    ranges = [{"targetNodes": nodes, "container": container} for nodes, container in (("0:1", OPEN), ("2", CLOSED))]
    yard.define_nodes(count=3, main=1, ranges=ranges)
    job = yard.submit("gang")
    for node in (1, 0, 2):
        yard.started(f"{job}#{node}")
    return yard, job


CLOSED = {
    "image": "busybox",
    "command": ["true"],
    "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
}
OPEN = CLOSED | {"enableExecuteCommand": True}


def test_a_node_takes_a_command_by_its_index_and_the_main_node_that_of_the_job(gang: tuple[Driver, str]) -> None:
    yard, job = gang
    tasks = [yard.do(AskRunningTask(name)).task_id for name in (f"{job}#0", f"{job}#1", job)]
    assert tasks == [yard.attempt_of(f"{job}#0"), yard.attempt_of(f"{job}#1"), yard.attempt_of(f"{job}#1")]
    assert [parse_node(task_id)[1] for task_id in tasks] == [0, 1, 1]


def test_nodes_that_take_no_command(gang: tuple[Driver, str]) -> None:
    yard, job = gang
    assert refusal(yard, f"{job}#2").startswith("The job definition gang:1 does not set enableExecuteCommand")
    assert refusal(yard, f"{job}#3") == f"Job {job} has no node 3: its nodes are 0 to 2."
    yard.exited(f"{job}#0", 3)
    assert refusal(yard, f"{job}#0").startswith(f"Job {job}#0 is FAILED: only the container of a RUNNING job")
    plain = yard.submit("open")
    assert refusal(yard, f"{plain}#0") == f"Job {plain} is no multi-node job: there is no node {plain}#0."
