"""Records: what follows from their members."""

from __future__ import annotations

import pytest

from batchyard.core.model import records
from batchyard.core.model.changes import Changes
from batchyard.core.model.records import (
    Attempt,
    ContainerLog,
    ContainerSpec,
    Dependency,
    Job,
    JobSpec,
    Placement,
    Status,
    TaskSpec,
)
from batchyard.core.model.resources import Resources

TASK = TaskSpec(("true",), (("A", "1"),), Resources(1000, 64), image="busybox")


def spec(**members: object) -> JobSpec:
    return JobSpec(1, "id", "name", "queue", "work:1", TASK, {}, 0, **members)  # type: ignore[arg-type]


def test_two_states_are_final() -> None:
    assert [status for status in Status if status.is_final] == [Status.SUCCEEDED, Status.FAILED]


@pytest.mark.parametrize(
    ("size", "entry", "is_sequential"),
    [
        (3, Dependency(type="SEQUENTIAL"), True),
        (0, Dependency(type="SEQUENTIAL"), False),
        (3, Dependency("other", "SEQUENTIAL"), False),
        (3, Dependency("other", "N_TO_N"), False),
    ],
)
def test_when_an_array_is_sequential(size: int, entry: Dependency, is_sequential: bool) -> None:
    assert spec(array_size=size, depends_on=(entry,)).sequential is is_sequential


def test_a_plain_task_has_one_container_of_the_default_name() -> None:
    (alone,) = records.containers_of(TASK)
    assert (alone.name, alone.command, alone.image, alone.resources) == (
        "default",
        ("true",),
        "busybox",
        Resources(1000, 64),
    )
    two = (ContainerSpec("a", (), (), Resources()), ContainerSpec("b", (), (), Resources()))
    assert records.containers_of(TaskSpec((), (), Resources(), containers=two)) == two


def test_a_task_of_one_container_logs_under_the_default_name() -> None:
    one = ContainerLog("main", "group", "prefix")
    assert records.logs_of(spec(log_prefix="work")) == (ContainerLog("default", "/aws/batch/job", "work"),)
    assert records.logs_of(spec(container_logs=(one,))) == (one,)
    assert records.log_file_container(spec(container_logs=(one,)), "main") == "default"
    assert records.log_file_container(spec(container_logs=(one, one)), "main") == "main"


def test_a_plain_job_has_one_node() -> None:
    assert records.node_resources(spec()) == (Resources(1000, 64),)
    attempt = Attempt(1, "local", "process", (Placement("i-1", (0,)), Placement("i-2")))
    assert attempt.main == Placement("i-1", (0,))


def test_changes_are_empty_until_something_changed() -> None:
    changes = Changes(next_key=7, revisions={"work": 1})
    assert changes.is_empty()
    changes.jobs[1] = Job(1, Status.SUBMITTED, 0)
    assert not changes.is_empty()
